"""Batteries that the kernel tells of: /sys/class/power_supply (Documentation/ABI/testing/sysfs-class-power)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from android_bench.parsers.text import integer, name

_DIRECTORY = PurePosixPath("/sys/class/power_supply")
_NAMES = ("type", "scope", "status", "charge_now", "charge_counter", "energy_now", "voltage_now")
SUPPLY_FILES = tuple(f"{_DIRECTORY}/*/{file}" for file in _NAMES)
_STATUS = frozenset({"Unknown", "Charging", "Discharging", "Not charging", "Full"})
_MOST = 10**12


@dataclass(frozen=True, slots=True)
class Battery:
    """A battery that feeds the machine itself, at one moment, in microampere hours, microwatt hours and microvolts.
    None: not told. status: "charging", "discharging", "not charging", "full", "unknown"."""

    supply: str
    status: str | None
    charge_uah: int | None
    energy_uwh: int | None
    voltage_uv: int | None


def batteries(files: Mapping[str, str]) -> tuple[Battery, ...]:
    """The batteries that `files`, a mapping from path to content, tell of, by name; those of a mouse or a pen are left
    out (scope "Device")."""
    places = {PurePosixPath(path).parent for path in files}
    found = []
    for place in sorted(places):
        if place.parent != _DIRECTORY:
            continue
        told = {file: files.get(f"{place}/{file}") for file in _NAMES}
        if told["type"] != "Battery" or told["scope"] == "Device":
            continue
        status, charge = told["status"], integer(told["charge_now"], 1, _MOST)
        found.append(
            Battery(
                supply=name(place.name) or "unnamed",
                status=status.lower() if status in _STATUS else None,
                charge_uah=charge if charge is not None else integer(told["charge_counter"], 1, _MOST),
                energy_uwh=integer(told["energy_now"], 1, _MOST),
                voltage_uv=integer(told["voltage_now"], 1, _MOST),
            )
        )
    return tuple(found)
