"""A checkup as a person reads it. What could not be read says so; nothing is told by colour."""

from collections.abc import Sequence

from android_bench.checkup import AndroidState, Checkup, ClusterState, SystemState
from android_bench.parsers.battery import BatteryState
from android_bench.parsers.thermal import ThermalState
from android_bench.runner.readiness import Readiness

UNREADABLE = "unreadable"
_HOTTEST = 3
# Android's names of the thermal status (PowerManager.THERMAL_STATUS_*).
_STATUS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
_STATES = {"built": "built", "buildable": "not built yet", "missing": "cannot be built"}


def facts(checkup: Checkup, system: SystemState) -> list[list[str]]:
    """What the device is and how it is: a word and what it stands for, row by row."""
    device, android = checkup.device, checkup.android
    return [
        ["model", told(device.model)],
        ["processor", told(device.soc)],
        ["system", f"{told(device.os_version)}, Linux {told(system.kernel)}"],
        ["ABI", told(device.abi)],
        *([["build", told(system.build)]] if android else []),
        ["boot", f"id {told(system.boot_id)}, up {_duration(system.uptime_s)}"],
        *(_phone(android) if android else []),
        *_machine(system, is_phone=android is not None),
        *(_ours(android) if android else []),
        *(["runner " + runner.runtime, _runner(runner)] for runner in checkup.runners),
    ]


def cluster_rows(clusters: Sequence[ClusterState]) -> list[list[str]]:
    """Cores, mask, the kernel's part number, clocks in MHz, governor, and what is unusual, a row for each cluster."""
    return [
        [
            core_list(cluster.cores),
            cluster.mask,
            cluster.part or "-",
            _mhz((cluster.max_freq_khz,) if cluster.max_freq_khz else ()),
            _mhz(cluster.allowed_khz),
            _mhz(cluster.current_khz),
            ", ".join(cluster.governors) or UNREADABLE,
            _unusual(cluster),
        ]
        for cluster in clusters
    ]


def core_list(numbers: Sequence[int]) -> str:
    """Core numbers as the kernel writes them, such as 0-3,6."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def told(value: object) -> str:
    """A value, or the word for one that could not be read."""
    return UNREADABLE if value is None else str(value)


def size(kib: int | None) -> str:
    """A size in MiB, or in GiB from 10 GiB on."""
    if kib is None:
        return UNREADABLE
    return f"{kib / 1024**2:.0f} GiB" if kib >= 10 * 1024**2 else f"{kib / 1024:.0f} MiB"


def _phone(android: AndroidState) -> list[list[str]]:
    battery, thermal, power = android.battery, android.thermal, android.power

    def missing(service: str) -> str:
        return f"{UNREADABLE}: this phone has no service {service}" if service in android.absent else UNREADABLE

    return [
        ["battery", _battery(battery) if battery else missing("battery")],
        ["heat", _thermal(thermal) if thermal else missing("thermalservice")],
        ["screen", told(power.wakefulness) if power else missing("power")],
        ["battery saver", _switch(android.battery_saver)],
        ["doze", f"{_switch(android.idle_enabled, 'allowed', 'not allowed')}, state {told(android.idle_state)}"],
        ["fixed performance", f"{_switch(android.fixed_performance_mode)} (Android offers no way to ask)"],
    ]


def _battery(battery: BatteryState) -> str:
    level = UNREADABLE if battery.level_percent is None else f"{battery.level_percent:.0f} %"
    power = UNREADABLE if battery.powered is None else ", ".join(battery.powered) or "none: it runs on its battery"
    faked = "; FAKED: somebody has set these values by hand" if battery.faked else ""
    return f"{level}, {_celsius(battery.temperature_c)}, {told(battery.status)}; power: {power}{faked}"


def _thermal(thermal: ThermalState) -> str:
    status = UNREADABLE if thermal.status is None else f"{thermal.status} ({_STATUS[thermal.status]})"
    hottest = sorted(thermal.temperatures, key=lambda sensor: -sensor.celsius)[:_HOTTEST]
    sensors = ", ".join(f"{sensor.sensor} {sensor.celsius:.1f} °C" for sensor in hottest) or UNREADABLE
    cooling = ", ".join(f"{device.device} at {device.state}" for device in thermal.cooling) or UNREADABLE
    faked = "; FAKED: somebody has set the status by hand" if thermal.overridden else ""
    return f"status {status}{faked}; hottest: {sensors}; cooling: {cooling}"


def _machine(system: SystemState, *, is_phone: bool) -> list[list[str]]:
    load = "unreadable" if system.load_1min is None else f"{system.load_1min:.2f} over 1 min"
    rows = [
        ["load", f"{load}, {told(system.runnable)} running now"],
        ["free memory", size(system.available_memory_kb)],
        ["free storage", f"{size(system.room.free_kb)} in {system.room.mount}" if system.room else UNREADABLE],
    ]
    if not is_phone:
        stolen = UNREADABLE if system.stolen_percent is None else f"{system.stolen_percent:.1f} % by the hypervisor"
        hottest = sorted(system.zones, key=lambda zone: -zone.celsius)[:_HOTTEST]
        zones = ", ".join(f"{zone.zone} {zone.celsius:.1f} °C" for zone in hottest)
        rows += [["stolen time", stolen], ["heat", zones or UNREADABLE]]
    return rows


def _ours(android: AndroidState) -> list[list[str]]:
    """What measuring has left on the phone, and needs of it."""
    lock = "free" if android.lock_readable else UNREADABLE
    if android.lock is not None:
        lock = f"held by {android.lock.name}, for at most {android.lock.left_s} s more"
    pending = ", ".join(f"{name}={value}" for name, value in android.to_restore.items())
    if pending and android.lock is not None:
        pending += " (once that session ends)"
    stale = {True: ", stale", False: "", None: ", not built here"}
    bundles = (
        UNREADABLE
        if android.bundles is None
        else ", ".join(f"{b.runtime or 'unknown'} {size(b.size_kb)}{stale[b.stale]}" for b in android.bundles) or "none"
    )
    return [
        ["lock", lock],
        ["to be put back", pending or "nothing"],
        ["runners on it", bundles],
        ["models on it", size(android.models_kb)],
        ["tools it lacks", ", ".join(android.missing_tools) or "none"],
    ]


def _runner(runner: Readiness) -> str:
    return f"{_STATES[runner.state]} for {runner.abi}: {runner.detail}"


def _unusual(cluster: ClusterState) -> str:
    if not cluster.online:
        return "off"
    can = cluster.max_freq_khz
    return "capped" if can and cluster.allowed_khz and min(cluster.allowed_khz) < can else ""


def _mhz(khz: Sequence[int]) -> str:
    return ", ".join(f"{value / 1000:.0f}" for value in khz) or UNREADABLE


def _celsius(value: float | None) -> str:
    return UNREADABLE if value is None else f"{value:.1f} °C"


def _switch(value: bool | None, on: str = "on", off: str = "off") -> str:
    return UNREADABLE if value is None else on if value else off


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return UNREADABLE
    days, rest = divmod(int(seconds), 86_400)
    hours, rest = divmod(rest, 3600)
    return f"{days} d {hours} h" if days else f"{hours} h {rest // 60} min"
