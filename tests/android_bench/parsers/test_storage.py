"""Room."""

import pytest
from device_samples import DF, DF_WRAPPED
from hypothesis import given
from hypothesis import strategies as st

from android_bench.errors import UnreadableOutputError
from android_bench.parsers.storage import Room, parse_df

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
