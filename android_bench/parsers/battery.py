"""The battery: what `dumpsys battery` prints (AOSP: BatteryService, BatteryManager's constants)."""

import re
from dataclasses import dataclass

from android_bench.parsers.text import Output, integer, lines_of, service_is_absent, text_of, unreadable

_SOURCE = "dumpsys battery"
_HEADER = "Current Battery Service state:"
_FIELD = re.compile(r"\s*([A-Za-z][A-Za-z ]{0,40}):\s*(\S.{0,100})")
_STATUS = {1: "unknown", 2: "charging", 3: "discharging", 4: "not charging", 5: "full"}
_HEALTH = {1: "unknown", 2: "good", 3: "overheat", 4: "dead", 5: "over voltage", 6: "failure", 7: "cold"}
_SOURCES = {"ac": "AC powered", "usb": "USB powered", "wireless": "Wireless powered", "dock": "Dock powered"}
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class BatteryState:
    """The battery at one moment. powered: which of "ac", "usb", "wireless", "dock" give power; None when none of them
    is mentioned. faked: somebody has set these values by hand, they are not the battery's. charge_uah: the fuel gauge's
    counter of what is left, in microampere hours."""

    level_percent: float | None
    temperature_c: float | None
    voltage_mv: int | None
    status: str | None
    health: str | None
    present: bool | None
    powered: tuple[str, ...] | None
    faked: bool
    charge_uah: int | None = None


def parse_battery(output: Output) -> BatteryState | None:
    """The battery's state; None on a device without the battery service.

    A temperature outside -40..150 °C, a voltage outside 1..30 V, a level above the scale, a charge that is not above 0
    are no readings: None.
    Raises UnreadableOutputError when `output` is not a dump of the battery service.
    """
    text = text_of(output, _SOURCE)
    if service_is_absent(text):
        return None
    fields: dict[str, str] = {}
    lines = lines_of(text)
    start = next((index for index, line in enumerate(lines) if line.strip() == _HEADER), None)
    if start is None:
        raise unreadable(_SOURCE, f"no line says {_HEADER!r}")
    for line in lines[start + 1 :]:
        if field := _FIELD.fullmatch(line):
            fields.setdefault(field[1], field[2].strip())
    scale = integer(fields.get("scale"), 1, 1_000_000)
    level = integer(fields.get("level"), 0, scale or 0)
    temperature = integer(fields.get("temperature"), -400, 1500)
    stated = {source: _BOOLEANS[fields[key]] for source, key in _SOURCES.items() if fields.get(key) in _BOOLEANS}
    return BatteryState(
        level_percent=100 * level / scale if level is not None and scale is not None else None,
        temperature_c=temperature / 10 if temperature is not None else None,
        voltage_mv=integer(fields.get("voltage"), 1000, 30_000),
        status=_STATUS.get(integer(fields.get("status")) or 0),
        health=_HEALTH.get(integer(fields.get("health")) or 0),
        present=_BOOLEANS.get(fields.get("present", "")),
        powered=tuple(source for source, is_on in stated.items() if is_on) if stated else None,
        faked="UPDATES STOPPED" in text,
        charge_uah=integer(fields.get("Charge counter"), 1, 1_000_000_000),
    )
