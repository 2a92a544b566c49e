"""Operators too short for the clock: which ones, how many copies of them, and what their slope says."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sample_tables import measured_table, table_info

from android_bench.job import Job
from android_bench.latencies import latencies
from android_bench.local import open_local
from android_bench.session import measure
from android_bench.statistics import Summary
from android_bench.store import SampleStore
from deploy.executorch_export import takes_channels_last
from deploy.operators import MAX_COPIES
from latency.opspec import EMPTY, OpSpec, zero
from latency.rows import ROW_FIELDS, checked_row
from latency.table import LatencyTable
from pocketnas.config import TableConfig
from pocketnas.like_table import WITNESSES, pick_witnesses
from pocketnas.measuring import measure_table, operator_jobs, table_protocol
from pocketnas.repeated import MOST_UNRESOLVED, Pair, copies_needed, slope_row
from pocketnas_base.artifact import Runtime
from pocketnas_base.progress import silent
from search.space import SearchSpace, load_space

# Two measurements are compared, and a machine that others use may have run at another speed in between.
ATTEMPTS = 3
OP = OpSpec("mbconv", 8, 8, 3, 3, 1, 7)
MINI = """
name = "mini"
resolution = 16
image_channels = 3
classes = 4
kernels = [3]
expansions = [3]
zero = false
stem = { width = 4, kernel = 3, stride = 2 }
first = { width = 4, kernel = 3, expansion = 1 }
stages = [{ width = 4, cells = 1, stride = 1 }]
head = { width = 8 }
"""

times = st.floats(1.0, 1e7)


def summary(floor_ns: float, noise_ns: float = 0.0, *, settled: bool | None = True) -> Summary:
    """Of a device on which a median is a tenth above the lowest one."""
    median = 1.1 * floor_ns
    return Summary(
        median_ns=median,
        ci_low_ns=median - noise_ns,
        ci_high_ns=median + noise_ns,
        p10_ns=floor_ns,
        p90_ns=2 * floor_ns,
        samples=100,
        processes=8,
        floor_ns=floor_ns,
        floor_high_ns=floor_ns + noise_ns,
        settled=settled,
    )


@given(empty=times, own=times, tick=st.integers(1, 10_000_000))
def test_a_model_holds_as_few_copies_as_the_clock_needs(empty: float, own: float, tick: int) -> None:
    summaries = {EMPTY: summary(empty), OP: summary(empty + own)}
    own = summaries[OP].floor_ns - empty  # as floats have it
    assume(own > 0)
    copies = copies_needed(summaries, tick, "tflite").get(OP, 1)
    assert copies.bit_count() == 1
    assert copies <= MAX_COPIES // 2
    long_enough = tick <= MOST_UNRESOLVED * copies * own
    assert long_enough or copies == MAX_COPIES // 2
    assert copies == 1 or tick > MOST_UNRESOLVED * (copies // 2) * own, "half as many would do"


def test_what_is_no_slower_than_the_empty_model_is_repeated_as_often_as_may_be() -> None:
    summaries = {EMPTY: summary(1000), OP: summary(900)}
    assert copies_needed(summaries, 1, "tflite") == {OP: MAX_COPIES // 2}
    assert copies_needed(summaries, None, "tflite") == {}, "nothing is known of the clock"
    assert copies_needed({EMPTY: summary(1000), OP: summary(50_000)}, 52, "tflite") == {}


@given(empty=times, output=st.floats(0, 1e6), own=times, exponent=st.integers(1, 6))
def test_the_slope_is_the_operator_alone(empty: float, output: float, own: float, exponent: int) -> None:
    """Neither what an invocation costs is in it, nor what each further output does."""
    copies = 2**exponent
    op = Pair(*(summary(empty + count * (own + output)) for count in (copies, 2 * copies)))
    of_empty = Pair(*(summary(empty + count * output) for count in (copies, 2 * copies)))
    row = slope_row(summary(empty), op, of_empty, copies)
    assert row.latency_ms * 1e6 == pytest.approx(empty + own, rel=1e-6, abs=1e-3)
    assert row.median_ms is not None
    assert row.median_ms * 1e6 == pytest.approx(1.1 * (empty + own), rel=1e-6, abs=1e-3)
    assert (row.copies, row.samples, row.processes, row.p10_ms, row.p90_ms) == (copies, 200, 8, None, None)


@given(
    empty=times,
    floors=st.tuples(*[times] * 4),
    noise=st.tuples(*[st.floats(0, 1e6)] * 4),
    settled=st.tuples(*[st.sampled_from([True, False, None])] * 4),
)
def test_every_row_of_a_slope_is_one_that_a_table_holds(
    empty: float,
    floors: tuple[float, ...],
    noise: tuple[float, ...],
    settled: tuple[bool | None, ...],
) -> None:
    four = [summary(ns, up, settled=said) for ns, up, said in zip(floors, noise, settled, strict=True)]
    row = slope_row(summary(empty), Pair(*four[:2]), Pair(*four[2:]), 8)
    info = table_info(load_space("demo"))
    assert checked_row({name: getattr(row, name) for name in ROW_FIELDS}, info) == row
    assert row.latency_ms * 1e6 >= 0.999 * empty
    assert row.ci_low_ms is not None
    assert row.median_ms is not None
    assert row.ci_high_ms is not None
    assert row.ci_low_ms <= row.median_ms <= row.ci_high_ms
    assert row.noise_ms == pytest.approx(math.hypot(*noise) / 8 / 1e6, abs=1e-9)
    assert row.settled == (None if None in settled else all(settled))


def test_copies_that_would_share_work_are_not_made() -> None:
    classifier = OpSpec("classifier", 8, 4, 1, 1, 1, 7)
    summaries = {EMPTY: summary(1000), OP: summary(2000), classifier: summary(2000)}
    assert copies_needed(summaries, 52, "tflite") == {OP: 8, classifier: 8}
    assert copies_needed(summaries, 52, "executorch") == {OP: 8}


def test_witnesses_of_a_table_are_operators_that_were_measured_as_they_are() -> None:
    space = load_space("demo")
    table = measured_table(space)
    ops = list(dict.fromkeys(edge.candidates[0] for edge in space.edges))
    dearest = sorted(ops, key=lambda op: -table.rows[op].latency_ms)
    assert pick_witnesses(table, ops) == dearest[:WITNESSES]
    repeated = {op: replace(row, copies=8) if op in dearest[:2] else row for op, row in table.rows.items()}
    assert pick_witnesses(LatencyTable(table.info, repeated), ops) == [*dearest[2:], *dearest[:2]][:WITNESSES]
    assert pick_witnesses(LatencyTable(table.info, repeated), [*dearest[:3], zero(8, 7)]) == [
        dearest[2],
        *dearest[:2],
    ]


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["tflite", "executorch"])
def test_with_a_coarse_clock_the_slope_recovers_what_a_plain_row_loses(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mini.toml").write_text(MINI)
    space, config = load_space(str(tmp_path / "mini.toml")), TableConfig(runtime=runtime, processes=5)
    device, jobs = open_local(), operator_jobs(space, config, tmp_path / "cache", 0, silent)
    for attempt in range(ATTEMPTS):
        samples = tmp_path / f"coarse-{attempt}.sqlite"
        fine = _plain(tmp_path / f"fine-{attempt}.sqlite", space, jobs, config)
        # Coarse enough to be seen, and no coarser than the empty model takes, or its row would be 0.
        tick = int(0.8 * fine[EMPTY])
        with monkeypatch.context() as coarsely:
            coarsely.setenv("POCKETNAS_COARSE_CLOCK_NS", str(tick))
            coarse = _plain(samples, space, jobs, config)
            assert {value % tick for value in coarse.values()} == {0.0}, "a plain row is whole ticks"
            table = measure_table(space, device, config, jobs, samples, 0, silent)
            before = _measurements(samples)
            assert dict(measure_table(space, device, config, jobs, samples, 0, silent).rows) == dict(table.rows)
            assert _measurements(samples) == before, "nothing is measured twice"
        rows = {op: row for op, row in table.rows.items() if row.copies is not None}
        assert rows
        short = {op for op in coarse if tick > MOST_UNRESOLVED * (coarse[op] - coarse[EMPTY])} - {EMPTY}
        assert set(rows) == {op for op in short if runtime == "tflite" or takes_channels_last(op)}
        own = {op.key: (row.latency_ms - table.invocation_ms) * 1e6 for op, row in rows.items()}
        wanted = {
            op.key: pytest.approx(fine[op] - fine[EMPTY], abs=tick / 2 + 0.05 * (fine[op] - fine[EMPTY])) for op in rows
        }
        if own == wanted:
            break
    assert own == wanted
    table.save(tmp_path / "table.parquet")
    assert LatencyTable.load(tmp_path / "table.parquet") == table


def _plain(samples: Path, space: SearchSpace, jobs: list[Job], config: TableConfig) -> dict[OpSpec, float]:
    """The latency of each operator's own model, in ns."""
    device = open_local()
    with SampleStore.open(samples) as store:
        found = latencies(store, measure(device, jobs, table_protocol(device, config, 0), store))
    return {op: found[op.key].floor_ns for op in space.op_specs()}


def _measurements(samples: Path) -> int:
    with SampleStore.open(samples) as store:
        return sum(len(store.readings(session.key)) for session in store.sessions())
