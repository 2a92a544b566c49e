"""What a battery gauge tells of processes: what was left before and after. What it cannot tell is said, not guessed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_UAH_TO_COULOMB = 3.6e-3
_UWH_TO_MILLIJOULE = 3.6


@dataclass(frozen=True, slots=True)
class Energy:
    """millijoule: what the whole device took over some processes. note: why that is not known, or what it is of."""

    millijoule: float | None
    note: str


@dataclass(frozen=True, slots=True)
class _Gauge:
    """One reading. charge_uah and voltage_mv, or energy_uwh: what is left. problem: why none of it says anything."""

    charge_uah: int | None = None
    voltage_mv: float | None = None
    energy_uwh: int | None = None
    problem: str | None = None


def gauge_problem(health: Mapping[str, Any]) -> str | None:
    """Why the gauge, in this state of the device (a stored `HealthSnapshot`), cannot tell what inferences take; None
    where it can."""
    return _read(health).problem


def energy_of(states: Sequence[tuple[Mapping[str, Any], Mapping[str, Any] | None]]) -> Energy:
    """The energy that a device took over processes, from its states before and after each.

    The gauge has to have fallen in every one of them: one that stands still is coarser than the process was long.
    charge times the mean voltage, or the energy where the gauge counts that: the screen and all else included.
    """
    if not states:
        return Energy(None, "nothing was measured")
    total, falls = 0.0, []
    for before, after in states:
        if after is None:
            return Energy(None, "a process was interrupted")
        first, last = _read(before), _read(after)
        if (problem := first.problem or last.problem) is not None:
            return Energy(None, problem)
        if first.energy_uwh is not None and last.energy_uwh is not None:
            fall, taken = first.energy_uwh - last.energy_uwh, (first.energy_uwh - last.energy_uwh) * _UWH_TO_MILLIJOULE
        elif None in (first.charge_uah, last.charge_uah, first.voltage_mv, last.voltage_mv):
            return Energy(None, "the battery gauge gives no charge counter with a voltage")
        else:
            assert first.charge_uah is not None
            assert last.charge_uah is not None
            assert first.voltage_mv is not None
            assert last.voltage_mv is not None
            fall = first.charge_uah - last.charge_uah
            taken = fall * _UAH_TO_COULOMB * (first.voltage_mv + last.voltage_mv) / 2
        if fall <= 0:
            return Energy(None, "the battery gauge did not move in one of the processes: it needs longer ones")
        total += taken
        falls.append(fall)
    unit = "uWh" if _read(states[0][0]).energy_uwh is not None else "uAh"
    steps = ", ".join(map(str, falls))
    return Energy(total, f"of the whole device, screen included; the gauge fell by {steps} {unit}")


def _read(health: Mapping[str, Any]) -> _Gauge:
    phone = health.get("phone")
    battery = phone.get("battery") if phone else None
    if battery is not None:
        return _phone_gauge(battery)
    kernel = health.get("batteries") or ()
    if not kernel:
        return _Gauge(problem="there is no battery gauge that can be read")
    if len(kernel) > 1:
        return _Gauge(problem=f"there are {len(kernel)} batteries, and nobody says which of them feeds the processor")
    (one,) = kernel
    if one["status"] != "discharging":
        return _Gauge(
            problem=f"the battery is {one['status'] or 'in no known state'}: its gauge falls on battery power alone"
        )
    if one["energy_uwh"] is None and (one["charge_uah"] is None or one["voltage_uv"] is None):
        return _Gauge(problem="the battery gauge gives no charge counter with a voltage")
    return _Gauge(one["charge_uah"], None if one["voltage_uv"] is None else one["voltage_uv"] / 1000, one["energy_uwh"])


def _phone_gauge(battery: Mapping[str, Any]) -> _Gauge:
    if battery["faked"]:
        return _Gauge(problem="the battery's values were set by hand, they are not the gauge's")
    if battery["powered"] is None:
        return _Gauge(problem="the phone does not say whether it is on a charger")
    if battery["powered"]:
        powered = " and ".join(battery["powered"])
        return _Gauge(problem=f"the phone is powered by {powered}: its gauge tells nothing of what an inference takes")
    if battery.get("charge_uah") is None or battery["voltage_mv"] is None:
        return _Gauge(problem="the battery gauge gives no charge counter with a voltage")
    return _Gauge(battery["charge_uah"], float(battery["voltage_mv"]))
