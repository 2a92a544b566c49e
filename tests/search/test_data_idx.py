"""IDX files: exactly what their header says, or a refusal that names the file."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from pocketnas_base.errors import DataError
from search.data.idx import find_idx, read_idx

PIXELS = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)


def idx(array: np.ndarray, magic: int | None = None) -> bytes:
    header = struct.pack(">I", 0x0800 + array.ndim if magic is None else magic)
    return header + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("pack", [gzip.compress, bytes])
def test_compressed_and_raw_files_read_alike(tmp_path: Path, pack):
    path = write(tmp_path / "images", pack(idx(PIXELS)))
    assert np.array_equal(read_idx(path, dimensions=3), PIXELS)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "truncated"),
        (b"\x00\x00\x08\x03\x00", "truncated"),
        (idx(PIXELS, 0x12340803), "not an IDX file"),
        (idx(PIXELS, 0x0D03), "type 0x0d"),
        (idx(PIXELS, 0x0801), "1 dimensions, not 3"),
        (idx(PIXELS)[:-1], "holds 75 bytes, but its header"),
        (idx(PIXELS) + b"x", "holds 77 bytes, but its header"),
        (gzip.compress(idx(PIXELS), mtime=0)[:-9], "ends early"),
        (gzip.compress(idx(PIXELS), mtime=0)[:-8] + b"\x00" * 8, "damaged"),
        (b"\x1f\x8b" + b"junk" * 10, "damaged"),
        (struct.pack(">IIII", 0x0803, 2**32 - 1, 2**32 - 1, 2**32 - 1), "needs"),
    ],
)
def test_what_is_not_exactly_right_is_refused_by_name(tmp_path: Path, content: bytes, complaint: str):
    path = write(tmp_path / "images", content)
    with pytest.raises(DataError, match=complaint) as caught:
        read_idx(path, dimensions=3)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_unpacks_beyond_the_limit_is_refused(tmp_path: Path):
    path = write(tmp_path / "images.gz", gzip.compress(bytes(100_000), mtime=0))
    with pytest.raises(DataError, match="unpacks to more than 1000 bytes"):
        read_idx(path, dimensions=3, max_bytes=1000)


def test_a_missing_file_is_a_data_error(tmp_path: Path):
    with pytest.raises(DataError, match="does not exist"):
        read_idx(tmp_path / "none", dimensions=1)
    assert find_idx(tmp_path, "none") is None
