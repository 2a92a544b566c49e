"""The steps that every parser takes first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_bench.errors import UnreadableOutputError
from android_bench.parsers.text import (
    MAX_BYTES,
    MAX_INTEGER,
    excerpt,
    integer,
    lines_of,
    name,
    number,
    service_is_absent,
    text_of,
)


@given(st.integers(-(2**63), MAX_INTEGER))
def test_integers_survive_the_trip(value: int) -> None:
    assert integer(str(value), -(2**63)) == value


@pytest.mark.parametrize(
    "text", [None, "", "-", "1.0", "1e3", "0x1", "1_000", "\u0661", "\u00b2", "--1", str(2**63), "9" * 5000, "-1"]
)
def test_what_is_no_whole_number_in_range_is_none(text: str | None) -> None:
    assert integer(text) is None


@given(st.floats(-1e17, 1e17, allow_nan=False))
def test_numbers_survive_the_trip(value: float) -> None:
    assert number(repr(value)) == value


@pytest.mark.parametrize(
    "text",
    [None, "", ".", "nan", "inf", "-inf", "Infinity", "1e999", "1e", "1_0", "0x1p3", "\u0661", "1" * 40, "1e300"],
)
def test_what_is_no_finite_number_is_none(text: str | None) -> None:
    assert number(text) is None


def test_numbers_have_bounds() -> None:
    assert (number("5", 0, 5), number("5.1", 0, 5), number("-0.1", 0, 5)) == (5, None, None)
    assert (integer("5", 0, 5), integer("6", 0, 5)) == (5, None)


@pytest.mark.parametrize("output", [b"x" * (MAX_BYTES + 1), "x" * (MAX_BYTES + 1)])
def test_more_output_than_a_source_prints_is_refused(output: bytes | str) -> None:
    with pytest.raises(UnreadableOutputError, match="getprop: 1048577 bytes of output, at most 1048576 are read"):
        text_of(output, "getprop")


def test_lines_end_only_where_a_device_ends_them() -> None:
    assert lines_of("a\r\nb\x0bc\u2028d\n") == ["a", "b\x0bc\u2028d", ""]


def test_names_cannot_move_a_cursor() -> None:
    assert name("  SM-S911B\x1b[2J\n ") == "SM-S911B\ufffd[2J"
    assert name(" \t") is None
    assert name("x" * 1000) == "x" * 256


def test_excerpts_are_short_and_of_one_line() -> None:
    assert excerpt("a\n\x1b\ud800") == r"'a\n\x1b\ud800'"
    assert excerpt("x" * 61) == f"'{'x' * 60}'..."


@pytest.mark.parametrize(
    ("text", "absent"),
    [
        ("Can't find service: thermalservice\n", True),
        ("cmd: Can't find service: power\n", True),
        ("Thermal Status: 0\nCan't find service: x\n", False),
    ],
)
def test_absent_services_say_so_first(text: str, absent: bool) -> None:
    assert service_is_absent(text) is absent
