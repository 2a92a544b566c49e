"""The state of a device around a measurement. What cannot be read is None, never guessed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

from android_bench.transport import Transport

_CPU = "/sys/devices/system/cpu"
_PATTERNS = (
    "/proc/loadavg",
    "/proc/stat",
    "/proc/sys/kernel/random/boot_id",
    f"{_CPU}/cpu[0-9]*/cpufreq/scaling_governor",
    f"{_CPU}/cpu[0-9]*/cpufreq/scaling_max_freq",
    f"{_CPU}/cpu[0-9]*/cpufreq/scaling_cur_freq",
    "/sys/class/thermal/thermal_zone*/type",
    "/sys/class/thermal/thermal_zone*/temp",
)


@dataclass(frozen=True, slots=True)
class CoreHealth:
    """One core at one moment. busy, steal: clock ticks since boot, as /proc/stat counts them; steal is time that
    the hypervisor gave to another machine."""

    number: int
    governor: str | None
    max_freq_khz: int | None
    cur_freq_khz: int | None
    busy_ticks: int | None
    steal_ticks: int | None


@dataclass(frozen=True, slots=True)
class Temperature:
    """One thermal zone, named as the device names it."""

    zone: str
    celsius: float


@dataclass(frozen=True, slots=True)
class HealthSnapshot:
    """One device at one moment. load_1min: its one-minute load average. runnable: tasks that wanted a core."""

    taken_at: str
    boot_id: str | None
    load_1min: float | None
    runnable: int | None
    cores: tuple[CoreHealth, ...]
    temperatures: tuple[Temperature, ...]


def snapshot(transport: Transport) -> HealthSnapshot:
    """Read the device's state now."""
    files = transport.read_files(_PATTERNS)
    load = files.get("/proc/loadavg", "").split()
    stat = files.get("/proc/stat", "")
    runnable = re.search(r"^procs_running (\d+)$", stat, re.MULTILINE)
    return HealthSnapshot(
        taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
        boot_id=files.get("/proc/sys/kernel/random/boot_id") or None,
        load_1min=_number(load[0]) if load else None,
        runnable=int(runnable[1]) if runnable else None,
        cores=_cores(files, stat),
        temperatures=_temperatures(files),
    )


def _cores(files: Mapping[str, str], stat: str) -> tuple[CoreHealth, ...]:
    ticks = {
        int(number): [int(value) for value in values.split()]
        for number, values in re.findall(r"^cpu(\d+) ([\d ]+)$", stat, re.MULTILINE)
    }
    numbers = set(ticks) | {int(match[1]) for path in files if (match := re.match(rf"{_CPU}/cpu(\d+)/", path))}
    cores = []
    for number in sorted(numbers):
        frequency = f"{_CPU}/cpu{number}/cpufreq"
        counted = ticks.get(number, [])
        cores.append(
            CoreHealth(
                number,
                files.get(f"{frequency}/scaling_governor") or None,
                _integer(files.get(f"{frequency}/scaling_max_freq")),
                _integer(files.get(f"{frequency}/scaling_cur_freq")),
                # user, nice, system, idle, iowait, irq, softirq, steal, ... (proc_stat(5))
                sum(counted[:3]) + sum(counted[5:7]) if len(counted) >= 7 else None,
                counted[7] if len(counted) >= 8 else None,
            )
        )
    return tuple(cores)


def _temperatures(files: Mapping[str, str]) -> tuple[Temperature, ...]:
    """Zones in millidegrees; readings outside -40..150 °C are a sensor's way to say that it has none."""
    found = []
    for path, text in files.items():
        place = PurePosixPath(path)
        millidegrees = _number(text) if place.name == "temp" else None
        if millidegrees is not None and -40_000 <= millidegrees <= 150_000:
            zone = files.get(str(place.with_name("type"))) or place.parent.name
            found.append(Temperature(zone, millidegrees / 1000))
    return tuple(found)


def _integer(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
