"""Reading what a runner says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_bench.checksum import seal
from android_bench.results import MAX_LINE_BYTES, MAX_OPERATORS, ErrorLine, MeasurementLine, ProfileLine, parse_line
from pocketnas_base.errors import MeasurementError

MEASUREMENT: dict[str, object] = {
    "type": "measurement",
    "id": "m",
    "sequence": 0,
    "load_ns": 1,
    "first_ns": 2,
    "started_ns": 3,
    "warmup_ns": [4],
    "warmup_stable": True,
    "samples_ns": [5, 6],
    "output_error": None,
    "cpus_allowed": "00000001,00000003",
    "cores_ran": [0, 32],
    "voluntary_switches": 0,
    "involuntary_switches": None,
    "cpu_ns": 10,
    "waited_ns": None,
    "peak_rss_kb": 7,
}
OPERATOR: dict[str, object] = {
    "index": 0,
    "name": "part 0, operator 0",
    "kind": "Convolution (NHWC, F32) IGEMM",
    "median_ns": 2000,
    "total_ns": 40_000,
    "calls": 20,
    "resolution_ns": 1000,
    "delegated": True,
}
DELEGATE: dict[str, object] = {"name": "XNNPACK", "nodes": 3, "of_nodes": 6, "partitions": None}
PROFILE: dict[str, object] = {
    "type": "profile",
    "id": "m",
    "sequence": 0,
    "runs": 20,
    "median_run_ns": 3000,
    "operators": [OPERATOR],
    "delegates": [DELEGATE],
}


def sealed(fields: dict[str, object]) -> bytes:
    return seal(json.dumps(fields).encode())


def test_measurement_is_read_with_its_cores() -> None:
    line = parse_line(sealed(MEASUREMENT))
    assert isinstance(line, MeasurementLine)
    assert line.samples_ns == [5, 6]
    assert line.allowed_cores == (0, 1, 32)
    assert line.cores_ran == [0, 32]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", "measure"),
        ("id", 1),
        ("sequence", -1),
        ("samples_ns", []),
        ("samples_ns", [1.5]),
        ("samples_ns", ["1"]),
        ("samples_ns", [-1]),
        ("samples_ns", [2**63]),
        ("samples_ns", [1] * 100_001),
        ("output_error", -1.0),
        ("cpus_allowed", "0x3"),
        ("cpus_allowed", "f" * 1000),
        ("cores_ran", [-1]),
        ("cores_ran", [1024]),
        ("cores_ran", [0] * 1025),
        ("peak_rss_kb", "7"),
        ("surprise", 1),
    ],
)
def test_measurement_with_a_wrong_field_is_refused_in_one_line(field: str, value: object) -> None:
    with pytest.raises(MeasurementError, match="the runner wrote a line that is not a result") as caught:
        parse_line(sealed(MEASUREMENT | {field: value}))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("field", list(MEASUREMENT))
def test_measurement_without_a_field_is_refused(field: str) -> None:
    with pytest.raises(MeasurementError, match="not a result"):
        parse_line(sealed({name: value for name, value in MEASUREMENT.items() if name != field}))


def test_profile_is_read() -> None:
    line = parse_line(sealed(PROFILE))
    assert isinstance(line, ProfileLine)
    assert (line.operators[0].kind, line.operators[0].median_ns) == ("Convolution (NHWC, F32) IGEMM", 2000)
    assert (line.delegates[0].nodes, line.delegates[0].partitions) == (3, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("runs", 0),
        ("runs", 1001),
        ("operators", []),
        ("operators", [OPERATOR] * (MAX_OPERATORS + 1)),
        ("operators", [OPERATOR | {"calls": 0}]),
        ("operators", [OPERATOR | {"delegated": 1}]),
        ("operators", [OPERATOR | {"median_ns": -1}]),
        ("operators", [OPERATOR | {"name": "n" * 4097}]),
        ("operators", [OPERATOR | {"surprise": 1}]),
        ("delegates", [DELEGATE] * 65),
        ("delegates", [DELEGATE | {"nodes": -1}]),
        ("surprise", 1),
    ],
)
def test_profile_with_a_wrong_field_is_refused_in_one_line(field: str, value: object) -> None:
    with pytest.raises(MeasurementError, match="the runner wrote a line that is not a result: profile") as caught:
        parse_line(sealed(PROFILE | {field: value}))
    assert len(str(caught.value)) < 300


def test_text_from_a_model_cannot_move_the_terminals_cursor() -> None:
    line = parse_line(sealed(PROFILE | {"operators": [OPERATOR | {"name": "é\x1b[2Jx\ny\x9b\u202e"}]}))
    assert isinstance(line, ProfileLine)
    assert line.operators[0].name == "é [2Jx y  "
    fields = {"type": "error", "id": "m", "sequence": 0, "kind": "profile", "message": "a\nb"}
    error = parse_line(sealed(fields))
    assert isinstance(error, ErrorLine)
    assert error.message == "a b"


@pytest.mark.parametrize("change", [{"a\nb": 1}, {"type": "a\nb"}, {"x" * 10_000: 1}])
def test_refusal_is_one_short_line_whatever_the_fields_are_named(change: dict[str, object]) -> None:
    with pytest.raises(MeasurementError) as caught:
        parse_line(sealed(MEASUREMENT | change))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999"])
def test_output_error_that_is_not_finite_is_refused(text: str) -> None:
    with pytest.raises(MeasurementError, match="not a result"):
        parse_line(seal(json.dumps(MEASUREMENT).replace("null", text, 1).encode()))


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_do_more_than_be_refused(line: bytes, with_checksum: bool) -> None:
    with pytest.raises(MeasurementError) as caught:
        parse_line(seal(line) if with_checksum else line)
    assert "\n" not in str(caught.value)


def test_every_flipped_bit_and_every_cut_is_noticed() -> None:
    line = sealed(MEASUREMENT)
    for bit in range(8 * len(line)):
        changed = bytearray(line)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(MeasurementError, match="damaged on its way"):
            parse_line(bytes(changed))
    for length in range(len(line)):
        with pytest.raises(MeasurementError, match="damaged on its way"):
            parse_line(line[:length])


def test_longest_allowed_profile_fits_a_line() -> None:
    # The runner cuts names to 128 bytes; each may be written as an escape of six.
    longest = OPERATOR | {name: 2**63 - 1 for name in OPERATOR if name.endswith("_ns") or name == "calls"}
    longest |= {"name": "\x01" * 128, "kind": "\x01" * 128}
    assert len(json.dumps(PROFILE | {"operators": [longest] * MAX_OPERATORS})) < MAX_LINE_BYTES


def test_longest_allowed_measurement_fits_a_line() -> None:
    assert len(json.dumps({"samples_ns": [10**10] * 100_000, "warmup_ns": [10**10] * 100_000})) < MAX_LINE_BYTES
