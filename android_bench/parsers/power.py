"""Awake, asleep, or saving power: what `dumpsys power`, `dumpsys deviceidle` and `settings` print."""

import re
from dataclasses import dataclass

from android_bench.parsers.text import Output, excerpt, lines_of, service_is_absent, text_of, unreadable

_POWER = "dumpsys power"
_IDLE = "dumpsys deviceidle get"
_LOW_POWER = "settings get global low_power"
_HEADERS = ("POWER MANAGER (dumpsys power)", "Power Manager State:")
_SAVER = "Battery saver state machine:"
_FIELD = re.compile(r"\s*(\w{1,60})=(\w{1,30})")
_DISPLAY = re.compile(r"Display Power: state=([A-Z_]{1,30})")
_WAKEFULNESS = frozenset({"Awake", "Asleep", "Dreaming", "Dozing"})
_BOOLEANS = {"true": True, "false": False}
# AOSP: DeviceIdleController.stateToString and lightStateToString
_IDLE_STATES = frozenset(
    {
        "ACTIVE",
        "INACTIVE",
        "IDLE_PENDING",
        "SENSING",
        "LOCATING",
        "IDLE",
        "IDLE_MAINTENANCE",
        "QUICK_DOZE_DELAY",
        "OVERRIDE",
        "PRE_IDLE",
        "WAITING_FOR_NETWORK",
    }
)


@dataclass(frozen=True, slots=True)
class PowerState:
    """A phone's power manager at one moment. wakefulness: "Awake", "Asleep", "Dreaming", "Dozing". display: "ON",
    "OFF", "DOZE", ...; None on Android 12 and newer, which do not print it. battery_saver: whether it is on.
    powered: whether a charger is connected. device_idle: whether the system dozes."""

    wakefulness: str | None
    display: str | None
    battery_saver: bool | None
    powered: bool | None
    device_idle: bool | None


def parse_power(output: Output) -> PowerState | None:
    """The power manager's state; None on a device without the service.

    Raises UnreadableOutputError when `output` is not a dump of the power manager.
    """
    text = text_of(output, _POWER)
    if service_is_absent(text):
        return None
    lines = lines_of(text)
    if not any(line.strip() in _HEADERS for line in lines):
        raise unreadable(_POWER, f"no line says {_HEADERS[1]!r}")
    fields: dict[str, str] = {}
    for line in lines:
        if field := _FIELD.fullmatch(line):
            fields.setdefault(field[1], field[2])
    display = next((match[1] for line in lines if (match := _DISPLAY.fullmatch(line.strip()))), None)
    wakefulness = fields.get("mWakefulness")
    return PowerState(
        wakefulness=wakefulness if wakefulness in _WAKEFULNESS else None,
        display=display,
        battery_saver=_battery_saver(lines, fields),
        powered=_BOOLEANS.get(fields.get("mIsPowered", "")),
        device_idle=_BOOLEANS.get(fields.get("mDeviceIdleMode", "")),
    )


def _battery_saver(lines: list[str], fields: dict[str, str]) -> bool | None:
    """Android 9 and newer have a block of their own for it, Android 8 one field."""
    start = next((index for index, line in enumerate(lines, 1) if line.strip() == _SAVER), None)
    if start is not None:
        first = _FIELD.fullmatch("".join(lines[start : start + 1]))
        return _BOOLEANS.get(first[2]) if first and first[1] == "Enabled" else None
    return _BOOLEANS.get(fields.get("mLowPowerModeEnabled", ""))


def parse_low_power(output: Output) -> bool | None:
    """Whether the battery saver's setting is on; None where it was never set.

    Raises UnreadableOutputError when `output` is not the value of the setting `low_power`.
    """
    value = text_of(output, _LOW_POWER).strip()
    if value not in ("0", "1", "null"):
        raise unreadable(_LOW_POWER, f"neither 0 nor 1 nor null: {excerpt(value)}")
    return None if value == "null" else value == "1"


def parse_device_idle(output: Output) -> str | None:
    """The deep or light idle state ("ACTIVE", "IDLE", ...); None on a device without the service.

    Raises UnreadableOutputError when `output` is not one state.
    """
    text = text_of(output, _IDLE)
    if service_is_absent(text):
        return None
    state = text.strip()
    if state not in _IDLE_STATES:
        raise unreadable(_IDLE, f"not an idle state: {excerpt(state)}")
    return state
