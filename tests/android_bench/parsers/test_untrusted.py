"""Whatever a device says, a parser answers or raises its one error, quickly and in one line."""

import dataclasses
import math
import time
from collections.abc import Mapping

import pytest
from device_parsers import PARSERS, Parser
from hypothesis import given
from hypothesis import strategies as st

from android_bench.parsers.text import MAX_LOG_BYTES
from pocketnas_base.errors import PocketNASError

LONG = 128 * 1024

parsers = pytest.mark.parametrize("parser", PARSERS.values(), ids=PARSERS)
text_parsers = pytest.mark.parametrize(
    "parser", [p for p in PARSERS.values() if p.text], ids=[n for n, p in PARSERS.items() if p.text]
)


def outcome(parser: Parser, output: object) -> object:
    """What the parser returns, or its declared error; any other exception fails the test."""
    try:
        result = parser.parse(output)  # type: ignore[arg-type]
    except parser.error as error:
        result = error
    if isinstance(result, PocketNASError):
        assert str(result).isprintable()
        assert len(str(result)) < 500
    return result


def numbers_in(value: object) -> list[float]:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return []
    if isinstance(value, int | float):
        return [value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return numbers_in([getattr(value, field.name) for field in dataclasses.fields(value)])
    if isinstance(value, Mapping):
        return numbers_in([*value.keys(), *value.values()])
    if isinstance(value, list | tuple):
        return [number for item in value for number in numbers_in(item)]
    return []


def names_in(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return names_in([getattr(value, field.name) for field in dataclasses.fields(value)])
    if isinstance(value, list | tuple):
        return [name for item in value for name in names_in(item)]
    return []


@st.composite
def damaged(draw: st.DrawFn, originals: tuple[str, ...]) -> str:
    """A sample, damaged in one to four places: cut, overwritten, repeated, its lines or numbers exchanged."""
    text = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 40)))
        kind = draw(st.sampled_from(["cut off", "remove", "overwrite", "repeat", "swap lines", "number"]))
        if kind == "cut off":
            text = text[:start]
        elif kind == "remove":
            text = text[:start] + text[end:]
        elif kind == "overwrite":
            text = text[:start] + draw(st.text(max_size=20)) + text[end:]
        elif kind == "repeat":
            text = text[:end] + text[start:]
        elif kind == "number":
            value = draw(st.sampled_from(["-1", "0", "9" * 30, "1e999", "nan", "inf", "0x10", "\u0663", "1.", ""]))
            text = text[:start] + value + text[end:]
        else:
            lines = text.split("\n")
            first, second = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
            lines[first], lines[second] = lines[second], lines[first]
            text = "\n".join(lines)
    return text


@parsers
@given(data=st.data())
def test_damaged_output_does_no_more_than_be_refused(parser: Parser, data: st.DataObject) -> None:
    result = outcome(parser, data.draw(damaged(parser.samples)).encode("utf-8", "replace"))
    assert all(math.isfinite(number) and abs(number) <= 1e19 for number in numbers_in(result))
    assert all(name.isprintable() for name in names_in(result))


@parsers
@given(output=st.binary(max_size=300))
def test_any_bytes_do_no_more_than_be_refused(parser: Parser, output: bytes) -> None:
    result = outcome(parser, output)
    assert all(math.isfinite(number) for number in numbers_in(result))


@text_parsers
@given(output=st.text(max_size=300))
def test_any_text_does_no_more_than_be_refused(parser: Parser, output: str) -> None:
    result = outcome(parser, output)
    assert all(math.isfinite(number) for number in numbers_in(result))


@text_parsers
def test_text_and_its_bytes_are_read_alike(parser: Parser) -> None:
    for sample in parser.samples:
        as_bytes, as_text = outcome(parser, sample.encode()), outcome(parser, sample)
        assert str(as_bytes) == str(as_text)


@text_parsers
def test_carriage_returns_of_a_terminal_change_nothing(parser: Parser) -> None:
    for sample in parser.samples:
        assert str(outcome(parser, sample.replace("\n", "\r\n"))) == str(outcome(parser, sample))


@parsers
def test_endless_output_is_refused(parser: Parser) -> None:
    result = outcome(parser, b"0" * (MAX_LOG_BYTES + 1))
    assert isinstance(result, PocketNASError)


@parsers
@pytest.mark.parametrize("filler", [" ", "\n", "\t", "=", "a", "1", "(", ", ", " 1", "[a]: [", "a=1 ", "1/", "\t1"])
def test_long_output_is_read_in_no_time(parser: Parser, filler: str) -> None:
    """Against expressions that go back again and again: each sample, with a long run in its middle and at its end."""
    for sample in parser.samples:
        run = filler * (LONG // len(filler))
        for at in (0, len(sample) // 2, len(sample)):
            began = time.process_time()
            outcome(parser, (sample[:at] + run + sample[at:]).encode())
            assert time.process_time() - began < 2
