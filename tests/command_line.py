"""`pocketnas` called within this process, which has imported by now what each new process would import again."""

import contextlib
import io
import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pocketnas.cli import main


@dataclass(frozen=True)
class Done:
    """How a command ended and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


def program(*words: str | Path) -> Done:
    """One call, with what it printed."""
    out, err = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    with (
        pytest.MonkeyPatch.context() as patched,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patched.setattr(sys, "argv", ["pocketnas", *map(str, words)])
        patched.setenv("OMP_WAIT_POLICY", "passive")
        with pytest.raises(SystemExit) as ended:
            main()
    for number, handler in handlers.items():
        signal.signal(number, handler)
    return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def refused(*words: str | Path, status: int = 2) -> str:
    """The only line that a command wrote before it ended."""
    done = program(*words)
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("pocketnas: ")
    return line


def answer(*words: str | Path) -> Any:
    done = program(*words)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)
