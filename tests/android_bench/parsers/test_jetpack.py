"""AndroidX' Jetpack Benchmark: benchmarkData.json."""

import json
from typing import Any

import pytest
from device_samples import JETPACK
from hypothesis import given
from hypothesis import strategies as st

from android_bench.errors import UnreadableOutputError
from android_bench.parsers.jetpack import parse_jetpack


def changed(**times: Any) -> str:
    """The sample with other values in its first benchmark's timeNs."""
    document = json.loads(JETPACK)
    document["benchmarks"][0]["metrics"]["timeNs"] |= times
    return json.dumps(document)


def test_times_are_read_in_ns_and_suppressed_errors_taken_off_the_name() -> None:
    report = parse_jetpack(JETPACK)
    assert (report.device, report.sdk, report.cpu_locked, report.sustained_performance) == (
        "google Pixel 6",
        34,
        False,
        True,
    )
    net, startup = report.benchmarks
    assert (net.name, net.suppressed) == ("mobilenet_v1_1.0_224", ("UNLOCKED", "LOW-BATTERY"))
    assert net.times is not None
    assert (net.times.minimum_ns, net.times.median_ns, net.times.maximum_ns) == (11951702, 12104511, 14120339)
    assert net.times.runs_ns == (14120339, 12104511, 11951702, 12088013, 12220107)
    assert (startup.name, startup.times, startup.metrics) == ("startup", None, ("timeToInitialDisplayMs",))


def test_a_name_that_is_nothing_but_ids_keeps_the_last_one() -> None:
    document = json.loads(JETPACK)
    document["benchmarks"][0]["name"] = "EMULATOR_DEBUGGABLE"
    assert parse_jetpack(json.dumps(document)).benchmarks[0].name == "DEBUGGABLE"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (changed(median=1e6), "contradict each other"),
        (changed(runs=[1.2e7]), "contradict each other"),
        (changed(runs=[]), r"timeNs\.runs: List should have at least 1 item"),
        (changed(median="12104511"), r"timeNs\.median: Input should be a valid number"),
        (changed(median=None), r"timeNs\.median: Input should be a valid number"),
        (changed(median=0.0), r"timeNs\.median: Input should be greater than 0"),
        (JETPACK.replace("1.2104511E7", "NaN", 1), "timeNs.median"),
        (JETPACK.replace("1.2104511E7", "-1", 1), "timeNs.median"),
        (JETPACK[:-40], "Invalid JSON: EOF"),
        ("[]", "Input should be an object"),
        ('{"context": {}, "benchmarks": []}', "context.build: Field required"),
    ],
)
def test_what_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(UnreadableOutputError, match=message):
        parse_jetpack(text)


@given(runs=st.lists(st.floats(1, 1e12), min_size=1, max_size=30))
def test_what_a_writer_states_is_read_back(runs: list[float]) -> None:
    ordered = sorted(runs)
    text = changed(minimum=ordered[0], maximum=ordered[-1], median=ordered[len(runs) // 2], runs=runs)
    times = parse_jetpack(text).benchmarks[0].times
    assert times is not None
    assert times.runs_ns == tuple(runs)
    assert (times.minimum_ns, times.median_ns, times.maximum_ns) == (ordered[0], ordered[len(runs) // 2], ordered[-1])
