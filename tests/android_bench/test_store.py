"""Samples on disk."""

import json
import sqlite3
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from android_bench import sample_file
from android_bench.health import HealthSnapshot
from android_bench.job import Job
from android_bench.latencies import drift_of, latencies, readings
from android_bench.reading import SessionRecord
from android_bench.results import MeasurementLine
from android_bench.schedule import Role, Step
from android_bench.store import SampleStore
from pocketnas_base.artifact import Artifact
from pocketnas_base.errors import InputError, MeasurementError

HEALTH = HealthSnapshot("2026-01-01T00:00:00+00:00", None, 0.5, None, None, (), ())
RECORD = SessionRecord("key", "local", "print", {"model": None}, {"tflite": {"version": "1"}}, {"seed": 0}, "0.1")


def step(name: str, role: Role = "job", sha256: str = "aa") -> Step:
    return Step(Job(name, Artifact(Path(f"{name}.tflite"), sha256, "tflite", "fp32")), role)


def line(name: str, samples: list[int], sequence: int = 0, started: int = 0) -> MeasurementLine:
    return MeasurementLine(
        type="measurement",
        id=name,
        sequence=sequence,
        load_ns=1,
        first_ns=2,
        started_ns=started,
        warmup_ns=[3, 4],
        warmup_stable=False,
        samples_ns=samples,
        output_error=1e-7,
        cpus_allowed="2",
        cores_ran=[1],
        voluntary_switches=0,
        involuntary_switches=None,
        cpu_ns=11,
        waited_ns=None,
        peak_rss_kb=5,
    )


def test_what_is_stored_is_read_back_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "samples.sqlite"
    with SampleStore.open(path) as store:
        store.add_session(RECORD)
        process = store.add_process("key", "tflite", 3, HEALTH)
        store.add_measurement(process, step("m"), line("m", [10, 2**62, 0], started=7))
        store.end_process(process, "done", replace(HEALTH, load_1min=0.7), 5, None)
        for tick_ns in (52, 38):
            store.end_process(store.add_process("key", "tflite", 4, HEALTH), "done", HEALTH, 5, tick_ns)
        store.add_process("key", "tflite", 5, HEALTH)
    with SampleStore.open(path) as store:
        (session,) = store.sessions()
        assert session == replace(RECORD, created_at=session.created_at)
        assert session.created_at.startswith("20")
        (reading,) = readings(store, "key")
        assert reading.samples_ns.tolist() == [10, 2**62, 0]
        assert reading.warmup_ns.tolist() == [3, 4]
        assert (reading.round, reading.runtime, reading.role, reading.job_id) == (3, "tflite", "job", "m")
        assert (reading.involuntary_switches, reading.peak_rss_kb, reading.output_error) == (None, 5, 1e-7)
        assert (reading.warmup_stable, reading.cpu_ns, reading.waited_ns) == (False, 11, None)
        assert store.measured("key") == {(3, "m", "aa")}
        assert store.measured("other") == set()
        (before, after), *_ = store.health("key")
        assert (before["load_1min"], after and after["load_1min"]) == (0.5, 0.7)
        assert (store.tick_ns("key"), store.tick_ns("other")) == (52, None)


def test_session_that_is_known_is_not_added_again(tmp_path: Path) -> None:
    with SampleStore.open(tmp_path / "s") as store:
        store.add_session(RECORD)
        store.add_session(replace(RECORD, tool_version="0.2"))
        assert [record.tool_version for record in store.sessions()] == ["0.1"]


def test_samples_survive_the_death_of_their_writer(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; sys.path[:0] = sys.argv[2:]\n"
        "from test_store import *\n"
        "store = SampleStore.open(Path(sys.argv[1])); store.add_session(RECORD)\n"
        "process = store.add_process('key', 'tflite', 0, HEALTH)\n"
        "for index in range(5): store.add_measurement(process, step(f'm{index}'), line('m', [index + 1], index))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    here = Path(__file__).parent
    command = [sys.executable, "-c", code, str(tmp_path / "s"), str(here), str(here.parents[1])]
    assert subprocess.run(command, timeout=60, check=False).returncode == -9
    with SampleStore.open(tmp_path / "s") as store:
        assert [reading.samples_ns.tolist() for reading in store.readings("key")] == [[1], [2], [3], [4], [5]]
        assert store.health("key")[0][1] is None


@pytest.mark.parametrize("statement", ["UPDATE measurement SET samples_ns = x''", "DELETE FROM process"])
def test_samples_are_only_ever_added(statement: str, tmp_path: Path) -> None:
    with SampleStore.open(tmp_path / "s") as store:
        store.add_session(RECORD)
        store.add_measurement(store.add_process("key", "tflite", 0, HEALTH), step("m"), line("m", [1]))
    with sqlite3.connect(tmp_path / "s") as connection, pytest.raises(sqlite3.IntegrityError, match="only ever added"):
        connection.execute(statement)


def test_full_disk_is_one_clear_line_and_what_was_stored_stays(tmp_path: Path) -> None:
    with SampleStore.open(tmp_path / "s") as store:
        store.add_session(RECORD)
        process = store.add_process("key", "tflite", 0, HEALTH)
        store.add_measurement(process, step("kept"), line("kept", [1]))
        (pages,) = store._file._connection.execute("PRAGMA page_count").fetchone()
        store._file._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(MeasurementError, match="cannot be written: database or disk is full; make room") as caught:
            store.add_measurement(process, step("lost"), line("lost", list(range(100_000))))
        assert "\n" not in str(caught.value)
        assert [reading.job_id for reading in store.readings("key")] == ["kept"]


def test_file_that_is_no_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database" * 100)
    with pytest.raises(InputError, match="is not a sample store"):
        SampleStore.open(path)
    assert path.read_text() == "not a database" * 100


def test_database_of_something_else_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "s") as connection:
        connection.execute("CREATE TABLE t (x)")
    with pytest.raises(InputError, match="is a database, but not a sample store"):
        SampleStore.open(tmp_path / "s")


def test_store_of_another_version_is_refused(tmp_path: Path) -> None:
    SampleStore.open(tmp_path / "s").close()
    with sqlite3.connect(tmp_path / "s") as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(InputError, match="has version 99, this program reads version 4"):
        SampleStore.open(tmp_path / "s")


def test_store_of_the_second_version_is_extended_and_keeps_its_samples(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "s") as connection:
        connection.executescript(
            f"{sample_file._SCHEMA} {sample_file._LATER[1]} PRAGMA application_id = {sample_file._APPLICATION_ID};"
            " PRAGMA user_version = 2;"
            "INSERT INTO session VALUES ('key', '', 'local', 'print', '{}', '{}', '{\"seed\": 0}', NULL);"
            f"INSERT INTO process VALUES (1, 'key', 'tflite', 0, '', '{json.dumps(asdict(HEALTH))}');"
            "INSERT INTO measurement VALUES (1, 1, 'job', 'm', 'aa', 'fp32', 0, 0, 0, 0, x'', x'0500000000000000',"
            " NULL, '', NULL, NULL, NULL, '[]');"
        )
    for _ in range(2):
        with SampleStore.open(tmp_path / "s") as store:
            (reading,) = store.readings("key")
            assert (reading.warmup_stable, reading.cpu_ns, reading.waited_ns) == (None, None, None)
            summary = latencies(store, "key")["m"]
            assert (summary.median_ns, summary.settled) == (5, None)
            assert store.tick_ns("key") is None
    with SampleStore.open(tmp_path / "s") as store:
        store.add_measurement(1, step("m"), line("m", [7], 1))
        store.end_process(1, "done", HEALTH, 3)
        assert [reading.cpu_ns for reading in store.readings("key")] == [None, 11]
        assert store.tick_ns("key") is None


def test_store_in_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MeasurementError, match="cannot be opened"):
        SampleStore.open(tmp_path / "file" / "s")


def test_session_without_samples_is_refused(tmp_path: Path) -> None:
    with SampleStore.open(tmp_path / "s") as store, pytest.raises(InputError, match="no samples of session key"):
        latencies(store, "key")


def drifting(store: SampleStore) -> None:
    """Two processes; in the second the device is twice as slow from its middle on."""
    store.add_session(RECORD)
    for round_number, late in ((0, 1), (1, 2)):
        process = store.add_process("key", "tflite", round_number, HEALTH)
        for sequence, (name, role, nanoseconds, started) in enumerate(
            [("s", "sentinel", 100, 0), ("m", "job", 50 * late, 1000), ("s", "sentinel", 100 * late, 1000)]
        ):
            kept = line(name, [nanoseconds], sequence, started)
            store.add_measurement(process, step(name, role), kept)  # type: ignore[arg-type]


def test_drift_that_the_sentinel_shows_is_divided_out(tmp_path: Path) -> None:
    with SampleStore.open(tmp_path / "s") as store:
        drifting(store)
        factors = drift_of(store.readings("key"))
        assert factors[(1, 1)] == pytest.approx(1.0)
        assert factors[(2, 1)] == pytest.approx(2.0, rel=0.05)
        assert latencies(store, "key")["m"].median_ns == pytest.approx(50, rel=0.02)
        assert latencies(store, "key", correct_drift=False)["m"].median_ns == 75


def test_job_measured_again_with_another_file_counts_with_the_newest(tmp_path: Path) -> None:
    with SampleStore.open(tmp_path / "s") as store:
        store.add_session(RECORD)
        process = store.add_process("key", "tflite", 0, HEALTH)
        store.add_measurement(process, step("m", sha256="old"), line("m", [900]))
        store.add_measurement(process, step("m", sha256="new"), line("m", [100], 1))
        summary = latencies(store, "key")["m"]
        assert (summary.median_ns, summary.processes) == (100, 1)


def test_damaged_samples_are_named(tmp_path: Path) -> None:
    with SampleStore.open(tmp_path / "s") as store:
        drifting(store)
    with sqlite3.connect(tmp_path / "s") as connection:
        connection.execute("DROP TRIGGER measurement_no_UPDATE")
        connection.execute("UPDATE measurement SET samples_ns = x'010203' WHERE id = 2")
    with SampleStore.open(tmp_path / "s") as store, pytest.raises(InputError, match="damaged: measurement 2"):
        store.readings("key")


def test_arrays_are_little_endian_on_disk(tmp_path: Path) -> None:
    with SampleStore.open(tmp_path / "s") as store:
        drifting(store)
    with sqlite3.connect(tmp_path / "s") as connection:
        (blob,) = connection.execute("SELECT samples_ns FROM measurement WHERE id = 1").fetchone()
    assert blob == (100).to_bytes(8, "little")
    assert np.frombuffer(blob, "<i8").tolist() == [100]


def test_programs_that_open_a_new_store_at_once_agree_on_it(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; sys.path[:0] = sys.argv[3:]\n"
        "from android_bench.store import SampleStore\n"
        "time.sleep(max(0.0, float(sys.argv[2]) - time.time()))\n"
        "SampleStore.open(Path(sys.argv[1])).close()\n"
    )
    for attempt in range(3):
        path, start = tmp_path / f"s{attempt}", str(time.time() + 1.5)
        words = [sys.executable, "-c", code, str(path), start, str(Path(__file__).parents[2])]
        opening = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(4)]
        assert [process.communicate(timeout=60)[1] for process in opening] == [""] * 4
        SampleStore.open(path).close()


def test_job_counts_with_the_file_that_is_asked_for(tmp_path: Path) -> None:
    """Somebody benchmarks a file, another under the same name, and the first one again."""
    with SampleStore.open(tmp_path / "s") as store:
        store.add_session(RECORD)
        process = store.add_process("key", "tflite", 0, HEALTH)
        store.add_measurement(process, step("m", sha256="old"), line("m", [900]))
        store.add_measurement(process, step("m", sha256="new"), line("m", [100], 1))
        store.add_measurement(process, step("n", sha256="nn"), line("n", [7], 2))
        found = latencies(store, "key", jobs=[step("m", sha256="old").job])
        assert {name: summary.median_ns for name, summary in found.items()} == {"m": 900, "n": 7}
        assert "m" not in latencies(store, "key", jobs=[step("m", sha256="never").job])


def test_profile_is_of_one_file(tmp_path: Path) -> None:
    with SampleStore.open(tmp_path / "s") as store:
        store.add_session(RECORD)
        process = store.add_process("key", "tflite", 0, HEALTH)
        for sha256, body in (("old", "1"), ("new", "2"), ("old", "3")):
            store.add_profile(process, step("m", sha256=sha256), body)
        assert store.profiles("key") == {("m", "old"): "3", ("m", "new"): "2"}
