"""The power manager's state and its replies."""

import pytest
from device_samples import POWER_ANDROID_8, POWER_ANDROID_13

from android_bench.errors import UnreadableOutputError
from android_bench.parsers.power import (
    PowerState,
    parse_device_idle,
    parse_low_power,
    parse_power,
)


def test_recent_phone_tells_all_but_its_display() -> None:
    assert parse_power(POWER_ANDROID_13) == PowerState("Awake", None, False, True, False)


def test_old_phone_tells_its_display_and_saver_in_other_words() -> None:
    assert parse_power(POWER_ANDROID_8) == PowerState("Asleep", "OFF", True, False, True)


def test_battery_saver_is_read_from_its_own_block() -> None:
    state = parse_power(POWER_ANDROID_13.replace("  Enabled=false", "  Enabled=true"))
    assert state is not None
    assert state.battery_saver is True


def test_what_is_not_stated_is_none() -> None:
    text = "Power Manager State:\n  mWakefulness=1\n\nBattery saver state machine:\n"
    assert parse_power(text) == PowerState(None, None, None, None, None)


def test_device_without_the_services_has_no_state() -> None:
    assert parse_power("Can't find service: power\n") is None
    assert parse_device_idle("Can't find service: deviceidle\n") is None


@pytest.mark.parametrize("output", ["", "mWakefulness=Awake\n", "Permission Denial: can't dump PowerManager"])
def test_what_is_no_power_manager_is_refused(output: str) -> None:
    with pytest.raises(UnreadableOutputError, match="dumpsys power"):
        parse_power(output)


@pytest.mark.parametrize(("output", "value"), [("1\n", True), ("0\n", False), ("null\n", None)])
def test_setting_of_the_battery_saver(output: str, value: bool | None) -> None:
    assert parse_low_power(output) is value


@pytest.mark.parametrize("output", ["", "2\n", "true\n", "0\n1\n", "cmd: Can't find service: settings\n"])
def test_what_is_no_setting_is_refused(output: str) -> None:
    with pytest.raises(UnreadableOutputError, match="low_power"):
        parse_low_power(output)


@pytest.mark.parametrize("state", ["ACTIVE", "IDLE", "IDLE_MAINTENANCE", "WAITING_FOR_NETWORK"])
def test_idle_state(state: str) -> None:
    assert parse_device_idle(f"{state}\n") == state


@pytest.mark.parametrize("output", ["", "active\n", "ACTIVE\nIDLE\n", "Unknown idle state: x\n"])
def test_what_is_no_idle_state_is_refused(output: str) -> None:
    with pytest.raises(UnreadableOutputError, match="not an idle state"):
        parse_device_idle(output)
