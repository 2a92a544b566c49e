"""What is measured on a phone in a bad state is kept, does not count, and is measured again."""

import dataclasses
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import pytest
from lookalike.cores import Core
from lookalike.fixtures import AdbKey
from lookalike.lookalike import Lookalike
from tiny_models import Model

from android_bench.adb.adb_shell_channel import AdbShellChannel, TcpSocket
from android_bench.adb.keys import adb_keys
from android_bench.adb.lock import PhoneLock
from android_bench.adb.phone import open_phone
from android_bench.adb.phone_guard import PhoneGuard
from android_bench.device import Device
from android_bench.health import HealthSnapshot
from android_bench.latencies import latencies
from android_bench.protocol import Protocol
from android_bench.reading import Reading
from android_bench.reasons import Reason
from android_bench.session import measure
from android_bench.store import SampleStore
from pocketnas_base.errors import DeviceError, MeasurementError

Phones = Callable[..., Lookalike]
POLICY = "/sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SampleStore]:
    with SampleStore.open(tmp_path / "samples.sqlite") as store:
        yield store


@pytest.fixture
def spoiled(start_phone: Phones) -> Lookalike:
    """The phone that is going to be in a bad state; its cores have clocks that can be capped."""
    return start_phone(cores=[Core(2_000_000), Core(2_000_000)])


def reach(phone: Lookalike, key: AdbKey) -> Device:
    environ = {"HOME": str(key.private.parent / "nobody"), "ADB_VENDOR_KEYS": str(key.private)}
    name = f"tcp:{phone.host}:{phone.port}"
    device = open_phone(
        name, channel=AdbShellChannel(name, lambda: TcpSocket(phone.host, phone.port), keys=lambda: adb_keys(environ))
    )
    device.guard.__class__ = Calm
    return device


class Accident:
    """Something that happens to a phone once, while a process runs, and that is over when it has been seen."""

    def __init__(self, happen: Callable[[], None], pass_by: Callable[[], None], *, times: int = 1) -> None:
        self._happen, self._pass_by, self._left = happen, pass_by, times
        self._going_on = False

    def __call__(self, *_: object) -> None:
        if self._left and not self._going_on:
            self._left -= 1
            self._going_on = True
            self._happen()

    def over(self) -> None:
        if self._going_on:
            self._going_on = False
            self._pass_by()


class Calm(PhoneGuard):
    """A guard that overlooks drift: this machine's noise is not what these tests are about."""

    @property
    def most_drift(self) -> float | None:
        return None


class Watched(Calm):
    """A guard under whose eyes an accident passes by."""

    accident: Accident

    def judge(self, before: HealthSnapshot, after: HealthSnapshot, cores: Collection[int]) -> Sequence[Reason]:
        found = super().judge(before, after, cores)
        self.accident.over()
        self._latest = None
        return found


def watch(device: Device, accident: Accident) -> Device:
    guard = device.guard
    assert isinstance(guard, PhoneGuard)
    guard.__class__ = Watched
    guard.accident = accident  # type: ignore[attr-defined]
    return device


def sets(name: str, value: str) -> Callable[[Lookalike], tuple[Callable[[], None], Callable[[], None]]]:
    return lambda phone: (lambda: phone.set(name, value), lambda: phone.unset(name))


def setting(name: str, value: str) -> Callable[[Lookalike], tuple[Callable[[], None], Callable[[], None]]]:
    def make(phone: Lookalike) -> tuple[Callable[[], None], Callable[[], None]]:
        return lambda: phone.set(f"settings/{name}", value), lambda: phone.set(f"settings/{name}", "0")

    return make


def caps_clocks(phone: Lookalike) -> tuple[Callable[[], None], Callable[[], None]]:
    file = phone.path(POLICY)
    return lambda: file.write_text("1200000\n") and None, lambda: file.write_text("2000000\n") and None  # type: ignore[return-value]


def of_jobs(store: SampleStore) -> list[Reading]:
    (session,) = store.sessions()
    return [reading for reading in store.readings(session.key) if reading.role == "job"]


@pytest.mark.parametrize(
    ("reason", "accident"),
    [
        ("thermal-rise", sets("thermal_status", "2")),
        ("thermal-rise", sets("thermal_skin", "44.5")),
        ("power-changed", sets("bat_usb", "false")),
        ("power-changed", setting("global.low_power", "1")),
        ("battery-low", sets("bat_level", "11")),
        ("screen-changed", sets("wakefulness", "Asleep")),
        ("throttled", sets("cooling", "3")),
        ("throttled", caps_clocks),
    ],
)
def test_bad_state_makes_a_process_void_and_it_is_repeated(
    reason: str,
    accident: Callable[[Lookalike], tuple[Callable[[], None], Callable[[], None]]],
    spoiled: Lookalike,
    adb_key: AdbKey,
    tflite_models: list[Model],
    quick: Protocol,
    store: SampleStore,
) -> None:
    happens = Accident(*accident(spoiled))
    device = watch(reach(spoiled, adb_key), happens)
    jobs = [model.job() for model in tflite_models[:2]]
    key = measure(device, jobs, quick, store, progress=happens)
    taken = of_jobs(store)
    assert [reading.voids for reading in taken] == [(reason,), (reason,), (), (), (), ()]
    assert len({(r.round, r.job_id) for r in taken if not r.voids}) == 4
    assert all(summary.processes == 2 for summary in latencies(store, key).values())
    assert spoiled.processes() == []


def test_tolerated_reason_counts_and_is_told(
    spoiled: Lookalike, adb_key: AdbKey, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    happens = Accident(*sets("thermal_status", "1")(spoiled))
    device = watch(reach(spoiled, adb_key), happens)
    jobs = [model.job() for model in tflite_models[:2]]
    key = measure(device, jobs, quick, store, tolerated=["thermal-rise"], progress=happens)
    assert [reading.voids for reading in of_jobs(store)] == [("thermal-rise",), ("thermal-rise",), (), ()]
    assert all(summary.processes == 2 for summary in latencies(store, key, tolerated=["thermal-rise"]).values())
    assert all(summary.processes == 1 for summary in latencies(store, key).values())


def test_state_that_stays_bad_ends_the_session_with_its_reason_and_all_samples(
    spoiled: Lookalike, adb_key: AdbKey, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    happens = Accident(*sets("cooling", "3")(spoiled), times=100)
    device = watch(reach(spoiled, adb_key), happens)
    with pytest.raises(MeasurementError, match=r"stay void after 2 repetitions .throttled: cooling .*--tolerate"):
        measure(device, [tflite_models[0].job()], quick, store, progress=happens)
    assert [reading.voids for reading in of_jobs(store)] == [("throttled",)] * 3


def test_rebooted_phone_is_waited_for_and_its_process_is_void(
    spoiled: Lookalike, adb_key: AdbKey, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    happens = Accident(spoiled.reboot, lambda: None)
    protocol = dataclasses.replace(quick, min_ns=100_000_000, max_runs=100_000)
    jobs = [model.job() for model in tflite_models]
    key = measure(reach(spoiled, adb_key), jobs, protocol, store, progress=happens)
    taken = of_jobs(store)
    void = [reading for reading in taken if reading.voids]
    assert void
    assert all("rebooted" in reading.voids for reading in void)
    assert len(taken) - len(void) == 12
    assert all(summary.processes == 2 for summary in latencies(store, key).values())


def test_broken_lock_makes_what_was_measured_meanwhile_void(
    spoiled: Lookalike, adb_key: AdbKey, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    other = reach(spoiled, adb_key).transport
    happens = Accident(lambda: PhoneLock(other, "other").break_open(), lambda: None)
    measure(reach(spoiled, adb_key), [tflite_models[0].job()], quick, store, progress=happens)
    assert [reading.voids for reading in of_jobs(store)] == [("lock-lost",), (), ()]


class Strict(PhoneGuard):
    """A guard for which any two sentinels are too far apart."""

    @property
    def most_drift(self) -> float | None:
        return -0.99


def test_sentinel_that_moves_within_a_process_makes_it_void(
    spoiled: Lookalike, adb_key: AdbKey, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    device = reach(spoiled, adb_key)
    assert isinstance(device.guard, PhoneGuard)
    device.guard.__class__ = Strict
    with pytest.raises(MeasurementError, match=r"stay void after 2 repetitions .drift: the sentinel took"):
        measure(device, [tflite_models[0].job()], quick, store)
    assert {reading.voids for reading in of_jobs(store)} == {("drift",)}


def test_a_process_that_is_interrupted_is_judged_as_one_that_ended(
    spoiled: Lookalike, adb_key: AdbKey, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    device = reach(spoiled, adb_key)
    assert isinstance(device.guard, PhoneGuard)
    device.guard.__class__ = Strict
    seen: list[str] = []

    def interrupt(_done: int, _total: int, what: str) -> None:
        seen.append(what)
        if len(seen) == 2:
            raise KeyboardInterrupt

    protocol = dataclasses.replace(quick, sentinel_every=1)
    with pytest.raises(KeyboardInterrupt):
        measure(device, [model.job() for model in tflite_models], protocol, store, progress=interrupt)
    assert [reading.voids for reading in of_jobs(store)] == [("drift",), ("drift",)]


def test_file_that_changed_on_the_phone_makes_its_process_void(
    spoiled: Lookalike, adb_key: AdbKey, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    job = tflite_models[0].job()
    blob = f"/data/local/tmp/pocketnas/blobs/{job.artifact.sha256}"

    def swap() -> None:
        spoiled.path(blob).write_bytes(tflite_models[1].path.read_bytes())

    measure(reach(spoiled, adb_key), [job], quick, store, progress=Accident(swap, lambda: None))
    assert [reading.voids for reading in of_jobs(store)] == [("hash-mismatch",), (), ()]
    assert spoiled.path(blob).read_bytes() == tflite_models[0].path.read_bytes()


def test_warm_phone_is_waited_for_and_a_hot_one_refused_by_name(
    spoiled: Lookalike, adb_key: AdbKey, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    device = reach(spoiled, adb_key)
    guard = device.guard
    assert isinstance(guard, PhoneGuard)
    guard._cooling_s, guard._cooling_step_s = 0.5, 0.1
    said: list[str] = []
    guard._say = lambda text: (said.append(text), spoiled.unset("thermal_skin"))[0]
    spoiled.set("thermal_skin", "38.5")
    measure(device, [tflite_models[0].job()], quick, store)
    assert "waits to cool down: too-warm: 38.5 °C, at most 37 °C to start" in said[0]
    guard._say = said.append
    spoiled.set("thermal_skin", "38.5")
    started = time.monotonic()
    with pytest.raises(DeviceError, match=r"is not fit to measure: too-warm: 38\.5 .*--tolerate a reason by name"):
        measure(device, [tflite_models[1].job()], quick, store)
    assert time.monotonic() - started < 30
    measure(device, [tflite_models[1].job()], quick, store, tolerated=["too-warm"])


def test_second_host_is_told_who_measures(
    spoiled: Lookalike, adb_key: AdbKey, tflite_models: list[Model], quick: Protocol, store: SampleStore
) -> None:
    PhoneLock(reach(spoiled, adb_key).transport, "phone", holder="anna@lab.1").take()
    with pytest.raises(DeviceError, match=r"is being measured by anna@lab\.1 for at most \d+ s more; wait, or"):
        measure(reach(spoiled, adb_key), [tflite_models[0].job()], quick, store)
    assert store.sessions() == []
