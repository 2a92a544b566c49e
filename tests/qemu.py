"""The emulator that runs arm64 programs on another machine, for tests."""

import os
import re
import shutil
import subprocess
from pathlib import Path

OLDEST = 10
"""Bookworm's 7.2 crashes inside LiteRT."""


def find_qemu() -> str | None:
    """The path of a qemu-aarch64 that is new enough: the test bed's, else one on PATH; None when there is none."""
    cache = Path(os.environ.get("POCKETNAS_TESTBED") or Path.home() / ".cache/pocketnas-testbed")
    names = ("qemu-aarch64-static", "qemu-aarch64")
    found = [str(path) for name in names for path in sorted(cache.glob(f"**/bin/{name}"))]
    found += [path for name in names if (path := shutil.which(name))]
    return next((path for path in found if _version(path) >= OLDEST), None)


def _version(path: str) -> int:
    try:
        shown = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    match = re.search(r"version (\d+)\.", shown)
    return int(match[1]) if match else 0
