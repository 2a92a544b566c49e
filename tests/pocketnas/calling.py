"""`pocketnas` as a person calls it, beside an adb server of the test's own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookalike.fixtures import AdbServer


@dataclass(frozen=True)
class Done:
    """How a command ended and what it wrote."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Caller:
    """Calls the command line with an environment."""

    environ: Mapping[str, str]

    @classmethod
    def beside(cls, server: AdbServer, cache: Path) -> "Caller":
        """Talks to that adb server, with a cache of its own."""
        return cls({**os.environ, **server.env, "ADB": str(server.program), "POCKETNAS_CACHE": str(cache)})

    def but(self, **changed: str | None) -> "Caller":
        """The same with other variables; None for none."""
        merged = {**self.environ, **changed}
        return Caller({name: value for name, value in merged.items() if value is not None})

    def __call__(self, *words: str | Path) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "pocketnas", *map(str, words)],
            capture_output=True, text=True, timeout=120, check=False, env=dict(self.environ),
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def json(self, *words: str | Path, status: int = 0) -> Any:
        """The one document that a command prints."""
        done = self(*words, "--json")
        assert done.status == status, done.err
        return json.loads(done.out)


def config_with(path: Path, devices: Mapping[str, str], device: str = "local") -> Path:
    """A configuration that gives devices these names."""
    rows = "".join(f"{name} = {json.dumps(id)}\n" for name, id in devices.items())
    path.write_text(
        f'name = "named"\nspace = "demo"\ndevice = "{device}"\n[devices]\n{rows}[data]\nsource = "fashion-mnist"\n'
        "holdout = 1000\n[search]\ntarget_ms = 2.5\nwarmup_steps = 0\nsteps = 10\n[train]\nsteps = 10\n"
    )
    return path
