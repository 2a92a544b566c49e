"""Statistics in the place of samples: how they are kept, and what becomes of them."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from android_bench import sample_file as stores
from android_bench.health import HealthSnapshot
from android_bench.job import Job
from android_bench.latencies import latencies, readings
from android_bench.reading import SessionRecord
from android_bench.schedule import Step
from android_bench.stated import Coverage, StatedMeasurement, StatedRuns
from android_bench.statistics import summarise_stated
from android_bench.store import SampleStore
from pocketnas_base.artifact import Artifact
from pocketnas_base.errors import InputError

HEALTH = HealthSnapshot("2026-01-01T00:00:00+00:00", None, 0.5, None, None, (), ())
RECORD = SessionRecord("key", "local", "print", {"model": None}, {"tflite": {"version": "1"}}, {"seed": 0}, "0.1")
STEP = Step(Job("m", Artifact(Path("m.tflite"), "aa", "tflite", "fp32")), "job")
FULL = StatedRuns(24, 42_435.4, 42_405.0, 42_142.0, 42_763.0, 147.0, 42_232.0, 42_729.0, 143_669, 72_635)
COVERAGE = (Coverage("Gpu", 29, 31, 2, False), Coverage("Gpu", None, None, 1, True))


def stated(runs: StatedRuns, coverage: tuple[Coverage, ...] = ()) -> StatedMeasurement:
    return StatedMeasurement(3, 7_000, "f0", runs, coverage)


def filled(path: Path, *runs: StatedRuns, coverage: tuple[Coverage, ...] = ()) -> None:
    with SampleStore.open(path) as store:
        store.add_session(RECORD)
        for number, own in enumerate(runs):
            store.add_stated(store.add_process("key", "tflite", number, HEALTH), STEP, stated(own, coverage))


@pytest.mark.parametrize("runs", [FULL, StatedRuns(10, 2.55e6)])
def test_what_is_stated_is_read_back_unchanged(runs: StatedRuns, tmp_path: Path) -> None:
    filled(tmp_path / "s", runs, coverage=COVERAGE)
    with SampleStore.open(tmp_path / "s") as store:
        (reading,) = readings(store, "key")
        assert reading.stated == runs
        assert reading.coverage == COVERAGE
        assert reading.samples_ns.tolist() == reading.warmup_ns.tolist() == []
        assert (reading.load_ns, reading.first_ns) == (runs.load_ns, runs.first_ns)
        assert (reading.sequence, reading.started_ns, reading.cpus_allowed) == (3, 7_000, "f0")
        assert reading.middle_ns == 7_000 + int(runs.count * runs.mean_ns) // 2
        assert store.measured("key") == {(0, "m", "aa")}


def test_typical_time_is_the_median_or_else_the_mean() -> None:
    assert (FULL.typical_ns, FULL.statistic) == (42_405.0, "median")
    mean = replace(FULL, median_ns=None)
    assert (mean.typical_ns, mean.statistic) == (42_435.4, "mean")


def test_each_process_contributes_what_it_states(tmp_path: Path) -> None:
    filled(tmp_path / "s", *(replace(FULL, median_ns=median) for median in (100.0, 300.0, 200.0)))
    with SampleStore.open(tmp_path / "s") as store:
        summary = latencies(store, "key")["m"]
    assert (summary.median_ns, summary.floor_ns, summary.samples, summary.processes) == (200, 100, 72, 3)
    assert (summary.ci_low_ns, summary.ci_high_ns) == (100, 300)
    assert (summary.statistic, summary.p10_ns, summary.p90_ns) == ("median", None, None)


def test_one_mean_among_medians_is_said() -> None:
    assert summarise_stated([FULL, replace(FULL, median_ns=None)]).statistic == "mean"


def test_drift_is_divided_out_but_not_of_the_floor() -> None:
    summary = summarise_stated([replace(FULL, median_ns=100.0), replace(FULL, median_ns=200.0)], [1.0, 2.0])
    assert (summary.median_ns, summary.floor_ns) == (100, 100)


@pytest.mark.parametrize("drift", [[1.0], [1.0, 0.0], [1.0, -1.0]])
def test_drift_that_does_not_fit_is_refused(drift: list[float]) -> None:
    with pytest.raises(ValueError, match="one factor above zero per process"):
        summarise_stated([FULL, FULL], drift)
    with pytest.raises(ValueError, match="at least one process"):
        summarise_stated([])


@pytest.mark.parametrize("statement", ["UPDATE summary SET mean_ns = 1", "DELETE FROM coverage"])
def test_what_is_stated_is_only_ever_added(statement: str, tmp_path: Path) -> None:
    filled(tmp_path / "s", FULL, coverage=COVERAGE)
    with sqlite3.connect(tmp_path / "s") as connection, pytest.raises(sqlite3.IntegrityError, match="only ever added"):
        connection.execute(statement)


@pytest.mark.parametrize(
    "statement", ["DELETE FROM summary", "UPDATE measurement SET samples_ns = x'0100000000000000'"]
)
def test_samples_and_statistics_never_stand_in_for_each_other(statement: str, tmp_path: Path) -> None:
    filled(tmp_path / "s", FULL)
    with sqlite3.connect(tmp_path / "s") as connection:
        connection.executescript("DROP TRIGGER summary_no_DELETE; DROP TRIGGER measurement_no_UPDATE;")
        connection.execute(statement)
    with SampleStore.open(tmp_path / "s") as store, pytest.raises(InputError, match="is damaged: measurement 1"):
        store.readings("key")


def test_store_of_the_first_version_takes_statistics_too(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "s") as connection:
        connection.executescript(
            f"{stores._SCHEMA} PRAGMA application_id = {stores._APPLICATION_ID}; PRAGMA user_version = 1;"
        )
    filled(tmp_path / "s", FULL, coverage=COVERAGE)
    with SampleStore.open(tmp_path / "s") as store:
        assert readings(store, "key")[0].stated == FULL
