"""Getting files onto this machine without root: a Debian package unpacked into a folder, a bounded download."""

import http.client
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from pocketnas_base.errors import DataError
from pocketnas_base.progress import Progress

APT_TIMEOUT_S = 180
CONNECT_TIMEOUT_S = 10
_CHUNK_BYTES = 256 * 1024


def unpack_debian_package(package: str, folder: Path, *, progress: Progress) -> Path:
    """Fetch `package` with apt-get and unpack it below `folder`, touching nothing of the system's own state.

    Returns the folder that stands for `/`. Where the system's package lists do not know the package (a fresh machine or
    container), lists of its own are fetched into `folder`. Raises DataError with the reason in a few words.
    """
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise DataError(f"{program} is not installed")
    downloads, root = folder / "downloads", folder / "root"
    downloads.mkdir()
    what = f"fetching Debian's package {package}"
    progress(0, 3, what)
    try:
        _apt_get(["download", package], downloads)
    except DataError:
        state, cache = folder / "state", folder / "cache"
        (state / "lists" / "partial").mkdir(parents=True)
        (cache / "archives" / "partial").mkdir(parents=True)
        private = ["-o", f"Dir::State={state}", "-o", f"Dir::Cache={cache}", "-o", "Acquire::Languages=none"]
        progress(1, 3, "fetching Debian's package lists")
        _apt_get([*private, "update"], downloads)
        progress(2, 3, what)
        _apt_get([*private, "download", package], downloads)
    archives = sorted(downloads.glob("*.deb"))
    if len(archives) != 1:
        raise DataError(f"apt-get download left {len(archives)} packages where one was asked for")
    _run(["dpkg-deb", "-x", str(archives[0]), str(root)], downloads)
    progress(3, 3, what)
    return root


def _apt_get(arguments: Sequence[str], folder: Path) -> None:
    timeouts = [f"Acquire::{scheme}::Timeout={CONNECT_TIMEOUT_S}" for scheme in ("http", "https")]
    options = [part for option in (*timeouts, "Acquire::Retries=1") for part in ("-o", option)]
    _run(["apt-get", "-q", *options, *arguments], folder)


def _run(command: Sequence[str], folder: Path) -> None:
    name = " ".join([command[0], *(part for part in command[1:] if part in ("update", "download", "-x"))])
    try:
        outcome = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=APT_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"{name} took longer than {APT_TIMEOUT_S} s") from None
    except OSError as error:
        raise DataError(f"{name} cannot be started: {error.strerror}") from error
    if outcome.returncode != 0:
        lines = [line.strip() for line in outcome.stderr.splitlines() if line.strip()]
        told = [line for line in lines if line.startswith("E:")] or lines or [f"exit status {outcome.returncode}"]
        raise DataError(f"{name}: {told[-1].removeprefix('E:').strip()}")


def download(url: str, *, max_bytes: int, timeout_s: float, progress: Progress) -> bytes:
    """The content behind an http or https URL, at most `max_bytes`, within `timeout_s` seconds in all.

    Raises DataError with the reason in a few words. The caller checks the content.
    """
    import urllib.error
    import urllib.request

    deadline = time.monotonic() + timeout_s
    content = bytearray()
    try:
        with urllib.request.urlopen(url, timeout=min(CONNECT_TIMEOUT_S, timeout_s)) as response:
            total = int(response.headers.get("Content-Length") or 0)
            if total > max_bytes:
                raise DataError(f"{total} bytes are offered, at most {max_bytes} are taken")
            while chunk := response.read1(_CHUNK_BYTES):
                content += chunk
                if len(content) > max_bytes:
                    raise DataError(f"more than {max_bytes} bytes are offered")
                if time.monotonic() > deadline:
                    raise DataError(f"not complete after {timeout_s:.0f} s")
                progress(len(content), max(total, len(content)), f"downloading {url.rsplit('/', 1)[-1]}")
    except urllib.error.HTTPError as error:
        raise DataError(f"HTTP status {error.code}") from None
    except urllib.error.URLError as error:
        raise DataError(str(getattr(error.reason, "strerror", None) or error.reason)) from None
    except TimeoutError:
        raise DataError("timed out") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DataError(str(error) or type(error).__name__) from None
    if total and len(content) != total:
        raise DataError(f"the connection broke after {len(content)} of {total} bytes")
    return bytes(content)
