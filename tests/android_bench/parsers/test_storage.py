"""Room and files."""

import stat

import pytest
from device_samples import DF, DF_WRAPPED, FILE_STATUS
from hypothesis import given
from hypothesis import strategies as st

from android_bench.errors import UnreadableOutputError
from android_bench.parsers.storage import FileStatus, Room, parse_df, parse_file_status

SIZES = st.integers(0, 2**50)


def test_room() -> None:
    assert parse_df(DF) == Room(112_345_678, 45_678_901, 66_543_210, "/data")


def test_device_with_a_long_name_takes_two_lines() -> None:
    assert parse_df(DF_WRAPPED) == Room(52_345_678, 5_678_901, 46_543_210, "/data")


def test_other_titles_and_places_with_blanks() -> None:
    text = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/fuse 100 40 60 40% /storage/my card\n"
    assert parse_df(text) == Room(100, 40, 60, "/storage/my card")


@given(total=SIZES, used=SIZES, free=SIZES, wrapped=st.booleans())
def test_rooms_survive_the_trip(total: int, used: int, free: int, wrapped: bool) -> None:
    room = Room(max(total, used, free), used, free, "/data")
    separator = "\n    " if wrapped else " "
    row = f"/dev/block/dm-8{separator}{room.total_kb} {room.used_kb} {room.free_kb} 9% /data\n"
    assert parse_df(f"Filesystem 1K-blocks Used Available Use% Mounted on\n{row}") == room


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("", "no table"),
        ("df: '/data/local/tmp': No such file or directory\n", 'no table: "df:'),
        ("Filesystem  Size  Used  Free Blksize\n/data  12.0G  3.2G  8.8G  4096\n", "unknown units"),
        ("Filesystem  Size  Used Avail Use% Mounted on\n/dev/dm-8  108G  44G  64G  41% /data\n", "unknown units"),
        (DF.split("\n")[0], "not one row"),
        (DF + DF.split("\n")[1], "not one row"),
        (DF.replace("41% /data", ""), "not one row"),
        (DF.replace("45678901", "4567890l"), "no row of sizes"),
        (DF.replace("41%", "41"), "no row of sizes"),
        (DF.replace("66543210", "-66543210"), "no row of sizes"),
        (DF.replace("66543210", "666543210"), "more used or free than there is"),
    ],
)
def test_what_is_no_row_of_sizes_is_refused(output: str, message: str) -> None:
    with pytest.raises(UnreadableOutputError, match=message):
        parse_df(output)


def test_status_of_a_file() -> None:
    status = parse_file_status(FILE_STATUS)
    assert status == FileStatus(0o100755, 1_234_567, 1_764_830_000)
    assert (status.is_file, status.is_directory) == (True, False)
    assert parse_file_status(f"{stat.S_IFDIR | 0o755:x} 4096 0").is_directory


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**63 - 1), st.integers(-(2**40), 2**40))
def test_status_survives_the_trip(mode: int, size_bytes: int, modified_s: int) -> None:
    status = FileStatus(mode, size_bytes, modified_s)
    assert parse_file_status(f"{mode:x} {size_bytes} {modified_s}\n") == status


@pytest.mark.parametrize(
    "output", ["", "81ed 1", "81ed 1 2 3", "81ED 1 2", "81ed -1 2", "stat: '/x': No such file", "1\n2\n3"]
)
def test_what_is_no_status_is_refused(output: str) -> None:
    with pytest.raises(UnreadableOutputError, match="no mode, size and time"):
        parse_file_status(output)
