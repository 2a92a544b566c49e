"""Whole sessions on this machine, with real runners."""

import dataclasses
import os
import signal
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from tiny_models import Model
from tiny_tflite import conv_model, write_model

from android_bench.checksum import seal, unseal
from android_bench.device import Device
from android_bench.latencies import latencies, readings
from android_bench.local import LocalTransport
from android_bench.protocol import Protocol
from android_bench.session import measure
from android_bench.store import SampleStore
from android_bench.workspace import KnownFile, LocalWorkspace
from pocketnas_base.errors import DeviceError, InputError, MeasurementError


class Watch:
    """Remembers what was reported, and acts at one moment."""

    def __init__(self, at: int = 0, act: Any = None) -> None:
        self.seen: list[tuple[int, int, str]] = []
        self.at, self.act = at, act

    def __call__(self, done: int, total: int, what: str) -> None:
        self.seen.append((done, total, what))
        if self.act is not None and len(self.seen) == self.at:
            self.act()


def kill_runner() -> None:
    for child in psutil.Process().children(recursive=True):
        if child.name() == "runner":
            os.kill(child.pid, signal.SIGKILL)


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with SampleStore.open(tmp_path / "samples.sqlite") as opened:
        yield opened


def test_both_runtimes_are_measured_in_fresh_processes(
    device: Device, tflite_models: list[Model], executorch_model: Model, quick: Protocol, store: SampleStore
) -> None:
    jobs = [model.job() for model in (*tflite_models, executorch_model)]
    watch = Watch()
    key = measure(device, jobs, quick, store, progress=watch)
    assert [done for done, _, _ in watch.seen] == list(range(1, 15))
    found = readings(store, key)
    assert len({reading.process for reading in found}) == 4
    for job in jobs:
        own = [reading for reading in found if reading.job_id == job.id and reading.role == "job"]
        assert [reading.round for reading in own] == [0, 1]
        assert all(len(reading.samples_ns) == 5 for reading in own)
        assert all(reading.output_error is not None and reading.output_error < 1e-6 for reading in own)
    table = latencies(store, key)
    assert set(table) == {job.id for job in jobs}
    assert all(0 < row.ci_low_ns <= row.median_ns <= row.ci_high_ns for row in table.values())
    (record,) = store.sessions()
    assert record.device_fingerprint == device.info.fingerprint
    assert set(record.runners) == {"tflite", "executorch"}
    assert all(after is not None for _, after in store.health(key))


def test_second_call_measures_nothing_and_a_new_job_alone(
    device: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    jobs = [model.job() for model in tflite_models]
    key = measure(device, jobs[:4], quick, store)
    before = len(store.readings(key))
    assert measure(device, jobs[:4], quick, store) == key
    assert len(store.readings(key)) == before
    watch = Watch()
    assert measure(device, jobs, quick, store, progress=watch) == key
    assert sorted({what for _, _, what in watch.seen}) == sorted(job.id for job in jobs[4:])


def test_profile_that_is_missing_is_taken_later(
    device: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    """It was not asked for at first, or was lost on its way after the measurement that it follows."""
    first, second = (model.job() for model in tflite_models[:2])
    key = measure(device, [first, second], quick, store)
    assert store.profiles(key) == {}
    measure(device, [first], quick, store, profile=True)
    assert set(store.profiles(key)) == {(first.id, first.artifact.sha256)}
    taken = len(store.readings(key))
    measure(device, [first], quick, store, profile=True)
    assert len(store.readings(key)) == taken
    measure(device, [first, second], quick, store, profile=True)
    assert set(store.profiles(key)) == {(job.id, job.artifact.sha256) for job in (first, second)}
    again = [r for r in store.readings(key) if r.job_id == first.id and r.role == "job"]
    assert [reading.round for reading in again] == [0, 1, 0]


def test_other_settings_are_another_session(
    device: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    jobs = [tflite_models[0].job()]
    first = measure(device, jobs, quick, store)
    second = measure(device, jobs, dataclasses.replace(quick, min_runs=6), store)
    assert first != second
    assert {len(reading.samples_ns) for reading in store.readings(second)} == {6}


@pytest.mark.parametrize(
    ("act", "raised", "match"),
    [
        (interrupt, KeyboardInterrupt, "^$"),
        (kill_runner, MeasurementError, r"tflite runner on local ended with status 137 while measuring .*run again"),
    ],
)
def test_interrupted_session_loses_nothing_and_goes_on(
    act: Any,
    raised: type[BaseException],
    match: str,
    device: Device,
    tflite_models: list[Model],
    quick: Protocol,
    store: SampleStore,
) -> None:
    jobs = [model.job() for model in tflite_models]
    # Long enough that the runner has not finished when it is killed after its second model.
    protocol = dataclasses.replace(quick, min_ns=50_000_000, max_runs=100_000)
    before = {*psutil.Process().children(recursive=True)}  # of other tests, such as a tracker of shared memory
    with pytest.raises(raised, match=match):
        measure(device, jobs, protocol, store, progress=Watch(2, act))
    (record,) = store.sessions()
    kept = store.measured(record.key)
    assert 2 <= len(kept) < len(jobs)
    assert {*psutil.Process().children(recursive=True)} <= before
    watch = Watch()
    assert measure(device, jobs, protocol, store, progress=watch) == record.key
    assert len(watch.seen) == 2 * len(jobs) - len(kept)
    found = [reading for reading in store.readings(record.key) if reading.role == "job"]
    assert len(found) == 2 * len(jobs)
    assert {(reading.round, reading.job_id) for reading in found} == {(n, job.id) for n in (0, 1) for job in jobs}


def test_wrong_output_names_the_file_and_keeps_the_others(
    device: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    np.zeros_like(np.fromfile(tflite_models[0].reference, np.float32)).tofile(wrong)
    jobs = [tflite_models[0].job(references=(wrong,)), *(model.job() for model in tflite_models[1:])]
    with pytest.raises(MeasurementError, match=r"conv0\.tflite computes something else than its reference") as caught:
        measure(device, jobs, quick, store)
    assert "\n" not in str(caught.value)
    assert len(store.measured(store.sessions()[0].key)) == 5


def test_model_that_cannot_be_loaded_is_named(
    device: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.pte"
    broken.write_bytes(b"x" * 100)
    model = dataclasses.replace(tflite_models[0], path=broken)
    with pytest.raises(MeasurementError, match=r"broken\.pte cannot be measured on local: reading the program failed"):
        measure(device, [model.job(), tflite_models[0].job()], quick, store)


def test_dynamic_shape_is_refused_with_the_reason(
    device: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore, tmp_path: Path
) -> None:
    path = tmp_path / "any_batch.tflite"
    write_model(path, conv_model(np.ones((4, 3), np.float32), (-1, 8, 8, 3)))
    job = dataclasses.replace(tflite_models[0], path=path).job()
    with pytest.raises(
        InputError, match=r"any_batch\.tflite has a dynamic shape \[-1, 8, 8, 3\] for input 0; export it"
    ):
        measure(device, [job], quick, store)


@pytest.mark.parametrize("kept", [0, 7, 200, 0.5, 0.9, -1])
def test_model_that_is_cut_off_is_refused_before_it_is_measured(
    kept: float, device: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore, tmp_path: Path
) -> None:
    whole = tflite_models[5].path.read_bytes()
    path = tmp_path / "cut.tflite"
    path.write_bytes(whole[: int(kept * len(whole)) if 0 < kept < 1 else int(kept)])
    job = dataclasses.replace(tflite_models[5], path=path).job()
    with pytest.raises(InputError, match=r"cut\.tflite is (not a \.tflite model|damaged or cut off; export it again)"):
        measure(device, [job], quick, store)
    assert store.sessions() == []


def test_file_changed_after_it_was_described_is_refused(
    device: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore, tmp_path: Path
) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(tflite_models[0].path.read_bytes())
    job = dataclasses.replace(tflite_models[0], path=path).job()
    path.write_bytes(tflite_models[1].path.read_bytes())
    with pytest.raises(DeviceError, match=r"m\.tflite has changed since it was described"):
        measure(device, [job], quick, store)


class Rewriting(LocalTransport):
    """A device whose runner writes other lines, each with a checksum that fits it."""

    def __init__(self, old: bytes, new: bytes) -> None:
        self.old, self.new = old, new

    def stream(self, argv: Sequence[str], *, silence_s: float, max_line_bytes: int) -> AbstractContextManager[Any]:
        whole = super().stream(argv, silence_s=silence_s, max_line_bytes=max_line_bytes)
        return self._changed(whole)

    @contextmanager
    def _changed(self, whole: AbstractContextManager[Any]) -> Any:
        with whole as lines:
            yield _Lines(lines, self.old, self.new)


class _Lines:
    def __init__(self, lines: Any, old: bytes, new: bytes) -> None:
        self.lines, self.old, self.new = lines, old, new

    def __iter__(self) -> Any:
        return (seal((unseal(line) or b"").replace(self.old, self.new)) for line in self.lines)

    def wait(self) -> Any:
        return self.lines.wait()


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (b'"id":"conv1', b'"id":"conv9', "answered for conv9.tflite, which was not its turn"),
        (b'"sequence":1', b'"sequence":2', "which was not its turn"),
        (b'"cpus_allowed":"', b'"cpus_allowed":"f0', "stay void after 2 repetitions .wrong-cores: it was allowed"),
        (b'"runtime":"tflite"', b'"runtime":"executorch"', "says that it is one for executorch"),
        (b'"schema_version":4', b'"schema_version":3', "not a result: hello.schema_version"),
        (b'"tick_ns":', b'"tick_ns":-', "not a result: hello.tick_ns"),
        (b'"type":"done"', b'"type":"gone"', "not a result"),
        (b'{"type":"hello"', b"noise", "not a result"),
    ],
)
def test_runner_that_lies_is_not_believed(
    old: bytes,
    new: bytes,
    match: str,
    device: Device,
    tflite_models: list[Model],
    quick: Protocol,
    store: SampleStore,
) -> None:
    lying = dataclasses.replace(device, transport=Rewriting(old, new))
    jobs = [model.job() for model in tflite_models[:3]]
    with pytest.raises(MeasurementError, match=match):
        measure(lying, jobs, quick, store)


def test_line_that_is_damaged_on_its_way_is_not_believed(
    device: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    class Flipping(Rewriting):
        @contextmanager
        def _changed(self, whole: AbstractContextManager[Any]) -> Any:
            with whole as lines:
                yield _Flipped(lines)

    class _Flipped(_Lines):
        def __init__(self, lines: Any) -> None:
            super().__init__(lines, b"", b"")

        def __iter__(self) -> Any:
            return (line.replace(b'"first_ns":', b'"first_ns":1') for line in self.lines)

    damaging = dataclasses.replace(device, transport=Flipping(b"", b""))
    with pytest.raises(MeasurementError, match="damaged on its way"):
        measure(damaging, [tflite_models[0].job()], quick, store)
    assert store.measured(store.sessions()[0].key) == set()


def test_output_that_was_not_checked_is_not_believed(
    device: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    class Unchecked(LocalWorkspace):
        def place(self, files: Collection[KnownFile]) -> dict[str, str]:
            placed = super().place(files)
            for source in (file.path for file in files if file.path.suffix == ".jsonl"):
                lines = [(unseal(line) or b"").replace(b'.out"', b'.in"') for line in source.read_bytes().splitlines()]
                source.write_bytes(b"".join(seal(line) + b"\n" for line in lines))
            return placed

    jobs = [tflite_models[0].job()]
    with pytest.raises(MeasurementError, match=r"conv0\.tflite cannot be measured"):
        measure(dataclasses.replace(device, workspace=Unchecked()), jobs, quick, store)


def test_sentinel_that_no_job_bears_is_refused(
    device: Device, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    with pytest.raises(InputError, match="no job is named nobody"):
        measure(device, [tflite_models[0].job()], quick, store, sentinels=["nobody"])
    assert store.sessions() == []
