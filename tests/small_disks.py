"""A file system of few bytes, which fills up while something is written to it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """One mounted on `place`, which is made; skips the test where this cannot be done. size: as `mount` takes it."""
    place.mkdir()
    try:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=False)
    except FileNotFoundError:
        pytest.skip("a small file system to fill needs the program mount")
    if mounted.returncode:
        pytest.skip("a small file system to fill needs the right to mount one")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def enlarge(place: Path, size: str) -> None:
    """Make room on it."""
    subprocess.run(["mount", "-o", f"remount,size={size}", place], check=True)
