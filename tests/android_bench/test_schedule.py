"""Orders, sentinels, and the settings and jobs that make no sense."""

from pathlib import Path

import pytest

from android_bench.job import Job, check_jobs, pick_sentinels
from android_bench.local import open_local
from android_bench.protocol import Protocol
from android_bench.schedule import schedule
from pocketnas_base.artifact import Artifact
from pocketnas_base.errors import InputError


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    made = []
    for index in range(10):
        path = tmp_path / f"m{index}.{'pte' if index == 9 else 'tflite'}"
        path.write_bytes(b"x" * (index + 1))
        made.append(Job(f"m{index}", Artifact.of_file(path)))
    return made


def test_sentinel_stands_first_after_every_few_jobs_and_last(jobs: list[Job]) -> None:
    steps = schedule(jobs[:9], jobs[0], Protocol(sentinel_every=4), 0)
    assert "".join(step.role[0] for step in steps) == "sjjjjsjjjjsjs"
    assert {step.job.id for step in steps if step.role == "sentinel"} == {"m0"}
    assert sorted(step.job.id for step in steps if step.role == "job") == [job.id for job in jobs[:9]]


def test_sentinel_is_not_read_twice_at_the_end(jobs: list[Job]) -> None:
    assert "".join(step.role[0] for step in schedule(jobs[:4], jobs[0], Protocol(sentinel_every=4), 0)) == "sjjjjs"


def order(jobs: list[Job], round_number: int, seed: int = 0) -> list[str]:
    steps = schedule(jobs, jobs[0], Protocol(seed=seed), round_number)
    return [step.job.id for step in steps if step.role == "job"]


def test_every_round_and_every_seed_has_an_order_of_its_own(jobs: list[Job]) -> None:
    orders = [order(jobs, 0), order(jobs, 1), order(jobs, 0, seed=1)]
    assert len({tuple(ids) for ids in orders}) == 3
    assert order(jobs, 1) == orders[1]


def test_resumed_round_keeps_the_order_of_what_is_left(jobs: list[Job]) -> None:
    whole = order(jobs, 3)
    left = {"m1", "m4", "m5", "m8"}
    assert order([job for job in jobs if job.id in left], 3) == [name for name in whole if name in left]


def test_sentinel_is_the_job_of_median_size_unless_named(jobs: list[Job]) -> None:
    assert {runtime: job.id for runtime, job in pick_sentinels(jobs, ()).items()} == {
        "tflite": "m4",
        "executorch": "m9",
    }
    assert pick_sentinels(jobs, ["m2"])["tflite"].id == "m2"


def test_sentinels_that_make_no_sense_are_refused(jobs: list[Job]) -> None:
    with pytest.raises(InputError, match="no job is named nobody"):
        pick_sentinels(jobs, ["nobody"])
    with pytest.raises(InputError, match="two sentinels are named for tflite: m1 and m2"):
        pick_sentinels(jobs, ["m1", "m2"])


def test_jobs_that_make_no_sense_are_refused(jobs: list[Job]) -> None:
    with pytest.raises(InputError, match="there is nothing to measure"):
        check_jobs([])
    with pytest.raises(InputError, match="two jobs are named m0"):
        check_jobs([jobs[0], jobs[0]])
    for wrong in ("", "a\nb", "x" * 201):
        with pytest.raises(InputError, match="printable characters"):
            Job(wrong, jobs[0].artifact)
    with pytest.raises(InputError, match="a reference without the inputs"):
        Job("m", jobs[0].artifact, references=(Path("r"),))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"processes": 0}, "processes must be a whole number from 1"),
        ({"min_runs": 11, "max_runs": 10}, "min_runs must be a whole number from 1 to 10"),
        ({"max_ns": 10**12}, "max_ns must be"),
        ({"seed": -1}, "seed must be"),
        ({"threads": True}, "threads must be"),
        ({"threads": 2, "cores": (0, 0)}, "2 threads need as many cores"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Protocol(**changes)  # type: ignore[arg-type]


def test_cores_are_settled_on_a_device() -> None:
    device = open_local()
    last = max(core.number for core in device.info.cores)
    assert Protocol().on(device).cores == (last,)
    with pytest.raises(InputError, match=r"device local cannot use the cores \[999\]"):
        Protocol(cores=(999,)).on(device)
