"""Sessions that stop when they know, and what a short round still holds."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_session import Watch, interrupt
from tiny_models import Model

from android_bench.checksum import seal, unseal
from android_bench.device import Device
from android_bench.job import Job
from android_bench.latencies import latencies
from android_bench.local import LocalTransport
from android_bench.protocol import Protocol
from android_bench.reading import Reading
from android_bench.reasons import Reason
from android_bench.session import measure
from android_bench.statistics import floor_bound, is_settled, undisturbed_share
from android_bench.stopping import MISSED, Stopping, enough_processes
from android_bench.store import SampleStore
from pocketnas_base.artifact import Artifact
from pocketnas_base.errors import InputError

MEDIANS = st.lists(st.floats(1, 1e9), min_size=1, max_size=40)


@given(MEDIANS)
def test_bound_is_a_median_and_never_below_the_floor(medians: list[float]) -> None:
    assert min(medians) <= floor_bound(medians) <= max(medians)
    assert floor_bound(medians) in medians
    assert floor_bound(medians[::-1]) == floor_bound(medians)


@given(MEDIANS, st.floats(1e-3, 1e3))
def test_bound_goes_with_the_unit(medians: list[float], factor: float) -> None:
    assert floor_bound([factor * each for each in medians]) == factor * floor_bound(medians)


@pytest.mark.parametrize("count", [5, 8, 12, 20, 30])
def test_bound_is_what_the_bootstrap_finds(count: int) -> None:
    generator = np.random.default_rng(count)
    medians = generator.exponential(1.0, count)
    lowest = medians[generator.integers(0, count, (20_000, count))].min(axis=1)
    share = float(np.mean(lowest <= floor_bound(medians)))
    below = float(np.mean(lowest < floor_bound(medians)))
    assert below < 0.975 + 0.005
    assert share >= 0.975 - 0.005


def test_interval_of_the_latency_decides() -> None:
    assert is_settled([100.0, 100.9, 101.9, 150.0, 900.0], 5, 0.01)
    assert not is_settled([100.0, 100.9, 102.1, 150.0, 900.0], 5, 0.01)
    assert not is_settled([100.0] * 4, 5, 0.01)
    assert is_settled([100.0] * 5, 5, 0.0)
    assert not is_settled([], 1, 0.01)


def test_undisturbed_are_those_beside_the_lowest() -> None:
    assert undisturbed_share([100.0, 104.0, 103.0, 104.1, 150.0], 0.02) == 0.5
    assert undisturbed_share([100.0, 100.0], 0.0) == 1.0
    assert undisturbed_share([100.0], 0.02) is None
    assert undisturbed_share([], 0.02) is None


@given(st.lists(MEDIANS, max_size=8), st.floats(0, 0.5))
def test_as_many_processes_as_leave_none_disturbed_throughout(jobs: list[list[float]], within: float) -> None:
    shares = sorted(share for own in jobs if (share := undisturbed_share(own, within)) is not None)
    share = shares[len(shares) // 2] if shares else 1.0
    count = enough_processes(jobs, within)
    assert count >= 1
    if share == 0:
        assert count == float("inf")
    else:
        assert (1 - share) ** count <= MISSED * (1 + 1e-9)
        assert count == 1 or (1 - share) ** (count - 1) > MISSED * (1 - 1e-9)


def reading(job: Job, median: int, **changes: Any) -> Reading:
    samples = np.array([median], np.int64)
    made = Reading(
        process=1,
        round=0,
        runtime="tflite",
        role="job",
        job_id=job.id,
        artifact_sha256=job.artifact.sha256,
        precision="fp32",
        sequence=0,
        started_ns=0,
        load_ns=1,
        first_ns=1,
        warmup_ns=samples,
        samples_ns=samples,
        output_error=None,
        cpus_allowed="",
        voluntary_switches=None,
        involuntary_switches=None,
        peak_rss_kb=None,
    )
    return dataclasses.replace(made, **changes)


JOB = Job("m", Artifact(Path("m.tflite"), "aa", "tflite", "fp32"))
THREE = Protocol(min_processes=3)


def is_open(found: Sequence[Reading], tolerated: Sequence[str] = ()) -> bool:
    stopping = Stopping(THREE, tolerated)
    stopping.add(found)
    return stopping.open([JOB]) == [JOB]


@pytest.mark.parametrize(
    "changes", [{"voids": ("throttled",)}, {"role": "sentinel"}, {"artifact_sha256": "bb"}, {"job_id": "n"}]
)
def test_what_does_not_count_for_a_job_does_not_settle_it(changes: dict[str, Any]) -> None:
    assert not is_open([reading(JOB, 100)] * 3)
    assert is_open([*[reading(JOB, 100)] * 2, reading(JOB, 100, **changes)])
    assert not is_open([*[reading(JOB, 100)] * 2, reading(JOB, 100, voids=("throttled",))], ["throttled"])


OTHERS = [dataclasses.replace(JOB, id=f"other-{number}") for number in range(4)]
EIGHT = Protocol(min_processes=8)
NOISY = [100, 125, 119, 110, 151, 101, 137, 103]  # in three of eight processes undisturbed


def test_a_job_disturbed_alike_each_time_is_told_by_the_others() -> None:
    """Its processes agree with each other, but where the others' seldom agree, that is no sign of quiet."""
    found = [reading(JOB, median) for median in [113, 112, 113, 112, 114, 112, 113, 112]]
    alone = Stopping(EIGHT, ())
    alone.add(found)
    assert alone.open([JOB]) == []
    noisy = Stopping(EIGHT, ())
    noisy.add([*found, *(reading(other, median) for other in OTHERS for median in NOISY)])
    assert noisy.open([JOB, *OTHERS]) == [JOB, *OTHERS]
    noisy.add([reading(job, 100) for job in (JOB, *OTHERS) for _ in range(4)])
    assert noisy.open([JOB, *OTHERS]) == []


def test_a_job_that_scatters_by_itself_does_not_keep_the_others() -> None:
    stopping = Stopping(EIGHT, ())
    stopping.add(reading(other, 100) for other in OTHERS for _ in range(8))
    stopping.add(reading(JOB, median) for median in [100, 110, 120, 130, 140, 150, 160, 170])
    assert stopping.open([JOB, *OTHERS]) == [JOB]


class Told(LocalTransport):
    """A device on which every model takes a microsecond, and one of them twice as long in every further process."""

    def __init__(self, which: str = "") -> None:
        self.which, self.processes = which, 0

    @contextmanager
    def stream(self, argv: Sequence[str], *, silence_s: float, max_line_bytes: int) -> Iterator[Any]:
        with super().stream(argv, silence_s=silence_s, max_line_bytes=max_line_bytes) as lines:
            yield _Lines(lines, self.which, 1000 << self.processes)
        self.processes += 1


class _Lines:
    def __init__(self, lines: Any, which: str, took: int) -> None:
        self.lines, self.which, self.took = lines, which, took
        self.wait = lines.wait

    def __iter__(self) -> Iterator[bytes]:
        for line in self.lines:
            fields = json.loads(unseal(line) or b"")
            if "samples_ns" in fields:
                took = self.took if fields["id"] == self.which else 1000
                fields["samples_ns"] = [took] * len(fields["samples_ns"])
            yield seal(json.dumps(fields).encode())


@pytest.fixture
def steady(device: Device) -> Device:
    return dataclasses.replace(device, transport=Told())


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with SampleStore.open(tmp_path / "samples.sqlite") as opened:
        yield opened


def rounds_of(store: SampleStore, key: str, job: Job) -> list[int]:
    return [r.round for r in store.readings(key) if r.role == "job" and r.job_id == job.id]


def test_a_session_ends_when_everything_is_settled(
    steady: Device, tflite_models: list[Model], executorch_model: Model, quick: Protocol, store: SampleStore
) -> None:
    jobs = [model.job() for model in (*tflite_models[:2], executorch_model)]
    protocol = dataclasses.replace(quick, processes=9, min_processes=3)
    watch = Watch()
    key = measure(steady, jobs, protocol, store, progress=watch)
    assert [rounds_of(store, key, job) for job in jobs] == [[0, 1, 2]] * 3
    assert all(summary.settled for summary in latencies(store, key).values())
    assert watch.seen[0][:2] == (1, 27)
    assert watch.seen[-2:] == [(9, 27, watch.seen[-2][2]), (9, 9, "all settled")]
    assert measure(steady, jobs, protocol, store) == key
    assert [rounds_of(store, key, job) for job in jobs] == [[0, 1, 2]] * 3


def test_a_session_whose_budget_is_spent_says_so(
    device: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    job = tflite_models[0].job()
    protocol = dataclasses.replace(quick, processes=4, min_processes=3)
    key = measure(dataclasses.replace(device, transport=Told(job.id)), [job], protocol, store)
    assert rounds_of(store, key, job) == [0, 1, 2, 3]
    assert latencies(store, key)[job.id].settled is False


def test_what_is_not_settled_goes_on_alone_with_its_sentinels(
    device: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    jobs = [model.job() for model in tflite_models[:4]]
    protocol = dataclasses.replace(quick, processes=5, min_processes=3, settled_within=0.45)
    told = dataclasses.replace(device, transport=Told(jobs[0].id))
    key = measure(told, jobs, protocol, store, sentinels=[jobs[3].id])
    assert [rounds_of(store, key, job) for job in jobs] == [[0, 1, 2, 3, 4], *[[0, 1, 2]] * 3]
    found = store.readings(key)
    for number, expected in enumerate(["sjjjsjs"] * 3 + ["sjs"] * 2):
        assert "".join(reading.role[0] for reading in found if reading.round == number) == expected
    settled = {name: summary.settled for name, summary in latencies(store, key).items()}
    assert settled == {job.id: job is not jobs[0] for job in jobs}


def test_what_is_void_does_not_settle_a_job(
    steady: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    """It is measured again, alone with its sentinels, until it has the processes that it needs."""
    jobs = [model.job() for model in tflite_models[:4]]
    protocol = dataclasses.replace(quick, processes=5, min_processes=3)
    spoilt = 0

    def spoil(_done: int, _total: int, what: str) -> None:
        nonlocal spoilt
        if what == jobs[0].id and spoilt < 2:
            spoilt += 1
            (number,) = store._file._connection.execute("SELECT max(id) FROM measurement").fetchone()
            store.add_voids([number], [Reason("throttled", "made up")])

    key = measure(steady, jobs, protocol, store, sentinels=[jobs[3].id], progress=spoil)
    assert rounds_of(store, key, jobs[0]) == [0, 0, 0, 1, 2]
    assert all(rounds_of(store, key, job) == [0, 1, 2] for job in jobs[1:])
    assert latencies(store, key)[jobs[0].id].processes == 3


def test_an_interrupted_session_decides_as_it_would_have(
    steady: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    jobs = [model.job() for model in tflite_models[:3]]
    protocol = dataclasses.replace(quick, processes=9, min_processes=3)
    for at in (2, 3, 3):
        with pytest.raises(KeyboardInterrupt):
            measure(steady, jobs, protocol, store, progress=Watch(at, interrupt))
    key = measure(steady, jobs, protocol, store)
    assert [rounds_of(store, key, job) for job in jobs] == [[0, 1, 2]] * 3
    (record,) = store.sessions()
    assert record.key == key


def test_a_job_that_comes_later_has_rounds_of_its_own(
    steady: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    jobs = [model.job() for model in tflite_models[:3]]
    protocol = dataclasses.replace(quick, processes=9, min_processes=3)
    key = measure(steady, jobs[:2], protocol, store)
    assert measure(steady, jobs, protocol, store) == key
    assert [rounds_of(store, key, job) for job in jobs] == [[0, 1, 2]] * 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_processes": 0}, "min_processes must be"),
        ({"settled_within": -0.1}, "settled_within must be a share"),
        ({"settled_within": float("nan")}, "settled_within must be a share"),
        ({"warmup_min_ns": 2, "warmup_max_ns": 1}, "warmup_min_ns must be"),
    ],
)
def test_limits_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Protocol(**changes)
