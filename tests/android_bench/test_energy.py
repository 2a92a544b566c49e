"""What a battery gauge tells of processes, and what it does not."""

from dataclasses import asdict, replace
from typing import Any

import pytest
from device_samples import BATTERY
from hypothesis import given
from hypothesis import strategies as st

from android_bench.energy import energy_of, gauge_problem
from android_bench.health import HealthSnapshot, PhoneHealth, from_files
from android_bench.parsers.battery import BatteryState, parse_battery
from android_bench.parsers.supply import Battery, batteries

STATE = parse_battery(BATTERY)
assert STATE is not None
ON_BATTERY = replace(STATE, powered=(), status="discharging", charge_uah=3_000_000, voltage_mv=4000)
PLACE = "/sys/class/power_supply"


def phone(battery: BatteryState | None, **changes: Any) -> dict[str, Any]:
    """A stored state of a phone with this battery."""
    state = None if battery is None else replace(battery, **changes)
    health = PhoneHealth(battery=state, thermal=None, power=None, low_power=None, unreadable=())
    return asdict(HealthSnapshot("2026-01-01T00:00:00+00:00", None, None, None, None, (), (), health))


def laptop(**files: str) -> dict[str, Any]:
    """A stored state of a machine whose kernel shows these files of one battery."""
    return asdict(from_files({f"{PLACE}/BAT0/{name}": text for name, text in {"type": "Battery", **files}.items()}))


@given(st.lists(st.integers(1, 50_000), min_size=1, max_size=5), st.integers(3000, 4500))
def test_a_phone_s_charge_becomes_energy_at_its_voltage(falls: list[int], millivolt: int) -> None:
    pairs = [
        (phone(ON_BATTERY, voltage_mv=millivolt), phone(ON_BATTERY, voltage_mv=millivolt, charge_uah=3_000_000 - fall))
        for fall in falls
    ]
    energy = energy_of(pairs)
    # An ampere hour is 3600 coulombs; a coulomb at a volt is a joule.
    assert energy.millijoule == pytest.approx(sum(falls) * 1e-6 * 3600 * millivolt)
    assert "of the whole device" in energy.note


def test_a_machine_whose_gauge_counts_energy_needs_no_voltage() -> None:
    before, after = (laptop(status="Discharging", energy_now=text) for text in ("50000000", "49990000"))
    assert energy_of([(before, after)]).millijoule == pytest.approx(10_000 * 1e-6 * 3600 * 1000)
    charge = [laptop(status="Discharging", charge_now=text, voltage_now="12000000") for text in ("4000000", "3999000")]
    assert energy_of([(charge[0], charge[1])]).millijoule == pytest.approx(1000 * 1e-6 * 3600 * 12_000)


@pytest.mark.parametrize(
    ("health", "problem"),
    [
        (phone(ON_BATTERY, powered=("usb",)), "powered by usb"),
        (phone(ON_BATTERY, powered=None), "does not say whether it is on a charger"),
        (phone(ON_BATTERY, faked=True), "set by hand"),
        (phone(ON_BATTERY, charge_uah=None), "no charge counter"),
        (phone(ON_BATTERY, voltage_mv=None), "no charge counter with a voltage"),
        (phone(None), "no battery gauge that can be read"),
        (asdict(from_files({})), "no battery gauge that can be read"),
        (laptop(status="Charging", energy_now="5"), "the battery is charging"),
        (laptop(energy_now="5"), "in no known state"),
        (laptop(status="Discharging", charge_now="5"), "no charge counter with a voltage"),
        (laptop(status="Discharging"), "no charge counter with a voltage"),
    ],
)
def test_a_gauge_that_cannot_tell_is_said_to_be_unreadable(health: dict[str, Any], problem: str) -> None:
    said = gauge_problem(health)
    assert said is not None
    assert problem in said
    energy = energy_of([(health, health)])
    assert energy.millijoule is None
    assert energy.note == said


def test_a_gauge_that_stood_still_tells_nothing_of_any_process() -> None:
    moved = (phone(ON_BATTERY), phone(ON_BATTERY, charge_uah=2_999_000))
    assert energy_of([moved]).millijoule is not None
    for other in ((phone(ON_BATTERY), phone(ON_BATTERY)), (moved[1], moved[0])):
        energy = energy_of([moved, other])
        assert energy.millijoule is None
        assert "did not move" in energy.note
    assert energy_of([(moved[0], None)]).millijoule is None


def test_a_mouse_s_battery_is_not_the_machine_s() -> None:
    files = {f"{PLACE}/hid/type": "Battery", f"{PLACE}/hid/scope": "Device", f"{PLACE}/AC/type": "Mains"}
    assert batteries(files) == ()
    files |= {
        f"{PLACE}/battery/type": "Battery",
        f"{PLACE}/battery/status": "Full",
        f"{PLACE}/battery/charge_now": "-3",
    }
    files |= {f"{PLACE}/battery/charge_counter": "2811000", f"{PLACE}/battery/voltage_now": "much"}
    assert batteries(files) == (Battery("battery", "full", 2_811_000, None, None),)
