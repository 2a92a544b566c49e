"""What else ran beside a process, from the counters around it."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import Model

from android_bench.device import Device
from android_bench.health import CoreHealth, HealthSnapshot
from android_bench.neighbours import Neighbours, neighbours
from android_bench.protocol import Protocol
from android_bench.session import measure
from android_bench.store import SampleStore

SECOND = 100
NOTHING = HealthSnapshot("2026-01-01T00:00:00+00:00", None, None, None, None, (), ())


def core(number: int, busy: int | None, steal: int | None, idle: int | None) -> CoreHealth:
    return CoreHealth(number, True, None, None, None, None, busy, steal, idle)


def between(*cores: CoreHealth, stalled_us: int | None = None, cpu_ns: int | None = None) -> Neighbours:
    """From all counters at zero, with two tasks wanting a core."""
    zero = tuple(core(each.number, 0, 0, 0) for each in cores)
    before = replace(NOTHING, cores=zero, runnable=2, cpu_stalled_us=0)
    after = replace(NOTHING, cores=cores, cpu_stalled_us=stalled_us)
    return neighbours(asdict(before), asdict(after), cpu_ns)


def test_shares_of_two_cores() -> None:
    found = between(
        core(0, SECOND, 0, 9 * SECOND), core(1, 9 * SECOND, SECOND, 0), stalled_us=2_500_000, cpu_ns=6_000_000_000
    )
    assert found == Neighbours(others=0.2, stolen=0.05, stalled=0.25, runnable=2)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (between(), Neighbours(None, None, None, 2)),
        (between(core(0, 0, 0, 0), stalled_us=1, cpu_ns=1), Neighbours(None, None, None, 2)),
        (between(core(0, 50, 0, 50)), Neighbours(None, 0.0, None, 2)),
        (between(core(0, 50, None, 50), core(1, 25, 0, 75), cpu_ns=0), Neighbours(0.25, 0.0, None, 2)),
    ],
)
def test_what_is_not_told_is_none(found: Neighbours, expected: Neighbours) -> None:
    assert found == expected


@given(st.lists(st.tuples(*[st.integers(0, 10**6)] * 3), max_size=8), st.integers(0, 10**18), st.integers(0, 10**15))
def test_shares_are_shares(ticks: list[tuple[int, int, int]], cpu_ns: int, stalled_us: int) -> None:
    found = between(*(core(at, *each) for at, each in enumerate(ticks)), stalled_us=stalled_us, cpu_ns=cpu_ns)
    for share in (found.others, found.stolen, found.stalled):
        assert (share is None) == (sum(map(sum, ticks)) == 0)
        assert share is None or 0 <= share <= 1


def test_each_process_of_a_session_has_its_neighbours(
    device: Device, tflite_models: list[Model], quick: Protocol, tmp_path: Path
) -> None:
    protocol: Any = replace(quick, min_ns=60_000_000, max_runs=100_000)
    with SampleStore.open(tmp_path / "s") as store:
        key = measure(device, [tflite_models[0].job()], protocol, store)
        found = store.neighbours(key)
        taken = store.readings(key)
    assert len(found) == 2
    for each in found:
        assert each.others is not None
        assert each.stolen is not None
        assert each.runnable is not None
    for reading in taken:
        assert reading.cpu_ns is not None
        # The kernel counts a thread's time in ticks where it is told to; a good part of 60 ms is seen all the same.
        assert 1_000_000 < reading.cpu_ns < 10_000_000_000
        assert reading.waited_ns is None or reading.waited_ns >= 0
