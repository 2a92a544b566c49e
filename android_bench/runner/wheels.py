"""The runtimes' wheels for another machine: found or downloaded once, checked, unpacked by content.

Nothing of a wheel is run here; only its native libraries and headers are taken.
"""

import base64
import csv
import hashlib
import os
import stat
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from android_bench.runner.abi import MACHINES, Abi
from android_bench.runner.build import cache_dir
from android_bench.runner.sdk import MODULES, PACKAGES, Sdk, sdk_in
from pocketnas_base.artifact import Runtime
from pocketnas_base.errors import InputError, MissingDependencyError
from pocketnas_base.files import sha256_file

MAX_WHEEL_BYTES = 256 * 1024 * 1024
MAX_UNPACKED_BYTES = 512 * 1024 * 1024
MAX_MEMBERS = 50_000
DOWNLOAD_TIMEOUT_S = 900
PYTHON = "3.11"
"""One Python's wheels for all: the libraries are the same in each, and one choice gives one bundle everywhere."""

_WANTED = {"tflite": ("libLiteRt.so",), "executorch": ("lib/", "include/")}
_GLIBC_MINORS = range(17, 36)
_CHUNK_BYTES = 1024 * 1024
_ENCRYPTED = 1
_PIP_WITH_SIZE_LIMIT = (
    f"import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, ({MAX_WHEEL_BYTES}, {MAX_WHEEL_BYTES})); "
    "runpy.run_module('pip', run_name='__main__')"
)


def foreign_sdk(runtime: Runtime, version: str, abi: Abi, folder: Path | None = None) -> Sdk:
    """What the runtime's wheel of that version offers for `abi`.

    The wheel is looked for in `folder` (else $POCKETNAS_WHEELS), then in the cache, then downloaded with pip from the
    index that pip is configured for. A folder that was named must hold it. Raises InputError for a folder without the
    wheel and for a damaged wheel, MissingDependencyError when it cannot be downloaded.
    """
    version = version.partition("+")[0]
    package = PACKAGES[runtime]
    named = folder or (Path(os.environ["POCKETNAS_WHEELS"]) if os.environ.get("POCKETNAS_WHEELS") else None)
    store = cache_dir() / "wheels"
    wheel = _wheel_in(named or store, package, version, abi)
    if wheel is None and named is not None:
        raise InputError(
            f"{named} holds no wheel of {package} {version} for {abi}; put it there: {_command(package, version, abi)}"
        )
    if wheel is None:
        wheel = _download(package, version, abi, store)
    root = store / sha256_file(wheel)[:32]
    if not root.is_dir():
        _unpack(wheel, runtime, version, root)
    return sdk_in(runtime, root / MODULES[runtime], version)


def _wheel_in(folder: Path, package: str, version: str, abi: Abi) -> Path | None:
    """The first wheel in `folder` that fits."""
    name = package.replace("-", "_")
    for path in sorted(folder.glob(f"{name}-*.whl")):
        parts = path.stem.split("-")
        fits = parts[1].partition("+")[0] == version and parts[-1].startswith("manylinux")
        if fits and parts[-1].endswith(f"_{MACHINES[abi]}") and path.is_file():
            return path
    return None


def _platforms(abi: Abi) -> list[str]:
    """What pip is asked for, the oldest C library first: such a wheel runs beside any newer one."""
    names = [f"manylinux_2_{minor}_{MACHINES[abi]}" for minor in _GLIBC_MINORS]
    return [f"manylinux2014_{MACHINES[abi]}", *names]


def _command(package: str, version: str, abi: Abi) -> str:
    platform = f"manylinux_2_{28 if package == 'executorch' else 27}_{MACHINES[abi]}"
    options = f"--no-deps --only-binary=:all: --python-version {PYTHON} --platform {platform}"
    return f"pip download {options} {package}=={version}"


def _download(package: str, version: str, abi: Abi, store: Path) -> Path:
    """Fetch a wheel into `store`, whole or not at all."""
    store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=store) as scratch:
        command = [
            *(sys.executable, "-c", _PIP_WITH_SIZE_LIMIT, "download", "--no-deps", "--only-binary=:all:"),
            *("--no-input", "--quiet", "--disable-pip-version-check", "--retries", "2", "--timeout", "30"),
            *("--python-version", PYTHON, "--implementation", "cp"),
            *(f"--platform={platform}" for platform in _platforms(abi)),
            *("--dest", scratch, f"{package}=={version}"),
        ]
        way_out = (
            "connect this machine to the network, or bring the wheel in a folder and name it with --wheels or "
            f"POCKETNAS_WHEELS: {_command(package, version, abi)}"
        )
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=DOWNLOAD_TIMEOUT_S,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            raise MissingDependencyError(
                f"downloading {package} {version} for {abi} took longer than {DOWNLOAD_TIMEOUT_S} s; {way_out}"
            ) from None
        fetched = _wheel_in(Path(scratch), package, version, abi)
        if done.returncode != 0 or fetched is None:
            raise MissingDependencyError(
                f"{package} {version} for {abi} could not be downloaded ({_reason(done.stderr)}); {way_out}"
            )
        with fetched.open("rb") as stream:
            os.fsync(stream.fileno())
        return fetched.replace(store / fetched.name)


def _reason(log: str) -> str:
    """The one line of pip's that says most."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if any("No module named pip" in line for line in lines):
        return "pip is not installed here"
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["pip said nothing"])[-1][:200]


def _unpack(wheel: Path, runtime: Runtime, version: str, root: Path) -> None:
    """Take the native libraries and headers of a wheel to `root`, whole or not at all, each checked against the
    wheel's own record."""
    root.parent.mkdir(parents=True, exist_ok=True)
    module = MODULES[runtime]
    wanted = tuple(f"{module}/{name}" for name in _WANTED[runtime])
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=root.parent) as scratch, _opened(wheel) as archive:
        members = {member.filename: member for member in archive.infolist()}
        _check_members(wheel, members)
        record = _record(archive, wheel, module, version)
        chosen = [name for name in members if name.startswith(wanted) and not name.endswith("/")]
        if not chosen:
            raise InputError(f"{wheel} holds no native library of {PACKAGES[runtime]}; delete it and fetch it again")
        for name in chosen:
            if name not in record:
                raise InputError(f"{wheel} is damaged: {name} is not in its record; delete it and fetch it again")
            target = Path(scratch) / "root" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if _extract(archive, members[name], target) != record[name]:
                raise InputError(
                    f"{wheel} is damaged: {name} is not what its record says; delete it and fetch it again"
                )
        try:
            (Path(scratch) / "root").rename(root)
        except OSError:
            if not root.is_dir():
                raise


@contextmanager
def _opened(wheel: Path) -> Iterator[zipfile.ZipFile]:
    try:
        if wheel.stat().st_size > MAX_WHEEL_BYTES:
            raise InputError(f"{wheel} is larger than {MAX_WHEEL_BYTES} bytes; no wheel of a runtime is")
        with zipfile.ZipFile(wheel) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, UnicodeDecodeError) as error:
        raise InputError(f"{wheel} is damaged: {error or 'it ends too early'}; delete it and fetch it again") from error


def _check_members(wheel: Path, members: dict[str, zipfile.ZipInfo]) -> None:
    if len(members) > MAX_MEMBERS or sum(member.file_size for member in members.values()) > MAX_UNPACKED_BYTES:
        raise InputError(f"{wheel} holds more than a wheel of a runtime does; delete it and fetch it again")
    for name, member in members.items():
        parts = PurePosixPath(name).parts
        linked = stat.S_ISLNK(member.external_attr >> 16)
        if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or linked or not parts:
            raise InputError(f"{wheel} is not trusted: its member {name[:80]!r} points outside it")
        if member.header_offset < 0:
            raise InputError(f"{wheel} is damaged: {name[:80]!r} lies nowhere; delete it and fetch it again")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & _ENCRYPTED:
            raise InputError(f"{wheel} is not a wheel: {name[:80]!r} cannot be read; delete it and fetch it again")


def _record(archive: zipfile.ZipFile, wheel: Path, module: str, version: str) -> dict[str, bytes]:
    """Sha256 by file name, as the wheel itself states (PyPA's specification of binary distributions: RECORD)."""
    folders = {name.partition("/")[0] for name in archive.namelist()}
    places = [
        folder
        for folder in folders
        if folder.startswith(f"{module}-")
        and folder.endswith(".dist-info")
        and folder.removeprefix(f"{module}-").removesuffix(".dist-info").partition("+")[0] == version
    ]
    if len(places) != 1 or f"{places[0]}/RECORD" not in archive.namelist():
        raise InputError(f"{wheel} is not a wheel of {module} {version}; delete it and fetch it again")
    found = {}
    text = archive.read(f"{places[0]}/RECORD").decode(errors="replace")
    for row in csv.reader(text.splitlines()):
        if len(row) == 3 and row[1].startswith("sha256="):
            digest = row[1].removeprefix("sha256=")
            try:
                found[row[0]] = base64.urlsafe_b64decode(digest + "=" * (-len(digest) % 4))
            except ValueError:
                raise InputError(
                    f"{wheel} is damaged: its record cannot be read; delete it and fetch it again"
                ) from None
    return found


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> bytes:
    """Write one member, at most as large as it claims to be. Returns its sha256."""
    digest = hashlib.sha256()
    with archive.open(member) as source, target.open("wb") as sink:
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
            sink.write(chunk)
        sink.flush()
        if target.suffix == ".so":
            os.fsync(sink.fileno())
    return digest.digest()
