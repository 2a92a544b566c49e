"""Why a device is not fit to measure, or a sample is void: a fixed list, so that one can be tolerated by name."""

from collections.abc import Collection
from dataclasses import dataclass

from pocketnas_base.errors import InputError

REASONS: dict[str, str] = {
    "battery-low": "the battery is nearly empty, and phones slow down then",
    "battery-faked": "the battery's state is overridden (`dumpsys battery reset` undoes it)",
    "battery-saver": "battery saver is on",
    "device-lost": "the connection died while the process ran",
    "drift": "the sentinel model's latency moved too far within the process",
    "emulator": "this is an emulator, whose times mean nothing",
    "hash-mismatch": "a file on the device is not what was put there",
    "lock-lost": "another host may have measured on the device meanwhile",
    "marker-missing": "the runner's end was never reported",
    "power-changed": "the power source or the power mode changed",
    "rebooted": "the device was started anew",
    "screen-changed": "the screen went on or off",
    "screen-off": "the screen is off, and most phones then keep their fast cores asleep",
    "thermal-faked": "the thermal status is overridden (`cmd thermalservice reset` undoes it)",
    "thermal-rise": "the device grew too warm while it measured",
    "thermal-status": "the device says that it is throttling",
    "throttled": "a core was not allowed its full clock",
    "too-warm": "the device is too warm to start",
    "wrong-cores": "the process did not run on the cores that it was pinned to",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason, and what was seen. remedy: what the user can do about it, where there is something."""

    id: str
    detail: str
    remedy: str = ""

    def __post_init__(self) -> None:
        if self.id not in REASONS:
            raise ValueError(f"no such reason: {self.id}")

    def __str__(self) -> str:
        return f"{self.id}: {self.detail}" + (f" ({self.remedy})" if self.remedy else "")


def check_tolerated(names: Collection[str]) -> frozenset[str]:
    """The reasons that a user is willing to overlook. Raises InputError for a name that is none."""
    unknown = sorted(set(names) - set(REASONS))
    if unknown:
        raise InputError(f"unknown reason {unknown[0]!r}; known: {', '.join(REASONS)}")
    return frozenset(names)
