"""Whether a device is fit to measure, and whether what was measured counts: judgements over what was read.

Limits: Jetpack's benchmark library refuses a battery below 25 % and any thermal status above none; Skia's and React
Native ExecuTorch's phone benchmarks wait for 35 and 37 °C; a Samsung phone was seen to cap its clocks by a third near
40 °C of skin.
"""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from android_bench.health import CoreHealth, HealthSnapshot, PhoneHealth
from android_bench.parsers.getprop import PhoneIdentity
from android_bench.reasons import Reason

START_BATTERY_PERCENT = 25.0
LEAST_BATTERY_PERCENT = 20.0
START_CELSIUS = 37.0
MOST_CELSIUS = 40.0

# What passes by itself when one waits.
PASSING = frozenset({"too-warm", "thermal-status", "throttled"})

Bounds = Mapping[int, int]
"""By core, the clock in kHz that its system keeps it below on purpose, whatever the hardware can do."""
UNBOUNDED: Bounds = MappingProxyType({})


def unfit(
    health: HealthSnapshot,
    identity: PhoneIdentity | None = None,
    cores: Collection[int] = (),
    bounds: Bounds = UNBOUNDED,
) -> list[Reason]:
    """Why a device should not be measured now; none for one that is fit. cores: those that will be used; none: all."""
    found: list[Reason] = []
    if identity is not None and identity.is_emulator:
        found.append(Reason("emulator", "ro.kernel.qemu is set", "measure a real phone"))
    if health.phone is not None:
        found += _unfit_phone(health.phone)
    found += _throttled(health, cores, bounds)
    return found


def voids(
    before: HealthSnapshot, after: HealthSnapshot, cores: Collection[int], bounds: Bounds = UNBOUNDED
) -> list[Reason]:
    """Why what was measured between two snapshots should not be counted. cores: those that were used."""
    if before.boot_id != after.boot_id:
        return [Reason("rebooted", f"boot {after.boot_id} instead of {before.boot_id}")]
    found = _throttled(after, cores, bounds)
    if before.phone is not None and after.phone is not None:
        found += _voids_of_phone(before.phone, after.phone)
    return list({reason.id: reason for reason in found}.values())


def _unfit_phone(phone: PhoneHealth) -> list[Reason]:
    found = []
    battery, thermal = phone.battery, phone.thermal
    if battery is not None and battery.faked:
        found.append(Reason("battery-faked", "dumpsys says UPDATES STOPPED", "adb shell dumpsys battery reset"))
    if battery is not None and battery.level_percent is not None and battery.level_percent < START_BATTERY_PERCENT:
        found.append(
            Reason("battery-low", f"{battery.level_percent:.0f} % of {START_BATTERY_PERCENT:.0f} % needed", "charge it")
        )
    if phone.saving:
        found.append(Reason("battery-saver", "battery saver is on", "switch it off"))
    if phone.awake is False:
        found.append(Reason("screen-off", "the screen is off", "unlock the phone"))
    if thermal is not None and thermal.overridden:
        found.append(Reason("thermal-faked", "IsStatusOverride is true", "adb shell cmd thermalservice reset"))
    if thermal is not None and thermal.status:
        found.append(Reason("thermal-status", f"thermal status {thermal.status}", "let it cool down"))
    if phone.hottest_c is not None and phone.hottest_c > START_CELSIUS:
        found.append(
            Reason("too-warm", f"{phone.hottest_c:.1f} °C, at most {START_CELSIUS:.0f} °C to start", "let it cool down")
        )
    return found


def _voids_of_phone(before: PhoneHealth, after: PhoneHealth) -> list[Reason]:
    found = []
    was, now = before.thermal, after.thermal
    if now is not None and now.status:
        rose = was is not None and was.status is not None and now.status > was.status
        found.append(Reason("thermal-rise" if rose else "thermal-status", f"thermal status {now.status}"))
    if after.hottest_c is not None and after.hottest_c > MOST_CELSIUS:
        found.append(Reason("thermal-rise", f"{after.hottest_c:.1f} °C, at most {MOST_CELSIUS:.0f} °C"))
    if before.battery is not None and after.battery is not None:
        if before.battery.powered != after.battery.powered:
            found.append(Reason("power-changed", f"powered by {_sources(before)}, then by {_sources(after)}"))
        level = after.battery.level_percent
        if level is not None and level < LEAST_BATTERY_PERCENT:
            found.append(Reason("battery-low", f"{level:.0f} %"))
    if before.saving != after.saving:
        found.append(Reason("power-changed", f"battery saver was {_on(before.saving)}, then {_on(after.saving)}"))
    if before.awake != after.awake:
        found.append(Reason("screen-changed", f"the screen was {_on(before.awake)}, then {_on(after.awake)}"))
    return found


def lowered(before: HealthSnapshot, after: HealthSnapshot) -> dict[int, int]:
    """The cores that were allowed all that their hardware can do before, each with the lower clock that it is allowed
    after, in kHz."""
    free = {
        core.number
        for core in before.cores
        if None not in (core.max_freq_khz, core.hardware_max_khz) and not _held(core, UNBOUNDED)
    }
    return {
        core.number: core.max_freq_khz
        for core in after.cores
        if core.number in free and core.max_freq_khz is not None and _held(core, UNBOUNDED)
    }


def _held(core: CoreHealth, bounds: Bounds) -> bool:
    """Whether a core may not run as fast as its hardware, or its bound, says; not where that cannot be read."""
    if core.hardware_max_khz is None or core.max_freq_khz is None:
        return False
    return core.max_freq_khz < min(core.hardware_max_khz, bounds.get(core.number, core.hardware_max_khz))


def _throttled(health: HealthSnapshot, cores: Collection[int], bounds: Bounds) -> list[Reason]:
    """A core of `cores` that may not run as fast as it can, or a fan's kind of device that slows cores down."""
    held = [core for core in health.cores if (not cores or core.number in cores) and _held(core, bounds)]
    if held:
        core = held[0]
        most = bounds.get(core.number, core.hardware_max_khz)
        allowed = f"core {core.number} may run at {core.max_freq_khz} of {most} kHz"
        return [Reason("throttled", allowed, "let it cool down; end games and power modes that cap clocks")]
    lost = [core.number for core in health.cores if core.number in cores and core.online is False]
    if lost:
        return [Reason("throttled", f"core {lost[0]} is offline")]
    cooling = health.phone.thermal.cooling if health.phone and health.phone.thermal else ()
    active = [device for device in cooling if device.state > 0 and "cpu" in device.device.lower()]
    if active:
        return [Reason("throttled", f"cooling device {active[0].device} is at {active[0].state}", "let it cool down")]
    return []


def _sources(phone: PhoneHealth) -> str:
    powered: Sequence[str] | None = phone.battery.powered if phone.battery else None
    return "an unknown source" if powered is None else " and ".join(powered) or "its battery"


def _on(value: bool | None) -> str:
    return "unreadable" if value is None else "on" if value else "off"
