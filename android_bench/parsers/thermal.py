"""Heat: what `dumpsys thermalservice` prints on Android 10 and newer (AOSP: ThermalManagerService, Temperature)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from android_bench.errors import UnreadableOutputError
from android_bench.parsers.text import (
    Output,
    excerpt,
    integer,
    lines_of,
    name,
    number,
    service_is_absent,
    text_of,
    unreadable,
)

_SOURCE = "dumpsys thermalservice"
_TEMPERATURES = "Current temperatures from HAL:"
_COOLING = "Current cooling devices from HAL:"
_TEMPERATURE = re.compile(
    r"Temperature\{mValue=([^,]{1,40}), mType=(-?[0-9]{1,6}), mName=(.*), mStatus=(-?[0-9]{1,6})\}"
)
_DEVICE = re.compile(r"CoolingDevice\{mValue=(-?[0-9]{1,19}), mType=(-?[0-9]{1,6}), mName=(.*)\}")
_NOT_A_NUMBER = frozenset({"NaN", "Infinity", "-Infinity"})
# The largest of a Java float; the HAL's own word for an unknown temperature is its negative.
_FLOAT_MAX = 3.4028235e38
_SHUTDOWN = 6

T = TypeVar("T")
# Only sensors that measure °C: types -1 (unknown unit) and 6 to 8 (battery voltage, current, percentage) do not.
_KINDS = {
    0: "cpu",
    1: "gpu",
    2: "battery",
    3: "skin",
    4: "usb port",
    5: "power amplifier",
    9: "npu",
    10: "tpu",
    11: "display",
    12: "modem",
    13: "soc",
    14: "wifi",
    15: "camera",
    16: "flashlight",
    17: "speaker",
    18: "ambient",
    19: "pogo",
}


@dataclass(frozen=True, slots=True)
class SensorTemperature:
    """One sensor of the thermal HAL, read now. status: how much it throttles, 0 (not at all) to 6 (shutdown)."""

    sensor: str
    kind: str
    celsius: float
    status: int | None


@dataclass(frozen=True, slots=True)
class CoolingDevice:
    """Something that the system slows down to cool. state: 0 while it does not."""

    device: str
    state: int


@dataclass(frozen=True, slots=True)
class ThermalState:
    """A phone's heat at one moment. status: 0 (none) to 6 (shutdown); None before anything was ever reported.
    overridden: somebody has set the status by hand. hal_ready: whether there is hardware to ask. unreadable: what is
    wrong with each line of a sensor or cooling device that is not understood."""

    status: int | None
    overridden: bool | None
    hal_ready: bool | None
    temperatures: tuple[SensorTemperature, ...]
    cooling: tuple[CoolingDevice, ...]
    unreadable: tuple[str, ...] = ()

    def hottest_c(self, *kinds: str) -> float | None:
        """The highest temperature, in °C, of the sensors of these kinds; None where there is no such sensor."""
        return max((t.celsius for t in self.temperatures if t.kind in kinds), default=None)


def parse_thermal(output: Output) -> ThermalState | None:
    """The state of the thermal service; None on a device without it.

    Temperatures come from the hardware's block alone: those above it are remembered, and can be hours old. Sensors
    that have no reading (NaN, or outside -40..150 °C), sensors of other quantities, and cooling devices without a state
    (below 0) are left out. A line that is garbled costs no more than itself, and is told.
    Raises UnreadableOutputError when `output` is not a dump of the thermal service.
    """
    text = text_of(output, _SOURCE)
    if service_is_absent(text):
        return None
    lines = [line.strip() for line in lines_of(text)]
    stated = dict(line.split(": ", 1) for line in reversed(lines) if ": " in line)
    if "Thermal Status" not in stated and "IsStatusOverride" not in stated:
        raise unreadable(_SOURCE, "it states neither a status nor an override")
    booleans = {"true": True, "false": False}
    temperatures, odd = _readings(_temperature, _block(lines, _TEMPERATURES, "Temperature{"))
    cooling, odder = _readings(_cooling_device, _block(lines, _COOLING, "CoolingDevice{"))
    return ThermalState(
        status=integer(stated.get("Thermal Status"), 0, _SHUTDOWN),
        overridden=booleans.get(stated.get("IsStatusOverride", "")),
        hal_ready=booleans.get(stated.get("HAL Ready", "")),
        temperatures=temperatures,
        cooling=cooling,
        unreadable=odd + odder,
    )


def _block(lines: list[str], title: str, prefix: str) -> list[str]:
    """The lines after `title`, as long as they begin with `prefix`."""
    if title not in lines:
        return []
    start = lines.index(title) + 1
    end = next((index for index in range(start, len(lines)) if not lines[index].startswith(prefix)), len(lines))
    return lines[start:end]


def _readings(parser: Callable[[str], T | None], lines: list[str]) -> tuple[tuple[T, ...], tuple[str, ...]]:
    """What the lines say, without those that have no reading; and what is wrong with those that are garbled."""
    found: list[T] = []
    complaints: list[str] = []
    for line in lines:
        try:
            reading = parser(line)
        except UnreadableOutputError as error:
            complaints.append(str(error))
            continue
        if reading is not None:
            found.append(reading)
    return tuple(found), tuple(complaints)


def _temperature(line: str) -> SensorTemperature | None:
    match = _TEMPERATURE.fullmatch(line)
    if match is None:
        raise unreadable(_SOURCE, f"no temperature: {excerpt(line)}")
    value, kind, sensor, status = match.groups()
    if value not in _NOT_A_NUMBER and number(value, -_FLOAT_MAX, _FLOAT_MAX) is None:
        raise unreadable(_SOURCE, f"no temperature: {excerpt(line)}")
    celsius = number(value, -40, 150)
    known = _KINDS.get(int(kind))
    if celsius is None or known is None:
        return None
    return SensorTemperature(name(sensor) or "unnamed", known, celsius, integer(status, 0, _SHUTDOWN))


def _cooling_device(line: str) -> CoolingDevice | None:
    match = _DEVICE.fullmatch(line)
    if match is None:
        raise unreadable(_SOURCE, f"no cooling device: {excerpt(line)}")
    state = integer(match[1])
    return None if state is None else CoolingDevice(name(match[3]) or "unnamed", state)
