"""The battery's state."""

import pytest
from device_samples import BATTERY, BATTERY_FAKED

from android_bench.errors import UnreadableOutputError
from android_bench.parsers.battery import BatteryState, parse_battery


def read(output: str) -> BatteryState:
    state = parse_battery(output)
    assert state is not None
    return state


def test_state_is_read() -> None:
    assert read(BATTERY) == BatteryState(
        level_percent=87.0,
        temperature_c=28.3,
        voltage_mv=4210,
        status="charging",
        health="good",
        present=True,
        powered=("usb",),
        faked=False,
        charge_uah=2_848_000,
    )


def test_values_set_by_hand_are_told_from_the_battery_s_own() -> None:
    assert read(BATTERY_FAKED).faked


def test_level_is_a_share_of_its_scale() -> None:
    assert read(BATTERY.replace("level: 87", "level: 150").replace("scale: 100", "scale: 200")).level_percent == 75


@pytest.mark.parametrize("source", ["AC", "USB", "Wireless", "Dock"])
def test_power_source_is_named(source: str) -> None:
    text = BATTERY.replace("USB powered: true", "USB powered: false")
    assert read(text).powered == ()
    assert read(text.replace(f"{source} powered: false", f"{source} powered: true")).powered == (source.lower(),)


def test_first_of_several_values_counts() -> None:
    assert read(BATTERY + "\nvendor history\n  level: 3\n  temperature: 451\n").level_percent == 87


@pytest.mark.parametrize(
    ("line", "replacement", "field"),
    [
        ("temperature: 283", "temperature: -999", "temperature_c"),
        ("temperature: 283", "temperature: hot", "temperature_c"),
        ("level: 87", "level: 101", "level_percent"),
        ("scale: 100", "scale: 0", "level_percent"),
        ("voltage: 4210", "voltage: 4210000", "voltage_mv"),
        ("status: 2", "status: 9", "status"),
        ("health: 2", "health: x", "health"),
        ("present: true", "present: maybe", "present"),
        ("Charge counter: 2848000", "Charge counter: 0", "charge_uah"),
        ("Charge counter: 2848000", "Charge counter: -2147483648", "charge_uah"),
    ],
)
def test_value_that_is_no_reading_is_none_and_the_others_stay(line: str, replacement: str, field: str) -> None:
    state = read(BATTERY.replace(line, replacement))
    assert getattr(state, field) is None
    assert state.powered == ("usb",)


def test_what_is_not_stated_is_none() -> None:
    state = read("Current Battery Service state:\n")
    assert (state.level_percent, state.temperature_c, state.powered, state.status) == (None, None, None, None)


def test_device_without_the_service_has_no_state() -> None:
    assert parse_battery("Can't find service: battery\n") is None


@pytest.mark.parametrize("output", ["", "error: closed\n", "  level: 87\n  scale: 100\n", "Permission Denial: dump"])
def test_what_is_no_battery_is_refused(output: str) -> None:
    with pytest.raises(UnreadableOutputError, match="dumpsys battery"):
        parse_battery(output)
