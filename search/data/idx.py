"""IDX files, the format of MNIST and its relatives: four bytes of magic, big-endian sizes, unsigned bytes."""

import gzip
import io
import math
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from pocketnas_base.errors import DataError, InputError
from pocketnas_base.files import read_bytes

if TYPE_CHECKING:
    import numpy as np

MAX_IDX_BYTES = 1024**3
_UNSIGNED_BYTE = 0x08
_GZIP_MAGIC = b"\x1f\x8b"


def find_idx(folder: Path, name: str) -> Path | None:
    """`name` in `folder`, compressed (.gz) or not; None when neither is there."""
    for candidate in (folder / f"{name}.gz", folder / name):
        if candidate.is_file():
            return candidate
    return None


def read_idx_content(path: Path, *, max_bytes: int = MAX_IDX_BYTES) -> bytes:
    """The uncompressed content of an IDX file, gzip-compressed or raw.

    Raises DataError when the file is missing, a truncated or damaged gzip file, or larger than `max_bytes`.
    """
    try:
        data = read_bytes(path, what="IDX file", max_bytes=max_bytes)
    except InputError as error:
        raise DataError(str(error)) from error
    return unpack_idx(data, max_bytes=max_bytes, source=str(path))


def unpack_idx(data: bytes, *, max_bytes: int, source: str) -> bytes:
    """Undo gzip where there is any. Raises DataError naming `source`."""
    if not data.startswith(_GZIP_MAGIC):
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            content = stream.read(max_bytes + 1)
    except EOFError:
        raise DataError(f"IDX file {source} is truncated: the compressed data ends early; fetch it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"IDX file {source} is damaged: {error}; fetch it again") from None
    if len(content) > max_bytes:
        raise DataError(f"IDX file {source} unpacks to more than {max_bytes} bytes, which is more than is read")
    return content


def parse_idx(content: bytes, *, dimensions: int, source: str) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """The array in an IDX file's content: uint8, with `dimensions` axes, read-only.

    Raises DataError naming `source` unless magic, number of axes and length are exactly right.
    """
    import numpy as np

    header = 4 + 4 * dimensions
    if len(content) < header:
        raise DataError(f"IDX file {source} is truncated: {len(content)} bytes do not hold its header")
    zeros, kind, axes = struct.unpack(">HBB", content[:4])
    if zeros != 0:
        raise DataError(f"{source} is not an IDX file: it begins with {content[:4].hex()}")
    if kind != _UNSIGNED_BYTE:
        raise DataError(f"IDX file {source} holds values of type 0x{kind:02x}; only unsigned bytes (0x08) are read")
    if axes != dimensions:
        raise DataError(f"IDX file {source} has {axes} dimensions, not {dimensions}")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    expected = header + math.prod(shape)
    if len(content) != expected:
        raise DataError(f"IDX file {source} holds {len(content)} bytes, but its header {list(shape)} needs {expected}")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def read_idx(
    path: Path, *, dimensions: int, max_bytes: int = MAX_IDX_BYTES
) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """The array of an IDX file, gzip-compressed or raw: 3 dimensions for images, 1 for labels. Raises DataError."""
    return parse_idx(read_idx_content(path, max_bytes=max_bytes), dimensions=dimensions, source=str(path))
