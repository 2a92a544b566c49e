"""What a checkup of a device finds: its state, and whether it is fit to measure. What cannot be read is None."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from android_bench.health import CoreHealth, HealthSnapshot
from android_bench.inventory import SeenDevice
from android_bench.parsers.battery import BatteryState
from android_bench.parsers.cpu import core_mask
from android_bench.parsers.power import PowerState
from android_bench.parsers.storage import Room
from android_bench.parsers.text import number
from android_bench.parsers.thermal import ThermalState
from android_bench.parsers.zones import ZoneTemperature
from android_bench.reasons import Reason
from android_bench.runner.readiness import Readiness

_OUT_OF_REACH = {
    "unreachable": "it does not answer",
    "failed": "it cannot be asked",
    "not connected": "it is not connected",
    "unauthorized": "its owner has not allowed this host",
    "unsupported": "PocketNAS cannot measure on it",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing for which a device is not fit to measure. id: of `reasons.REASONS` where it can be tolerated by that
    name; else of a state in which nothing can be measured at all. detail: what was seen. remedy: what to do."""

    id: str
    detail: str
    remedy: str
    tolerable: bool

    @classmethod
    def of(cls, reason: Reason) -> "Finding":
        return cls(reason.id, reason.detail, reason.remedy, tolerable=True)

    @classmethod
    def obstacle(cls, id: str, detail: str, remedy: str) -> "Finding":
        """Something that cannot be overlooked."""
        return cls(id, detail, remedy, tolerable=False)


@dataclass(frozen=True, slots=True)
class ClusterState:
    """Cores whose hardware can do the same. mask: for taskset, hexadecimal. max_freq_khz: what they can do;
    allowed_khz, current_khz, governors: each value that occurs among them. online: False for cores that are off.
    part: their kind, as `parsers.cpu.core_parts` has it."""

    cores: tuple[int, ...]
    mask: str
    max_freq_khz: int | None
    allowed_khz: tuple[int, ...]
    current_khz: tuple[int, ...]
    governors: tuple[str, ...]
    online: bool
    part: str | None


@dataclass(frozen=True, slots=True)
class SystemState:
    """What the kernel tells. room: of the file system where measurements are made. stolen_percent: of all cores' time
    during a second, what the hypervisor gave to another machine; None where that was not watched."""

    build: str | None
    kernel: str | None
    boot_id: str | None
    uptime_s: float | None
    clusters: tuple[ClusterState, ...]
    load_1min: float | None
    runnable: int | None
    stolen_percent: float | None
    available_memory_kb: int | None
    room: Room | None
    zones: tuple[ZoneTemperature, ...]


@dataclass(frozen=True, slots=True)
class BundleOnPhone:
    """A runner's bundle that lies on a phone. stale: another one was built here since; None where none was built."""

    sha256: str
    runtime: str | None
    size_kb: int
    stale: bool | None


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who measures on the phone, and for how long yet at most."""

    name: str
    left_s: int


@dataclass(frozen=True, slots=True)
class AndroidState:
    """What only a phone has. absent: services that it lacks. idle_state: of doze; idle_enabled: whether it may doze.
    fixed_performance_mode: Android offers no way to read it. lock_readable: whether it was told who holds the lock.
    to_restore: settings that a session changed and nobody has put back, with their values. models_kb: what was pushed
    to be measured and lies there still."""

    battery: BatteryState | None
    thermal: ThermalState | None
    power: PowerState | None
    absent: tuple[str, ...]
    battery_saver: bool | None
    idle_state: str | None
    idle_enabled: bool | None
    fixed_performance_mode: bool | None
    lock_readable: bool
    lock: LockHolder | None
    to_restore: dict[str, str]
    bundles: tuple[BundleOnPhone, ...] | None
    models_kb: int | None
    missing_tools: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checkup:
    """One device, examined. system, android: None where it could not be asked, or is no phone. runners: for it.
    findings: why it is not fit to measure. notes: what is worth knowing and stops nothing. unreadable: what was asked
    in vain, with the reason."""

    device: SeenDevice
    system: SystemState | None = None
    android: AndroidState | None = None
    runners: tuple[Readiness, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def fit(self) -> bool:
        return not self.findings

    def to_dict(self) -> dict[str, object]:
        """Plain fields, for JSON."""
        plain = asdict(self)
        return {"device": plain.pop("device"), "fit": self.fit, "reasons": plain.pop("findings"), **plain}


def out_of_reach(seen: SeenDevice, state: str, advice: str) -> Checkup:
    """A device that could not be examined."""
    detail = _OUT_OF_REACH.get(state, f"adb calls it {state}")
    return Checkup(seen, findings=(Finding.obstacle(state.replace(" ", "-"), detail, advice),))


def cluster_states(cores: Sequence[CoreHealth], parts: Mapping[int, str]) -> tuple[ClusterState, ...]:
    """The cores by what their hardware can do and by their kind, slowest first; those that are off, or do not tell,
    apart. parts: of the cores that have a known one."""
    groups: dict[tuple[bool, int, str], list[CoreHealth]] = {}
    for core in cores:
        kind = (core.online is False, core.hardware_max_khz or 0, parts.get(core.number, ""))
        groups.setdefault(kind, []).append(core)
    return tuple(
        ClusterState(
            cores=tuple(core.number for core in group),
            mask=core_mask(core.number for core in group),
            max_freq_khz=khz or None,
            allowed_khz=_values([core.max_freq_khz for core in group]),
            current_khz=_values([core.cur_freq_khz for core in group]),
            governors=tuple(sorted({core.governor for core in group if core.governor is not None})),
            online=not offline,
            part=part or None,
        )
        for (offline, khz, part), group in sorted(groups.items(), key=lambda item: item[0])
    )


def system_state(
    state: HealthSnapshot,
    *,
    parts: Mapping[int, str],
    build: str | None,
    kernel: str | None,
    uptime_s: float | None,
    room: Room | None,
    stolen_percent: float | None = None,
) -> SystemState:
    """A snapshot with what it lacks. parts: the kinds of its cores, where they are known."""
    return SystemState(
        build=build,
        kernel=kernel,
        boot_id=state.boot_id,
        uptime_s=uptime_s,
        clusters=cluster_states(state.cores, parts),
        load_1min=state.load_1min,
        runnable=state.runnable,
        stolen_percent=stolen_percent,
        available_memory_kb=state.available_kb,
        room=room,
        zones=state.temperatures,
    )


def uptime_of(text: str) -> float | None:
    """Seconds since boot, from /proc/uptime."""
    fields = text.split()
    return number(fields[0], 0) if fields else None


def without_runner(runners: Sequence[Readiness]) -> Finding | None:
    """The finding that no runtime's runner can be built for a device."""
    if any(runner.state != "missing" for runner in runners):
        return None
    why = runners[0].detail if runners else "none exists for it"
    return Finding.obstacle("no-runner", "no runner can be built for it here", why)


def _values(values: Sequence[int | None]) -> tuple[int, ...]:
    return tuple(sorted({value for value in values if value is not None}))
