"""Who stands beside a phone: lets nothing begin on an unfit one, and waits for one that is warm or away."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lookalike.cores import Core
from lookalike.fixtures import AdbKey
from lookalike.lookalike import Lookalike, available
from reaching import over_tcp, tcp_channel

from android_bench.adb.lock import PhoneLock
from android_bench.adb.phone import identify
from android_bench.adb.phone_guard import PhoneGuard
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.adb.quiet import Quiet
from android_bench.errors import DeviceBusyError, DeviceLostError, DeviceUnauthorizedError
from android_bench.reasons import REASONS
from pocketnas_base.errors import DeviceError

LOST = DeviceLostError("it went away")
MAX_FREQ = "/sys/devices/system/cpu/cpufreq/policy2/scaling_max_freq"


@pytest.fixture(scope="module")
def module_phone(adb_key: AdbKey) -> Iterator[Lookalike]:
    """One phone with clocks for all tests of this module."""
    reason = available()
    if reason:
        pytest.skip(reason)
    with Lookalike(keys=[adb_key.public], cores=[Core(1_800_000)] * 2 + [Core(2_800_000)] * 2) as phone:
        yield phone


@pytest.fixture
def phone(module_phone: Lookalike) -> Iterator[Lookalike]:
    yield module_phone
    module_phone.forget()
    for name in ("bat_level", "bat_temp", "bat_usb", "thermal_status", "thermal_skin", "cooling", "wakefulness"):
        module_phone.unset(name)
    for name in ("battery", "power", "thermalservice"):
        module_phone.unset(f"missing.{name}")
        module_phone.unanswer(f"dumpsys {name}")
    module_phone.allow("input")
    module_phone.set("settings/global.low_power", "0")
    module_phone.path(MAX_FREQ).write_text("2800000\n")


@pytest.fixture
def transport(phone: Lookalike, adb_key: AdbKey) -> Iterator[PhoneTransport]:
    transport = over_tcp(phone, adb_key, patience_s=2)
    yield transport
    Quiet(transport, "p").put_right()
    PhoneLock(transport, "p").break_open()
    transport.close()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def make_guard(transport: PhoneTransport, told: list[str]) -> Callable[..., PhoneGuard]:
    def make(**how: Any) -> PhoneGuard:
        settings = {"cooling_s": 0.0, "cooling_step_s": 0.05, "return_s": 10.0, "return_step_s": 0.05, **how}
        return PhoneGuard(transport, identify(transport), say=told.append, **settings)

    return make


@pytest.fixture
def guard(make_guard: Callable[..., PhoneGuard]) -> PhoneGuard:
    return make_guard()


def later(what: Callable[[], object], after_s: float = 0.3) -> threading.Thread:
    def wait_and_do() -> None:
        time.sleep(after_s)
        what()

    thread = threading.Thread(target=wait_and_do)
    thread.start()
    return thread


# Whether it may begin


def test_a_fit_phone_may_be_measured(guard: PhoneGuard, told: list[str]) -> None:
    state = guard.before((2, 3), ())
    assert state.phone is not None
    assert (state.phone.awake, state.phone.saving) == (True, False)
    assert state.phone.hottest_c == 30.2
    assert told == []


UNFIT: dict[str, tuple[Callable[[Lookalike], object], str]] = {
    "battery-low": (lambda phone: phone.set("bat_level", "24"), "24 % of 25 % needed .charge it"),
    "battery-saver": (lambda phone: phone.set("settings/global.low_power", "1"), "battery saver is on"),
    "screen-off": (lambda phone: phone.set("wakefulness", "Dozing"), "the screen is off .unlock the phone"),
    "thermal-status": (lambda phone: phone.set("thermal_status", "1"), "thermal status 1"),
    "thermal-faked": (lambda phone: phone.set("run/thermal_override", "0"), "cmd thermalservice reset"),
    "battery-faked": (lambda phone: phone.set("run/battery/level", "87"), "dumpsys battery reset"),
    "too-warm": (lambda phone: phone.set("thermal_skin", "37.1"), "37.1 °C, at most 37 °C to start"),
    "throttled": (lambda phone: phone.path(MAX_FREQ).write_text("2799999\n"), "core 2 may run at 2799999 of 2800000"),
}


@pytest.mark.parametrize("reason", UNFIT)
def test_an_unfit_phone_is_refused_by_name_and_measured_when_that_is_tolerated(
    phone: Lookalike, guard: PhoneGuard, transport: PhoneTransport, reason: str
) -> None:
    happen, words = UNFIT[reason]
    happen(phone)
    phone.refuse("input")
    others = set(REASONS) - {reason}
    for tolerated in ((), others):
        with pytest.raises(DeviceError, match=f"is not fit to measure: {reason}: .*{words}") as caught:
            guard.before((), tolerated)
        assert str(caught.value).startswith(transport.name)
        assert str(caught.value).endswith("; or --tolerate a reason by name")
        assert "\n" not in str(caught.value)
    assert guard.before((), {reason}).phone is not None


@pytest.mark.parametrize(
    "happen",
    [
        lambda phone: phone.set("bat_level", "25"),
        lambda phone: phone.set("bat_usb", "false"),
        lambda phone: phone.set("thermal_skin", "37.0"),
        lambda phone: phone.set("bat_temp", "370"),
        lambda phone: phone.set("thermal_skin", "-99.9"),
        lambda phone: phone.set("thermal_cached_skin", "55.0"),
        lambda phone: phone.path(MAX_FREQ).write_text("2800001\n"),
        lambda phone: phone.set("missing.thermalservice", ""),
        lambda phone: phone.set("missing.battery", ""),
        lambda phone: phone.answer("dumpsys thermalservice", b"\xff\x00 nothing that anybody knows"),
        lambda phone: phone.answer("dumpsys power", ""),
        lambda phone: phone.answer("dumpsys battery", "level: 1\n"),
    ],
)  # fmt: skip
def test_a_phone_at_its_limits_or_that_does_not_tell_may_be_measured(
    phone: Lookalike, guard: PhoneGuard, happen: Callable[[Lookalike], object]
) -> None:
    happen(phone)
    assert guard.before((), ()).boot_id == phone.boot_id


def test_what_a_phone_does_not_tell_is_said_once_a_session(
    phone: Lookalike, guard: PhoneGuard, told: list[str]
) -> None:
    phone.answer("dumpsys power", "")
    phone.set("missing.battery", "")
    phone.set("thermal_skin", "hot")
    phone.set("cooling", "-1")
    for _ in range(2):
        told.clear()
        with guard.session():
            guard.before((), ())
            phone.set("thermal_skin", "hotter")
            guard.after()
        assert len(told) == 3
        assert all(": not judged, because the phone does not tell: " in line for line in told)
        assert "dumpsys thermalservice: no temperature: 'Temperature{mValue=hot" in "".join(told)
        assert "dumpsys power: " in "".join(told)
        assert told[2].endswith("there is no service battery")


def test_a_sensor_without_a_reading_does_not_hide_the_heat(phone: Lookalike, guard: PhoneGuard) -> None:
    phone.set("thermal_skin", "-3.4028235E38")
    phone.set("cooling", "-1")
    phone.set("thermal_status", "2")
    with pytest.raises(DeviceError, match="thermal-status: thermal status 2"):
        guard.before((), ())


def test_a_core_that_is_not_used_may_be_slow(phone: Lookalike, guard: PhoneGuard) -> None:
    phone.path(MAX_FREQ).write_text("1000000\n")
    assert guard.before((0, 1), ()).boot_id == phone.boot_id
    with pytest.raises(DeviceError, match="throttled: core 3"):
        guard.before((0, 3), ())


def test_every_reason_is_told_at_once(phone: Lookalike, guard: PhoneGuard) -> None:
    phone.set("bat_level", "3")
    phone.set("wakefulness", "Asleep")
    phone.refuse("input")
    phone.set("thermal_skin", "50")
    with pytest.raises(DeviceError, match=r"battery-low: .*; screen-off: ") as caught:
        guard.before((), ())
    assert "too-warm" not in str(caught.value), "that would pass by itself"


def test_an_emulator_is_refused(
    start_phone: Callable[..., Lookalike], tcp_transport: Callable[..., PhoneTransport]
) -> None:
    transport = tcp_transport(start_phone(properties={"ro.kernel.qemu": "1"}))
    guard = PhoneGuard(transport, identify(transport))
    with pytest.raises(DeviceError, match=r"emulator: ro\.kernel\.qemu is set .measure a real phone"):
        guard.before((), ())
    assert guard.before((), {"emulator"}).boot_id


# Waiting


@pytest.mark.parametrize("reason", ["too-warm", "thermal-status", "throttled"])
def test_a_warm_phone_is_waited_for(
    phone: Lookalike, make_guard: Callable[..., PhoneGuard], told: list[str], reason: str
) -> None:
    guard = make_guard(cooling_s=20.0)
    UNFIT[reason][0](phone)
    undo = {
        "too-warm": lambda: phone.unset("thermal_skin"),
        "thermal-status": lambda: phone.unset("thermal_status"),
        "throttled": lambda: phone.path(MAX_FREQ).write_text("2800000\n"),
    }
    thread = later(undo[reason])
    started = time.monotonic()
    assert guard.before((), ()).boot_id == phone.boot_id
    assert 0.2 < time.monotonic() - started < 10
    assert f"waits to cool down: {reason}: " in told[0]
    thread.join()


def test_a_phone_that_stays_warm_is_refused_after_its_time(
    phone: Lookalike, make_guard: Callable[..., PhoneGuard], told: list[str]
) -> None:
    guard = make_guard(cooling_s=0.5)
    phone.set("thermal_skin", "44")
    started = time.monotonic()
    with pytest.raises(DeviceError, match=r"too-warm: 44\.0"):
        guard.before((), ())
    assert 0.5 <= time.monotonic() - started < 10
    assert told


def test_what_does_not_pass_by_itself_is_not_waited_for(
    phone: Lookalike, make_guard: Callable[..., PhoneGuard], told: list[str]
) -> None:
    guard = make_guard(cooling_s=60.0)
    phone.set("thermal_skin", "44")
    phone.set("bat_level", "5")
    with pytest.raises(DeviceError, match="is not fit to measure: battery-low"):
        guard.before((), ())
    assert told == []


# The session and its lock


def test_a_session_locks_the_phone_and_gives_it_back(guard: PhoneGuard, transport: PhoneTransport) -> None:
    other = PhoneLock(transport, "p", holder="ben@lab.2")
    with guard.session():
        assert other.look().state == "held"
    assert other.look().state == "free"
    with pytest.raises(KeyboardInterrupt), guard.session():
        raise KeyboardInterrupt
    assert other.look().state == "free"


def test_a_screen_that_goes_off_in_a_session_is_woken(phone: Lookalike, guard: PhoneGuard) -> None:
    """As Android does half an hour after the last touch, where the phone runs on its battery."""
    phone.set("bat_usb", "false")
    with guard.session():
        before = guard.before((), ())
        phone.set("wakefulness", "Dozing")
        phone.set("keyguard", "true")
        assert [reason.id for reason in guard.judge(before, guard.after(), ())] == ["screen-changed"]
        before = guard.before((), ())
        assert before.phone is not None
        assert before.phone.awake
        assert phone.get("keyguard") == "false"
        assert guard.judge(before, guard.after(), ()) == []


def test_a_locked_phone_is_left_as_it_is(phone: Lookalike, guard: PhoneGuard, transport: PhoneTransport) -> None:
    other = PhoneLock(transport, "p", holder="ben@lab.2")
    other.take()
    with pytest.raises(DeviceBusyError, match=r"being measured by ben@lab\.2"), guard.session():
        pytest.fail("the session began")
    assert other.keep()
    assert phone.setting("system.screen_brightness") == "102"
    assert guard.changes == ()


def test_a_lock_that_was_lost_makes_what_was_measured_void_and_is_taken_again(
    guard: PhoneGuard, transport: PhoneTransport
) -> None:
    other = PhoneLock(transport, "p", holder="ben@lab.2")
    with guard.session():
        before = guard.before((), ())
        assert guard.judge(before, guard.after(), ()) == []
        other.break_open()
        (reason,) = guard.judge(before, guard.after(), ())
        assert reason.id == "lock-lost"
        before = guard.before((), ())
        assert guard.judge(before, guard.after(), ()) == []
        other.break_open()
        other.take()
        assert [reason.id for reason in guard.judge(before, guard.after(), ())] == ["lock-lost"]
        with pytest.raises(DeviceBusyError, match=r"ben@lab\.2"):
            guard.before((), ())
    assert other.keep(), "it is not ours to drop"


# Clocks that are held down on purpose


@pytest.fixture
def held_to(phone: Lookalike, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """From now on fixed-performance mode holds the fast cores to so many kHz, as its upper bound."""
    write = Quiet._write

    def hold(khz: int) -> None:
        def change(self: Quiet, values: dict[str, str]) -> dict[str, str | None]:
            found = write(self, values)
            if (mode := values.get("fixed_performance_mode")) is not None:
                phone.path(MAX_FREQ).write_text(f"{khz if mode == 'true' else 2_800_000}\n")
            return found

        monkeypatch.setattr(Quiet, "_write", change)

    yield hold
    phone.allow("fixed_performance")


def test_the_upper_bound_of_fixed_performance_mode_is_no_throttling(
    phone: Lookalike, guard: PhoneGuard, held_to: Callable[[int], None]
) -> None:
    held_to(1_800_000)
    with guard.session():
        before = guard.before((2, 3), ())
        assert {core.max_freq_khz for core in before.cores} == {1_800_000}
        assert guard.judge(before, guard.after(), (2, 3)) == []
        phone.path(MAX_FREQ).write_text("1700000\n")
        assert [reason.id for reason in guard.judge(before, guard.after(), (2, 3))] == ["throttled"]
        with pytest.raises(DeviceError, match="throttled: core 2 may run at 1700000 of 1800000 kHz"):
            guard.before((2, 3), ())


def test_a_bound_that_a_killed_session_left_is_taken_back_first(
    phone: Lookalike, guard: PhoneGuard, transport: PhoneTransport, held_to: Callable[[int], None]
) -> None:
    held_to(1_800_000)
    Quiet(transport, "p").begin(asleep=False)
    assert phone.path(MAX_FREQ).read_text() == "1800000\n"
    with guard.session():
        state = guard.before((2, 3), ())
        assert guard.judge(state, guard.after(), (2, 3)) == []
    assert phone.path(MAX_FREQ).read_text() == "2800000\n"


def test_a_core_that_was_held_down_before_the_session_stays_throttled(
    phone: Lookalike, guard: PhoneGuard, held_to: Callable[[int], None]
) -> None:
    phone.path(MAX_FREQ).write_text("2000000\n")
    held_to(1_800_000)
    with guard.session(), pytest.raises(DeviceError, match="throttled: core 2 may run at 1800000 of 2800000 kHz"):
        guard.before((2, 3), ())


def test_a_clock_that_falls_without_that_mode_is_throttling(
    phone: Lookalike, guard: PhoneGuard, held_to: Callable[[int], None]
) -> None:
    phone.refuse("fixed_performance")
    held_to(1_800_000)
    with guard.session(), pytest.raises(DeviceError, match="throttled: core 2 may run at 1800000 of 2800000 kHz"):
        guard.before((2, 3), ())


# Phones that go away


def test_a_phone_that_is_still_starting_is_waited_for(
    phone: Lookalike, guard: PhoneGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """adbd answers long before the services do that quiet and judge the phone."""
    again, completed = Quiet.again, list[str | None]()

    def note(self: Quiet) -> None:
        completed.append(phone.get("prop/sys.boot_completed"))
        again(self)

    monkeypatch.setattr(Quiet, "again", note)
    with guard.session():
        phone.set("prop/sys.boot_completed", "")
        thread = later(lambda: phone.set("prop/sys.boot_completed", "1"), 2.0)
        guard.recover(LOST)
        thread.join()
    assert completed == ["1"]


def test_a_phone_that_never_finishes_starting_is_given_up(
    phone: Lookalike, make_guard: Callable[..., PhoneGuard]
) -> None:
    guard = make_guard(return_s=0.3)
    with guard.session():
        phone.set("prop/sys.boot_completed", "")
        with pytest.raises(DeviceLostError) as caught:
            guard.recover(LOST)
        phone.set("prop/sys.boot_completed", "1")
        assert caught.value is LOST


@pytest.mark.parametrize("returns", [True, False])
def test_a_phone_that_comes_back_without_knowing_this_host_is_asked_again(
    phone: Lookalike, adb_key: AdbKey, returns: bool
) -> None:
    transport = PhoneTransport(tcp_channel(phone, adb_key, consent_timeout_s=0.2), patience_s=2)
    guard = PhoneGuard(transport, identify(transport), return_s=10.0 if returns else 0.1, return_step_s=0.05)
    with guard.session():
        phone.distrust()
        thread = later(lambda: phone.trust(adb_key.public), 1.5)
        if returns:
            guard.recover(LOST)
        else:
            with pytest.raises(DeviceUnauthorizedError, match="waits for its owner's consent"):
                guard.recover(LOST)
        thread.join()
    assert phone.setting("system.screen_brightness") == "102"


def test_a_phone_whose_adbd_comes_back_is_recovered(phone: Lookalike, guard: PhoneGuard, told: list[str]) -> None:
    with guard.session():
        phone.kill_adbd()
        thread = later(phone.restart_adbd)
        guard.recover(LOST)
        thread.join()
        assert told == ["it went away; waiting for it to come back"]
        state = guard.before((), ())
        assert guard.judge(state, guard.after(), ()) == []


def test_a_phone_that_was_started_anew_is_recovered_locked_and_quieted(
    phone: Lookalike, guard: PhoneGuard, transport: PhoneTransport
) -> None:
    with guard.session():
        before = guard.before((), ())
        thread = later(phone.reboot, 0)
        guard.recover(LOST)
        thread.join()
        if phone.get("run/fixed_performance") is None:  # it was asked before it went down
            guard.recover(LOST)
        assert phone.get("keyguard") == "false"
        assert phone.get("run/fixed_performance") == "true"
        assert PhoneLock(transport, "p", holder="ben@lab.2").look().state == "held"
        assert [reason.id for reason in guard.judge(before, guard.after(), ())] == ["rebooted"]
        state = guard.before((), ())
        assert guard.judge(state, guard.after(), ()) == []
    assert phone.setting("system.screen_brightness") == "102"


def test_a_phone_that_somebody_else_has_taken_meanwhile_is_theirs(
    phone: Lookalike, guard: PhoneGuard, transport: PhoneTransport
) -> None:
    other = PhoneLock(transport, "p", holder="ben@lab.2")
    with guard.session():
        phone.reboot()
        transport.close()
        other.take()
        with pytest.raises(DeviceBusyError, match=r"ben@lab\.2"):
            guard.recover(LOST)
    assert other.keep()


def test_a_phone_that_does_not_come_back_is_given_up(
    phone: Lookalike, make_guard: Callable[..., PhoneGuard], told: list[str]
) -> None:
    guard = make_guard(return_s=0.5)
    with guard.session():
        phone.power_off()
        started = time.monotonic()
        with pytest.raises(DeviceLostError) as caught:
            guard.recover(LOST)
        assert caught.value is LOST
        assert 0.5 <= time.monotonic() - started < 5
    assert "was not put back" in told[-1]
    phone.power_on()
