"""Networks beside some of a table's operators, which are to tell what the device was like just then."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_tables import measured_table
from tiny_tflite import conv_model, write_model

from android_bench.job import Job
from android_bench.local import open_local
from android_bench.protocol import networks_on
from android_bench.store import SampleStore
from pocketnas import like_table
from pocketnas.like_table import LikeTable, measure_like_table
from pocketnas_base.artifact import Artifact
from pocketnas_base.errors import MeasurementError
from pocketnas_base.progress import Progress, silent
from search.space import load_space

DEMO = load_space("demo")


def job(folder: Path, channels: int) -> Job:
    path = folder / f"conv{channels}.tflite"
    write_model(path, conv_model(np.ones((channels, 3), np.float32), (1, 8, 8, 3)))
    return Job(path.name, Artifact.of_file(path))


def taken_in(store: SampleStore, jobs: list[Job], progress: Progress = silent) -> LikeTable:
    """Jobs beside a made-up table of this machine, one process each."""
    device = open_local()
    table = measured_table(DEMO, device_fingerprint=device.info.fingerprint)
    protocol = replace(networks_on(device), processes=1, min_processes=1)
    return measure_like_table(table, device, jobs, DEMO.before, protocol, store, progress=progress)


def test_witnesses_are_measured_beside_the_networks_whatever_the_store_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(like_table, "SESSIONS", 1)
    jobs = [job(tmp_path, channels) for channels in (4, 8)]

    with SampleStore.open(tmp_path / "samples.sqlite") as store:
        first = taken_in(store, jobs[:1])
        assert len(taken_in(store, jobs[:1]).readings) == len(first.readings), "nothing is measured twice"
        both = taken_in(store, jobs)
    own = [reading for reading in both.readings if reading.role == "job"]
    witnesses = {reading.process for reading in own if reading.job_id.startswith("table-")}
    assert {reading.process for reading in own} == witnesses
    assert {each.id for each in jobs} < {reading.job_id for reading in own}


def test_a_session_is_taken_again_once_the_witnesses_are_what_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drifts = iter([5.0, 1.0, 0.5])  # of a session, a look, and a session
    monkeypatch.setattr(like_table, "_drift_percent", lambda *_: next(drifts))
    monkeypatch.setattr(like_table, "PAUSE_S", 0.01)
    looks: list[tuple[int, int]] = []

    def progress(done: int, total: int, what: str) -> None:
        if "until the device is" in what:
            looks.append((done, total))

    with SampleStore.open(tmp_path / "samples.sqlite") as store:
        taken = taken_in(store, [job(tmp_path, 4)], progress)
        sessions = len(store.sessions())
    assert taken.drift_percent == 0.5
    assert len(looks) == 1
    assert all(0 <= done <= total for done, total in looks)
    assert next(drifts, None) is None
    assert sessions == 2, "looks are not kept"


def test_where_the_device_stays_other_the_nearest_session_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drifts = iter([-3.0, 9.0, 8.0])  # of a session, a look, and a session
    monkeypatch.setattr(like_table, "_drift_percent", lambda *_: next(drifts))
    monkeypatch.setattr(like_table, "SESSIONS", 2)  # the pause is longer than the session, so there is one look
    with SampleStore.open(tmp_path / "samples.sqlite") as store:
        taken = taken_in(store, [job(tmp_path, 4)])
    assert taken.drift_percent == -3.0
    assert next(drifts, None) is None


def test_sessions_of_before_are_gone_on_with_and_nothing_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drifts = iter([5.0, 1.0, 4.0, 5.0, 4.0])  # of a session, a look, and a session; of both, again
    monkeypatch.setattr(like_table, "_drift_percent", lambda *_: next(drifts))
    monkeypatch.setattr(like_table, "PAUSE_S", 0.01)
    monkeypatch.setattr(like_table, "SESSIONS", 2)
    with SampleStore.open(tmp_path / "samples.sqlite") as store:
        first, again = (taken_in(store, [job(tmp_path, 4)]) for _ in range(2))
    assert next(drifts, None) is None
    assert (first.drift_percent, again.drift_percent) == (4.0, 4.0)
    assert len(first.readings) == len(again.readings)


def test_a_look_that_is_void_shows_a_device_that_is_still_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drifts = iter([5.0, 1.0, 0.5])  # of a session, the second look, and a session
    void = iter([False, True, False, False])
    monkeypatch.setattr(like_table, "_drift_percent", lambda *_: next(drifts))
    monkeypatch.setattr(like_table, "PAUSE_S", 0.01)
    measure = like_table.measure

    def measured(*given: Any, **named: Any) -> str:
        if next(void):
            raise MeasurementError("the phone is warm")
        return measure(*given, **named)

    monkeypatch.setattr(like_table, "measure", measured)
    with SampleStore.open(tmp_path / "samples.sqlite") as store:
        taken = taken_in(store, [job(tmp_path, 4)])
    assert taken.drift_percent == 0.5
    assert next(void, None) is None
