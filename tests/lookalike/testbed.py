"""Where the testbed lies that `build.sh` makes, and whether phone lookalikes can be started here."""

import functools
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent


def commands() -> list[str]:
    """Names of the commands that stand in for Android's own (getprop, dumpsys, ...)."""
    return sorted(file.name for file in (HERE / "stubs").iterdir() if file.is_file() and file.suffix != ".sh")


def folder() -> Path:
    """The testbed's folder, there or not: $POCKETNAS_TESTBED or one named by what goes into it (`build.sh --where`)."""
    chosen = os.environ.get("POCKETNAS_TESTBED")
    if chosen:
        return Path(chosen).absolute()
    inputs = b"".join((HERE / name).read_bytes() for name in ("build.sh", "adbd.patch", "init.c"))
    inputs += "".join(f"{name}\n" for name in commands()).encode()
    home = Path(os.environ.get("HOME") or "/root")
    return home / ".cache" / "pocketnas-testbed" / hashlib.sha256(inputs).hexdigest()[:16]


def available() -> str | None:
    """None where lookalikes can run, else the reason why not, fit for `pytest.skip`."""
    if not (folder() / "complete").exists():
        return "no phone lookalike here; run: make testbed"
    return _refusal()


@functools.cache
def _refusal() -> str | None:
    if os.geteuid() != 0:
        return "a phone lookalike needs root"
    missing = [name for name in ("unshare", "nsenter", "setpriv", "mount", "chroot", "bash") if not shutil.which(name)]
    if missing:
        return f"a phone lookalike needs the programs {', '.join(missing)}"
    attempt = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True,
        text=True,
    )
    if attempt.returncode != 0:
        return f"a phone lookalike needs namespaces and mounts, which are denied here: {attempt.stderr.strip()}"
    return None


def adb_program() -> Path:
    """The `adb` program: the one on PATH, else the testbed's.

    Raises:
        FileNotFoundError: neither is there.
    """
    found = shutil.which("adb") or shutil.which("adb", path=folder() / "tools" / "bin")
    if not found:
        raise FileNotFoundError("no adb on PATH and none in the testbed; run: make testbed")
    return Path(found)


def qemu_program() -> Path | None:
    """The testbed's qemu-aarch64-static (10 or newer, which runs LiteRT), or None where the testbed is not built."""
    program = folder() / "tools" / "bin" / "qemu-aarch64-static"
    return program if program.exists() else None
