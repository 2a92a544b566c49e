"""Judgements over what was read of a device, at their limits."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from android_bench.fitness import lowered, unfit, voids
from android_bench.health import CoreHealth, HealthSnapshot, PhoneHealth
from android_bench.parsers.battery import BatteryState
from android_bench.parsers.getprop import PhoneIdentity
from android_bench.parsers.power import PowerState
from android_bench.parsers.thermal import CoolingDevice, SensorTemperature, ThermalState
from android_bench.reasons import REASONS, Reason, check_tolerated
from pocketnas_base.errors import InputError

BATTERY = BatteryState(80.0, 28.0, 4200, "charging", "good", True, ("usb",), False)
THERMAL = ThermalState(0, False, True, (SensorTemperature("skin", "skin", 30.0, 0),), ())
POWER = PowerState("Awake", "ON", False, True, False)
PHONE = PhoneHealth(BATTERY, THERMAL, POWER, False, ())
IDENTITY = PhoneIdentity("f", 34, "14", "m", "b", "p", "s", "sm", ("arm64-v8a",), "user", False, False)


def core(number: int, allowed: int | None = 2_000_000, *, online: bool | None = True) -> CoreHealth:
    return CoreHealth(number, online, "schedutil", 2_000_000, allowed, 1_000_000, 0, 0)


FIT = HealthSnapshot("2026-11-25T00:00:00+00:00", "boot", 0.1, 1, 1000, (core(0), core(1)), (), PHONE)


def of_phone(part: str | None = None, **changes: Any) -> HealthSnapshot:
    """A fit phone but for these fields of its battery, thermal or power state, or of itself."""
    if part is not None:
        changes = {part: dataclasses.replace(getattr(PHONE, part), **changes)}
    return dataclasses.replace(FIT, phone=dataclasses.replace(PHONE, **changes))


def skin(celsius: float, kind: str = "skin") -> HealthSnapshot:
    return of_phone("thermal", temperatures=(SensorTemperature("s", kind, celsius, 0),))


def cooling(device: str, state: int) -> HealthSnapshot:
    return of_phone("thermal", cooling=(CoolingDevice(device, state),))


def ids(reasons: list[Reason]) -> list[str]:
    return [reason.id for reason in reasons]


def test_a_fit_device_has_no_reason() -> None:
    assert unfit(FIT, IDENTITY) == unfit(dataclasses.replace(FIT, phone=None)) == []
    assert voids(FIT, FIT, ()) == voids(FIT, FIT, (0, 1)) == []


@pytest.mark.parametrize(
    ("state", "reasons"),
    [
        (of_phone("battery", level_percent=25.0), []),
        (of_phone("battery", level_percent=24.9), ["battery-low"]),
        (of_phone("battery", level_percent=0.0), ["battery-low"]),
        (of_phone("battery", level_percent=None), []),
        (of_phone("battery", faked=True), ["battery-faked"]),
        (of_phone("battery", temperature_c=37.0), []),
        (of_phone("battery", temperature_c=37.1), ["too-warm"]),
        (of_phone("battery", temperature_c=None), []),
        (of_phone(battery=None), []),
        (skin(37.0), []),
        (skin(37.1), ["too-warm"]),
        (skin(99.0, "cpu"), []),
        (skin(37.1, "battery"), ["too-warm"]),
        (of_phone("thermal", status=1), ["thermal-status"]),
        (of_phone("thermal", status=6), ["thermal-status"]),
        (of_phone("thermal", status=None), []),
        (of_phone("thermal", overridden=True), ["thermal-faked"]),
        (of_phone("thermal", overridden=None), []),
        (of_phone(thermal=None), []),
        (cooling("thermal-cpufreq-0", 0), []),
        (cooling("thermal-cpufreq-0", 1), ["throttled"]),
        (cooling("CPU cluster 2", 9), ["throttled"]),
        (cooling("fan", 3), []),
        (of_phone("power", wakefulness="Asleep"), ["screen-off"]),
        (of_phone("power", wakefulness="Dozing"), ["screen-off"]),
        (of_phone("power", wakefulness="Dreaming"), ["screen-off"]),
        (of_phone("power", wakefulness=None), []),
        (of_phone("power", battery_saver=True), ["battery-saver"]),
        (of_phone("power", battery_saver=None), []),
        (of_phone(power=None, low_power=True), ["battery-saver"]),
        (of_phone(power=None, low_power=None), []),
    ],
)
def test_what_keeps_a_phone_from_being_measured(state: HealthSnapshot, reasons: list[str]) -> None:
    assert ids(unfit(state)) == reasons


def with_cores(*cores: CoreHealth) -> HealthSnapshot:
    return dataclasses.replace(FIT, cores=cores)


@pytest.mark.parametrize(
    ("state", "used", "throttled"),
    [
        (with_cores(core(0), core(1, 1_999_999)), (), True),
        (with_cores(core(0), core(1, 1_999_999)), (0,), False),
        (with_cores(core(0), core(1, 1_999_999)), (1,), True),
        (with_cores(core(0, None)), (0,), False),
        (with_cores(dataclasses.replace(core(0, 5), hardware_max_khz=None)), (0,), False),
        (with_cores(core(0, 2_000_001)), (0,), False),
        (with_cores(core(0, online=False)), (0,), True),
        (with_cores(core(0, online=False)), (), False),
        (with_cores(core(0, online=None)), (0,), False),
        (with_cores(), (0,), False),
    ],
)
def test_a_core_that_is_used_must_be_allowed_its_clock(
    state: HealthSnapshot, used: tuple[int, ...], throttled: bool
) -> None:
    assert ids(unfit(state, cores=used)) == (["throttled"] if throttled else [])
    assert ids(voids(FIT, state, used)) == (["throttled"] if throttled else [])


@pytest.mark.parametrize(
    ("allowed", "bounds", "throttled"),
    [
        (1_500_000, {0: 1_500_000}, False),
        (1_499_999, {0: 1_500_000}, True),
        (2_000_000, {0: 1_500_000}, False),
        (1_500_000, {1: 1_500_000}, True),
        (1_999_999, {0: 3_000_000}, True),
        (None, {0: 1_500_000}, False),
    ],
)
def test_a_core_that_is_held_to_a_bound_must_be_allowed_that(
    allowed: int | None, bounds: dict[int, int], throttled: bool
) -> None:
    state = with_cores(core(0, allowed))
    assert ids(unfit(state, cores=(0,), bounds=bounds)) == (["throttled"] if throttled else [])
    assert ids(voids(FIT, state, (0,), bounds)) == (["throttled"] if throttled else [])


def test_only_cores_that_were_free_count_as_lowered() -> None:
    before = with_cores(core(0), core(1, 1_900_000), core(2, None), core(3), core(4))
    after = with_cores(core(0, 1_500_000), core(1, 1_500_000), core(2, 1_500_000), core(3, None), core(4), core(5, 1))
    assert lowered(before, after) == {0: 1_500_000}
    assert lowered(after, before) == {}


def test_an_emulator_is_none_to_measure() -> None:
    assert ids(unfit(FIT, dataclasses.replace(IDENTITY, is_emulator=True))) == ["emulator"]


def test_all_reasons_are_told() -> None:
    phone = dataclasses.replace(
        PHONE,
        battery=dataclasses.replace(BATTERY, level_percent=1.0, faked=True, temperature_c=50.0),
        thermal=dataclasses.replace(THERMAL, status=3, overridden=True),
        power=dataclasses.replace(POWER, wakefulness="Asleep", battery_saver=True),
    )
    state = dataclasses.replace(FIT, phone=phone, cores=(core(0, 1),))
    emulator = dataclasses.replace(IDENTITY, is_emulator=True)
    assert ids(unfit(state, emulator)) == [
        "emulator", "battery-faked", "battery-low", "battery-saver", "screen-off", "thermal-faked", "thermal-status",
        "too-warm", "throttled",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "reasons"),
    [
        (FIT, dataclasses.replace(FIT, boot_id="other"), ["rebooted"]),
        (FIT, dataclasses.replace(of_phone("battery", level_percent=1.0), boot_id="other"), ["rebooted"]),
        (FIT, dataclasses.replace(FIT, boot_id=None), ["rebooted"]),
        (FIT, of_phone("thermal", status=1), ["thermal-rise"]),
        (of_phone("thermal", status=1), of_phone("thermal", status=1), ["thermal-status"]),
        (of_phone("thermal", status=2), of_phone("thermal", status=1), ["thermal-status"]),
        (of_phone("thermal", status=1), FIT, []),
        (of_phone("thermal", status=None), of_phone("thermal", status=1), ["thermal-status"]),
        (of_phone(thermal=None), of_phone("thermal", status=2), ["thermal-status"]),
        (FIT, of_phone(thermal=None), []),
        (FIT, skin(40.0), []),
        (FIT, skin(40.1), ["thermal-rise"]),
        (FIT, of_phone("battery", temperature_c=40.1), ["thermal-rise"]),
        (FIT, of_phone("battery", level_percent=20.0), []),
        (FIT, of_phone("battery", level_percent=19.9), ["battery-low"]),
        (FIT, of_phone("battery", powered=("ac",)), ["power-changed"]),
        (FIT, of_phone("battery", powered=()), ["power-changed"]),
        (FIT, of_phone("battery", powered=None), ["power-changed"]),
        (of_phone("battery", powered=("ac", "usb")), of_phone("battery", powered=("ac", "usb")), []),
        (FIT, of_phone(battery=None), []),
        (FIT, of_phone("power", battery_saver=True), ["power-changed"]),
        (of_phone("power", battery_saver=True), FIT, ["power-changed"]),
        (FIT, of_phone("power", wakefulness="Asleep"), ["screen-changed"]),
        (of_phone("power", wakefulness="Asleep"), FIT, ["screen-changed"]),
        (of_phone("power", wakefulness="Dozing"), of_phone("power", wakefulness="Asleep"), []),
        (FIT, cooling("thermal-cpufreq-0", 2), ["throttled"]),
        (FIT, dataclasses.replace(FIT, phone=None), []),
        (dataclasses.replace(FIT, phone=None), of_phone("battery", level_percent=1.0), []),
    ],
)
def test_what_makes_a_measurement_void(before: HealthSnapshot, after: HealthSnapshot, reasons: list[str]) -> None:
    assert ids(voids(before, after, ())) == reasons


def test_each_reason_is_told_once() -> None:
    after = dataclasses.replace(
        FIT,
        phone=dataclasses.replace(
            PHONE,
            battery=dataclasses.replace(BATTERY, powered=("ac",), temperature_c=45.0),
            thermal=dataclasses.replace(THERMAL, status=3),
            power=dataclasses.replace(POWER, battery_saver=True),
        ),
    )
    assert ids(voids(FIT, after, ())) == ["thermal-rise", "power-changed"]


def test_reasons_say_what_was_seen_and_what_helps() -> None:
    (reason,) = unfit(of_phone("battery", level_percent=10.0))
    assert str(reason) == "battery-low: 10 % of 25 % needed (charge it)"
    (reason,) = voids(FIT, of_phone("battery", powered=()), ())
    assert str(reason) == "power-changed: powered by usb, then by its battery"
    (reason,) = voids(FIT, of_phone("battery", powered=None), ())
    assert str(reason) == "power-changed: powered by usb, then by an unknown source"


@pytest.mark.parametrize("make", [lambda: Reason("nonsense", "x"), lambda: Reason("", "x")])
def test_a_reason_that_is_not_on_the_list_is_a_mistake(make: Callable[[], Reason]) -> None:
    with pytest.raises(ValueError, match="no such reason"):
        make()


def test_only_reasons_on_the_list_can_be_tolerated() -> None:
    assert check_tolerated(["drift", "screen-off", "drift"]) == frozenset({"drift", "screen-off"})
    assert check_tolerated(REASONS) == frozenset(REASONS)
    with pytest.raises(InputError, match="unknown reason 'nonsense'; known: battery-low, "):
        check_tolerated(["drift", "nonsense"])
