"""The emulator that runs arm64 programs on another machine, for tests."""

import re
import shutil
import subprocess

from lookalike import testbed

OLDEST = 10
"""Bookworm's 7.2 shows arm64 programs this machine's own /proc/cpuinfo, on which LiteRT crashes, and its SME computes
int8 products wrongly; the bundles are right there too with an arm64 cpuinfo and `-cpu max,sme=off`."""


def find_qemu() -> str | None:
    """The path of a qemu-aarch64 that is new enough: the testbed's, else one on PATH; None when there is none."""
    found = [str(testbed.qemu_program() or ""), shutil.which("qemu-aarch64-static"), shutil.which("qemu-aarch64")]
    return next((path for path in found if path and _version(path) >= OLDEST), None)


def _version(path: str) -> int:
    try:
        shown = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    match = re.search(r"version (\d+)\.", shown)
    return int(match[1]) if match else 0
