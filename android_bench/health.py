"""The state of a device around a measurement, read in one go. What cannot be read is None, never guessed."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from android_bench.batch import run_batch
from android_bench.errors import UnreadableOutputError
from android_bench.parsers.battery import BatteryState, parse_battery
from android_bench.parsers.cpu import CPU_FILES, Core, cpu_state
from android_bench.parsers.files import parse_files
from android_bench.parsers.power import PowerState, parse_low_power, parse_power
from android_bench.parsers.proc import CoreTicks, Memory, parse_loadavg, parse_meminfo, parse_pressure, parse_stat
from android_bench.parsers.supply import SUPPLY_FILES, Battery, batteries
from android_bench.parsers.thermal import ThermalState, parse_thermal
from android_bench.parsers.zones import ZONE_FILES, ZoneTemperature, zone_temperatures
from android_bench.transport import Transport

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_PRESSURE = "/proc/pressure/cpu"
_FILES = ("/proc/loadavg", "/proc/stat", _PRESSURE, "/proc/meminfo", _BOOT_ID, *CPU_FILES, *ZONE_FILES, *SUPPLY_FILES)
_TIMEOUT_S = 30.0
# `dumpsys power` prints hundreds of kilobytes; these are the lines that its parser reads.
_POWER_LINES = (
    "Can't find service",
    "POWER MANAGER",
    "Power Manager State:",
    "Battery saver state machine:",
    "mWakefulness=",
    "Display Power: state",
    "mIsPowered=",
    "mDeviceIdleMode=",
    "mLowPowerModeEnabled=",
)
_POWER = "dumpsys power 2>&1 | grep -A1 " + " ".join(f"-e {shlex.quote(line)}" for line in _POWER_LINES)
# That there is no such service is said on standard error.
_SERVICES = {
    "battery": "dumpsys battery 2>&1",
    "thermal": "dumpsys thermalservice 2>&1",
    "power": _POWER,
    "low_power": "settings get global low_power",
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CoreHealth:
    """One core at one moment. hardware_max_khz: what it can; max_freq_khz: what it is allowed. busy, steal: clock ticks
    since boot, as /proc/stat counts them; steal is time that the hypervisor gave to another machine. idle_ticks: the
    rest."""

    number: int
    online: bool | None
    governor: str | None
    hardware_max_khz: int | None
    max_freq_khz: int | None
    cur_freq_khz: int | None
    busy_ticks: int | None
    steal_ticks: int | None
    idle_ticks: int | None = None


@dataclass(frozen=True, slots=True)
class PhoneHealth:
    """What Android's services say. None: the phone has no such service, or what it says is not understood; the latter
    is named in `unreadable`, with the reason, and so is a part of it that is not understood. low_power: the setting of
    the battery saver."""

    battery: BatteryState | None
    thermal: ThermalState | None
    power: PowerState | None
    low_power: bool | None
    unreadable: tuple[str, ...]

    @property
    def absent(self) -> tuple[str, ...]:
        """The services that gave nothing, though nothing of theirs was unreadable."""
        services = {"battery": self.battery, "thermalservice": self.thermal, "power": self.power}
        complaints = " ".join(self.unreadable)
        return tuple(name for name, state in services.items() if state is None and f"dumpsys {name}" not in complaints)

    @property
    def hottest_c(self) -> float | None:
        """The hotter of skin and battery, the two that Android's own limits are about."""
        known = [t.celsius for t in self.thermal.temperatures if t.kind in ("skin", "battery")] if self.thermal else []
        if self.battery and self.battery.temperature_c is not None:
            known.append(self.battery.temperature_c)
        return max(known, default=None)

    @property
    def saving(self) -> bool | None:
        """Whether the battery saver is on, as far as the power manager or else its setting tells."""
        if self.power is not None and self.power.battery_saver is not None:
            return self.power.battery_saver
        return self.low_power

    @property
    def awake(self) -> bool | None:
        """Whether the screen is on."""
        if self.power is None or self.power.wakefulness is None:
            return None
        return self.power.wakefulness == "Awake"


@dataclass(frozen=True, slots=True)
class HealthSnapshot:
    """One device at one moment. load_1min: its one-minute load average. runnable: tasks that wanted a core. phone: what
    only Android tells. cpu_stalled_us: time since boot in which at least one task wanted a core and had none.
    batteries: as the kernel tells of them, which a phone's shell may not be let see."""

    taken_at: str
    boot_id: str | None
    load_1min: float | None
    runnable: int | None
    available_kb: int | None
    cores: tuple[CoreHealth, ...]
    temperatures: tuple[ZoneTemperature, ...]
    phone: PhoneHealth | None = None
    cpu_stalled_us: int | None = None
    batteries: tuple[Battery, ...] = ()


def snapshot(transport: Transport, *, android: bool) -> HealthSnapshot:
    """Read the device's state now: one command. android: ask Android's services too.

    Raises DeviceError when the device cannot be reached, UnreadableOutputError when it answers something else.
    """
    commands = [f'grep -s -H "" {" ".join(_FILES)}']
    if android:
        commands += _SERVICES.values()
    sections = run_batch(transport, commands, timeout_s=_TIMEOUT_S)
    files = parse_files(sections[0])
    phone = _phone(dict(zip(_SERVICES, sections[1:], strict=True))) if android else None
    return from_files(files, phone)


def from_files(files: Mapping[str, str], phone: PhoneHealth | None = None) -> HealthSnapshot:
    """The state that these files, by path, tell of."""
    load = _readable(parse_loadavg, files.get("/proc/loadavg"))
    stat = _readable(parse_stat, files.get("/proc/stat"))
    memory = _readable(parse_meminfo, files.get("/proc/meminfo")) or Memory(None, None)
    return HealthSnapshot(
        taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
        boot_id=files.get(_BOOT_ID) or None,
        load_1min=load.minutes_1 if load else None,
        runnable=stat.running if stat else None,
        available_kb=memory.available_kb,
        cores=_cores(cpu_state(files).cores, stat.cores if stat else ()),
        temperatures=zone_temperatures(files),
        phone=phone,
        cpu_stalled_us=_readable(parse_pressure, files.get(_PRESSURE)),
        batteries=batteries(files),
    )


def _cores(clocks: tuple[Core, ...], ticks: tuple[CoreTicks, ...]) -> tuple[CoreHealth, ...]:
    by_number = {core.number: core for core in clocks}
    counted = {core.number: core for core in ticks}
    found = []
    for number in sorted(by_number.keys() | counted.keys()):
        clock, tick = by_number.get(number), counted.get(number)
        found.append(
            CoreHealth(
                number,
                clock.online if clock else None,
                clock.governor if clock else None,
                clock.cpuinfo_max_freq_khz if clock else None,
                clock.scaling_max_freq_khz if clock else None,
                clock.scaling_cur_freq_khz if clock else None,
                tick.busy if tick else None,
                tick.steal if tick else None,
                tick.idle if tick else None,
            )
        )
    return tuple(found)


def _phone(sections: Mapping[str, bytes]) -> PhoneHealth:
    unreadable: list[str] = []

    def read(parser: Callable[[bytes], T | None], name: str) -> T | None:
        try:
            return parser(sections[name])
        except UnreadableOutputError as error:
            unreadable.append(str(error))
            return None

    battery, thermal = read(parse_battery, "battery"), read(parse_thermal, "thermal")
    return PhoneHealth(
        battery=battery,
        thermal=thermal,
        power=read(parse_power, "power"),
        low_power=read(parse_low_power, "low_power"),
        unreadable=(*unreadable, *(thermal.unreadable if thermal else ())),
    )


def _readable(parser: Callable[[str], T], text: str | None) -> T | None:
    """None for a file that is missing or not what it should be: both are normal somewhere."""
    try:
        return parser(text) if text is not None else None
    except UnreadableOutputError:
        return None
