"""Whole sessions on a phone: every row once, whatever happens meanwhile."""

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from lookalike.cores import Core
from lookalike.fixtures import AdbKey
from lookalike.lookalike import Lookalike
from reaching import Reach, nothing_runs, tcp_channel
from tiny_models import Model

from android_bench.adb import supervisor
from android_bench.adb.lock import PhoneLock
from android_bench.adb.phone import open_phone
from android_bench.adb.phone_guard import PhoneGuard
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.checksum import seal, unseal
from android_bench.device import Device
from android_bench.errors import StorageFullError
from android_bench.job import Job
from android_bench.latencies import latencies
from android_bench.protocol import Protocol
from android_bench.reading import Reading
from android_bench.results import ProfileLine
from android_bench.session import measure
from android_bench.store import SampleStore
from android_bench.workspace import KnownFile
from pocketnas_base.errors import MeasurementError
from pocketnas_base.files import sha256_file

FOLDER = "/data/local/tmp/pocketnas"
# A machine that does other things at the same time moves the sentinel.
CALM = ("drift",)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SampleStore]:
    with SampleStore.open(tmp_path / "samples.sqlite") as store:
        yield store


@pytest.fixture
def phone(start_phone: Callable[..., Lookalike]) -> Lookalike:
    return start_phone(cores=[Core(1_800_000), Core(2_800_000)])


@pytest.fixture
def device(phone: Lookalike, adb_key: AdbKey) -> Device:
    return opened(phone, adb_key)


def opened(phone: Lookalike, key: AdbKey) -> Device:
    return open_phone(f"tcp:{phone.host}:{phone.port}", channel=tcp_channel(phone, key))


def slow(protocol: Protocol) -> Protocol:
    """Long enough for something to happen meanwhile."""
    return dataclasses.replace(protocol, min_ns=100_000_000, max_runs=100_000)


def jobs_of(models: Collection[Model]) -> list[Job]:
    return [model.job() for model in models]


def rows(store: SampleStore) -> list[Reading]:
    (session,) = store.sessions()
    return [reading for reading in store.readings(session.key) if reading.role == "job"]


def counted(store: SampleStore, tolerated: Collection[str] = CALM) -> list[tuple[int, str]]:
    return [(row.round, row.job_id) for row in rows(store) if set(row.voids) <= set(tolerated)]


class At:
    """Does something when the n-th measurement is told of."""

    def __init__(self, number: int, act: Callable[[], object]) -> None:
        self.number, self.act, self.seen = number, act, 0

    def __call__(self, *_: object) -> None:
        self.seen += 1
        if self.seen == self.number:
            self.act()


def test_both_runtimes_are_measured_and_the_phone_is_as_before(
    phone: Lookalike,
    device: Device,
    tflite_models: list[Model],
    executorch_model: Model,
    quick: Protocol,
    store: SampleStore,
) -> None:
    jobs = jobs_of([*tflite_models, executorch_model])
    watch = At(0, lambda: None)
    key = measure(device, jobs, quick, store, tolerated=CALM, profile=True, progress=watch)
    assert sorted(counted(store)) == sorted((number, job.id) for number in (0, 1) for job in jobs)
    assert len(rows(store)) == 14 == watch.seen
    for row in rows(store):
        assert len(row.samples_ns) == 5
        assert row.output_error is not None
        assert row.output_error < 1e-5
        assert row.cores_ran == (1,), "the fast core"
    (record,) = store.sessions()
    assert record.device_id == device.id
    assert {runner["abi"] for runner in record.runners.values()} == {"x86_64"}
    assert set(record.runners) == {"tflite", "executorch"}
    profiles = {name: ProfileLine.model_validate_json(body) for (name, _), body in store.profiles(key).items()}
    assert set(profiles) == {job.id for job in jobs}
    assert all(profile.operators for profile in profiles.values())
    assert {change.outcome for change in store.changes(key)} == {"kept", "changed", "restored"}
    assert phone.setting("system.screen_brightness") == "102"
    assert phone.processes() == []
    left = {entry.name for entry in phone.path(FOLDER).iterdir()}
    assert left == {"blobs", "bundles", "run", "lock.guard"}
    assert len(list(phone.path(f"{FOLDER}/blobs").iterdir())) == len(
        {f for j in jobs for f in (j.artifact.sha256, *j.inputs, *j.references)}
    )
    again = At(0, lambda: None)
    assert measure(device, jobs, quick, store, tolerated=CALM, progress=again) == key
    assert (again.seen, len(rows(store))) == (0, 14)
    gone, *stay = [job.artifact for job in jobs]
    device.workspace.discard([KnownFile(gone.path, gone.sha256)])
    left = {file.name for file in phone.path(f"{FOLDER}/blobs").iterdir()}
    assert gone.sha256 not in left
    assert left >= {artifact.sha256 for artifact in stay}


def test_either_way_to_a_phone_measures(
    phone: Lookalike, reach: Reach, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    transport = reach(phone)
    device = open_phone("the phone", channel=transport._channel)
    jobs = jobs_of(tflite_models[:3])
    key = measure(device, jobs, quick, store, tolerated=CALM)
    assert sorted(counted(store)) == sorted((number, job.id) for number in (0, 1) for job in jobs)
    assert all(summary.processes == 2 for summary in latencies(store, key, tolerated=CALM).values())
    assert nothing_runs(phone)


def test_a_new_job_is_measured_alone_and_another_file_of_that_name_too(
    device: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    jobs = jobs_of(tflite_models[:2])
    measure(device, jobs, quick, store, tolerated=CALM)
    watch = At(0, lambda: None)
    measure(device, [*jobs, tflite_models[2].job()], quick, store, tolerated=CALM, progress=watch)
    assert watch.seen == 2
    swapped = tflite_models[3].job(name=jobs[0].id)
    measure(device, [swapped, jobs[1]], quick, store, tolerated=CALM, sentinels=[swapped.id], progress=watch)
    assert watch.seen == 4
    assert [row.artifact_sha256 for row in rows(store)[-2:]] == [swapped.artifact.sha256] * 2


# What is not on the phone as it was


def test_files_that_were_swapped_on_the_phone_are_put_there_again(
    phone: Lookalike, device: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    """Same name, other content: another model, and a reference that fits it."""
    job = tflite_models[0].job()
    measure(device, [job], dataclasses.replace(quick, processes=1), store, tolerated=CALM)
    blobs = {file.read_bytes(): file for file in phone.path(f"{FOLDER}/blobs").iterdir()}
    for own, other in zip(dataclasses.astuple(tflite_models[0]), dataclasses.astuple(tflite_models[1]), strict=True):
        blobs[own.read_bytes()].write_bytes(other.read_bytes())
    key = measure(device, [job], dataclasses.replace(quick, processes=1, seed=1), store, tolerated=CALM)
    assert {file.read_bytes(): file for file in phone.path(f"{FOLDER}/blobs").iterdir()} == blobs
    assert [row.voids for row in store.readings(key) if set(row.voids) - set(CALM)] == []


def test_file_that_only_its_time_of_change_gives_away_has_changed(
    phone: Lookalike, device: Device, tmp_path: Path
) -> None:
    files = []
    for number in range(3):
        (tmp_path / f"{number}").write_bytes(b"%d" % number * 1000)
        files.append(KnownFile(tmp_path / f"{number}", sha256_file(tmp_path / f"{number}")))
    paths = device.workspace.place(files)
    assert device.workspace.changed(paths) == device.workspace.changed(paths) == set()
    swapped, touched, removed = (phone.path(path) for path in paths.values())
    times = swapped.stat()
    swapped.write_bytes(b"x" * 1000)
    os.utime(swapped, ns=(times.st_atime_ns, times.st_mtime_ns))
    os.utime(touched)
    removed.unlink()
    for _ in range(2):
        assert device.workspace.changed(paths) == {files[0].sha256, files[2].sha256}
    assert device.workspace.place(files) == paths
    assert device.workspace.changed(paths) == set()


def test_a_phone_that_is_filled_meanwhile_is_named_and_the_session_goes_on_later(
    phone: Lookalike, device: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    jobs = jobs_of(tflite_models)
    with pytest.raises(StorageFullError, match="has no room left in /data/local/tmp/pocketnas: free some") as caught:
        measure(device, jobs, slow(quick), store, tolerated=CALM, progress=At(2, phone.fill))
    assert str(caught.value).startswith(device.id)
    assert nothing_runs(phone)
    kept = len(rows(store))
    assert kept >= 2
    phone.free()
    measure(device, jobs, slow(quick), store, tolerated=CALM)
    assert sorted(counted(store)) == sorted((number, job.id) for number in (0, 1) for job in jobs)
    assert len(rows(store)) >= kept
    assert phone.setting("system.screen_brightness") == "102"


# Hosts that are killed


def test_a_host_that_is_killed_goes_on_with_what_is_missing(
    phone: Lookalike, adb_key: AdbKey, tflite_models: list[Model], quick: Protocol, tmp_path: Path
) -> None:
    path = tmp_path / "samples.sqlite"
    protocol = slow(quick)
    paths = [tuple(map(str, dataclasses.astuple(model))) for model in tflite_models]
    program = textwrap.dedent(f"""
        from pathlib import Path
        from android_bench.adb.phone import open_phone
        from android_bench.protocol import Protocol
        from android_bench.session import measure
        from android_bench.store import SampleStore
        from tiny_models import Model
        models = [Model(*map(Path, paths)) for paths in {paths!r}]
        with SampleStore.open(Path({str(path)!r})) as store:
            measure(
                open_phone("tcp:{phone.host}:{phone.port}"), [model.job() for model in models], {protocol!r}, store,
                tolerated={CALM!r}, progress=lambda *what: print(*what, flush=True),
            )
    """)
    root = Path(__file__).parents[3]
    environ = {
        **os.environ,
        "ADB_VENDOR_KEYS": str(adb_key.private),
        "HOME": str(adb_key.private.parent),
        "PYTHONPATH": f"{root}:{root / 'tests'}",
        "POCKETNAS_CACHE": os.environ.get("POCKETNAS_CACHE", str(Path.home() / ".cache" / "pocketnas")),
    }
    host = subprocess.Popen([sys.executable, "-c", program], env=environ, stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    told = [host.stdout.readline() for _ in range(8)]
    host.send_signal(signal.SIGKILL)
    host.wait()
    host.stdout.close()
    assert [line.split()[0] for line in told] == [str(number) for number in range(1, 9)]
    assert nothing_runs(phone)
    jobs = jobs_of(tflite_models)
    watch = At(0, lambda: None)
    with SampleStore.open(path) as store:
        before = rows(store)
        missing = 12 - len(set(counted(store)))
        device = open_phone(f"tcp:{phone.host}:{phone.port}", channel=tcp_channel(phone, adb_key))
        measure(device, jobs, protocol, store, tolerated=CALM, progress=watch)
        after = rows(store)
        assert len(before) >= 8
        assert [(row.process, row.job_id, row.started_ns) for row in after[: len(before)]] == [
            (row.process, row.job_id, row.started_ns) for row in before
        ]
        assert watch.seen == missing
        assert sorted(counted(store)) == sorted((number, job.id) for number in (0, 1) for job in jobs)
    assert phone.setting("system.screen_brightness") == "102"
    assert PhoneLock(device.transport, "p", holder="ben@lab.2").look().state == "free"
    device.transport.close()


# What is void


class Rewriting(PhoneTransport):
    """A phone whose runner writes other lines, each with a checksum that fits it, as long as there are changes left."""

    def __init__(self, transport: PhoneTransport, change: Callable[[bytes], bytes]) -> None:
        super().__init__(transport._channel)
        self.change = change
        self.processes = 0

    def stream(self, argv: Sequence[str], *, silence_s: float, max_line_bytes: int) -> AbstractContextManager[Any]:
        whole = super().stream(argv, silence_s=silence_s, max_line_bytes=max_line_bytes)
        if not any(word.endswith("runner") for word in argv):
            return whole
        self.processes += 1
        return self._changed(whole, self.processes)

    @contextmanager
    def _changed(self, whole: AbstractContextManager[Any], process: int) -> Iterator[Any]:
        with whole as lines:
            yield Changed(lines, self.change if process == 1 else bytes)


class Changed:
    def __init__(self, lines: Any, change: Callable[[bytes], bytes]) -> None:
        self.lines, self.change = lines, change

    def __iter__(self) -> Iterator[bytes]:
        return (seal(self.change(unseal(line) or b"")) for line in self.lines)

    def wait(self) -> Any:
        return self.lines.wait()


class Unmoved(PhoneGuard):
    """Only drift by far more than this machine's own makes a process void."""

    @property
    def most_drift(self) -> float | None:
        return 1000.0


def rewritten(device: Device, change: Callable[[bytes], bytes]) -> Device:
    assert isinstance(device.transport, PhoneTransport)
    device.guard.__class__ = Unmoved
    return dataclasses.replace(device, transport=Rewriting(device.transport, change))


def slower_at_the_end(line: bytes) -> bytes:
    """The last sentinel takes a million times as long."""
    return (
        line.replace(b'"samples_ns":[', b'"samples_ns":[9000000000,9000000000,9000000000,')
        if b'"sequence":2' in line
        else line
    )


def test_a_process_whose_sentinel_drifts_is_void_and_repeated(
    device: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    jobs = jobs_of(tflite_models[:1])
    changed = rewritten(device, slower_at_the_end)
    key = measure(changed, jobs, dataclasses.replace(quick, min_runs=2, processes=1), store)
    taken = rows(store)
    assert taken[0].voids == ("drift",)
    assert taken[-1].voids == ()
    assert latencies(store, key)[jobs[0].id].processes == 1


def test_drift_that_is_tolerated_counts_and_is_told(
    device: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    jobs = jobs_of(tflite_models[:1])
    changed = rewritten(device, slower_at_the_end)
    measure(changed, jobs, dataclasses.replace(quick, min_runs=2, processes=1), store, tolerated=["drift"])
    assert [row.voids for row in rows(store)] == [("drift",)]


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"cpus_allowed":"', b'"cpus_allowed":"f'), (b'"cores_ran":[', b'"cores_ran":[0,')],
)
def test_a_measurement_on_other_cores_is_void_and_repeated(
    device: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore, old: bytes, new: bytes
) -> None:
    jobs = jobs_of(tflite_models[:2])
    changed = rewritten(device, lambda line: line.replace(old, new) if jobs[0].id.encode() in line else line)
    measure(changed, jobs, dataclasses.replace(quick, processes=1), store, tolerated=CALM, sentinels=[jobs[1].id])
    assert sorted(counted(store)) == [(0, jobs[0].id), (0, jobs[1].id)]
    assert [row.voids for row in rows(store) if "wrong-cores" in row.voids] == [("wrong-cores",)]


def test_a_runner_whose_end_was_not_told_is_void_and_repeated(
    phone: Lookalike,
    device: Device,
    tflite_models: list[Model],
    quick: Protocol,
    store: SampleStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "_STEP_S", 1)

    def kill_the_supervisor() -> None:
        processes = phone.processes()
        pids = {process.pid for process in processes}
        for process in processes:
            if process.parent not in pids:
                os.kill(process.pid, signal.SIGKILL)

    jobs = jobs_of(tflite_models)
    measure(device, jobs, slow(quick), store, tolerated=CALM, progress=At(2, kill_the_supervisor))
    void = [row.voids for row in rows(store) if set(row.voids) - set(CALM)]
    assert len(void) >= 2
    assert all("marker-missing" in reasons for reasons in void)
    assert sorted(counted(store)) == sorted((number, job.id) for number in (0, 1) for job in jobs)
    assert nothing_runs(phone)


def test_a_phone_whose_adbd_dies_meanwhile_is_waited_for(
    phone: Lookalike, device: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    assert isinstance(device.guard, PhoneGuard)
    device.guard._return_step_s = 0.05
    jobs = jobs_of(tflite_models)
    measure(device, jobs, slow(quick), store, tolerated=CALM, progress=At(2, phone.restart_adbd))
    assert sorted(counted(store)) == sorted((number, job.id) for number in (0, 1) for job in jobs)
    assert len(rows(store)) >= 12
    assert nothing_runs(phone)


def test_a_runner_that_dies_is_an_error_that_names_the_model_and_goes_on_later(
    phone: Lookalike, device: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    def kill_the_runner() -> None:
        for process in phone.processes():
            if process.argv[0].startswith("lib/ld-linux"):
                os.kill(process.pid, signal.SIGKILL)

    jobs = jobs_of(tflite_models)
    with pytest.raises(MeasurementError, match=r"tflite runner on tcp:.* ended with status 137 while measuring .*conv"):
        measure(device, jobs, slow(quick), store, tolerated=CALM, progress=At(2, kill_the_runner))
    assert nothing_runs(phone)
    assert len(rows(store)) >= 2
    measure(device, jobs, slow(quick), store, tolerated=CALM)
    assert sorted(counted(store)) == sorted((number, job.id) for number in (0, 1) for job in jobs)
