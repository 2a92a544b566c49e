"""Reading what may lie and writing what must not be lost."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pocketnas_base.errors import InputError

MAX_JSON_BYTES = 64 * 1024 * 1024

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


def sha256_bytes(data: bytes) -> str:
    """Hex sha256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes `path`'s place in one step, on failure it is removed.

    A reader never sees a half-written file under its final name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part" + path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file, or nothing."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 file, or nothing."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON, whole or not at all. NaN and infinity are refused (ValueError)."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_bytes(path: Path, *, what: str, max_bytes: int) -> bytes:
    """Read a file that a user or a device gave. Raises InputError when it is missing, unreadable or too large."""
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise InputError(f"{what} {path} has {size} bytes; at most {max_bytes} are read")
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{what} {path} does not exist") from None
    except OSError as error:
        raise InputError(f"{what} {path} cannot be read: {error.strerror}") from error


def read_json(path: Path, *, what: str, max_bytes: int = MAX_JSON_BYTES) -> Json:
    """Read a JSON file of bounded size. Raises InputError, naming the file and the place of the fault."""
    try:
        value: Json = json.loads(read_bytes(path, what=what, max_bytes=max_bytes))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} {path} is not valid JSON: {error}") from error
    return value
