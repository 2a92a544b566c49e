"""Putting a bundle somewhere and starting it there, as a transport does it on a device."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tiny_models import Model

from android_bench.plan import PlannedModel, render
from android_bench.protocol import Protocol
from android_bench.results import DoneLine, HelloLine, MeasurementLine, parse_line
from android_bench.runner.bundle import Bundle


def put(bundle: Bundle, root: Path) -> None:
    """As a transport does: nothing but the files that the bundle lists."""
    for file in bundle.files:
        target = root / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.path, target)
        target.chmod(0o755 if file.executable else 0o644)


def start(
    bundle: Bundle,
    models: Sequence[Model],
    root: Path,
    starter: Sequence[str],
    protocol: Protocol,
    *,
    cwd: Path | None = None,
    max_output_error: float = 1e-4,
) -> list[MeasurementLine]:
    """Run a bundle that lies in `root`, which is its working directory, with no environment. Returns its rows.

    The output of model N lies at `root`/N.found then.
    """
    planned = []
    for index, model in enumerate(models):
        names = [f"{index}{suffix}" for suffix in (model.path.suffix, ".in", ".out")]
        for source, name in zip((model.path, model.input, model.reference), names, strict=True):
            shutil.copyfile(source, root / name)
        files = {"inputs": (names[1],), "references": (names[2],), "output_paths": (f"{index}.found",)}
        planned.append(PlannedModel(names[0], names[0], max_output_error=max_output_error, **files))
    (root / "plan.jsonl").write_bytes(render(protocol, bundle.runtime_version, planned))
    command = [*starter, *bundle.command, "plan.jsonl"]
    done = subprocess.run(command, capture_output=True, timeout=300, check=False, env={}, cwd=cwd)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    hello, *rows, last = [parse_line(line) for line in done.stdout.splitlines()]
    assert isinstance(hello, HelloLine)
    assert isinstance(last, DoneLine)
    assert last.errors == 0, rows
    assert all(isinstance(row, MeasurementLine) for row in rows)
    return rows
