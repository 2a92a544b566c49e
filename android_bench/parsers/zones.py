"""Temperatures that the kernel tells: /sys/class/thermal (the kernel's sysfs-api documentation of thermal zones)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from android_bench.parsers.text import name, number

ZONE_FILES = ("/sys/class/thermal/thermal_zone*/type", "/sys/class/thermal/thermal_zone*/temp")
_DIRECTORY = PurePosixPath("/sys/class/thermal")


@dataclass(frozen=True, slots=True)
class ZoneTemperature:
    """One thermal zone, named as the device names it."""

    zone: str
    celsius: float


def zone_temperatures(files: Mapping[str, str]) -> tuple[ZoneTemperature, ...]:
    """The zones that `files`, a mapping from path to content, tell of, by path.

    Readings outside -40..150 °C are a sensor's way to say that it has none. Readings within 1 °C of zero are left out
    too: the unit is a thousandth of a degree, but some sensors count whole ones, and others stay at 0.
    """
    found = []
    for path in sorted(files, key=lambda path: (len(path), path)):
        place = PurePosixPath(path)
        if place.name != "temp" or place.parent.parent != _DIRECTORY:
            continue
        millidegrees = number(files[path], -40_000, 150_000)
        if millidegrees is not None and abs(millidegrees) >= 1000:
            zone = name(files.get(str(place.with_name("type")))) or name(place.parent.name) or "unnamed"
            found.append(ZoneTemperature(zone, millidegrees / 1000))
    return tuple(found)
