"""The thermal service's state."""

import pytest
from device_samples import THERMAL, THERMAL_WITHOUT_HAL
from hypothesis import given
from hypothesis import strategies as st

from android_bench.errors import UnreadableOutputError
from android_bench.parsers.thermal import CoolingDevice, SensorTemperature, ThermalState, parse_thermal


def read(output: str) -> ThermalState:
    state = parse_thermal(output)
    assert state is not None
    return state


def test_state_is_read() -> None:
    state = read(THERMAL)
    assert (state.status, state.overridden, state.hal_ready) == (0, False, True)
    assert SensorTemperature("skin", "skin", 30.2, 0) in state.temperatures
    assert state.cooling == (CoolingDevice("thermal-cpufreq-0", 0), CoolingDevice("thermal-cpufreq-4", 3))


def test_remembered_temperatures_are_never_used() -> None:
    assert 45.98 not in [temperature.celsius for temperature in read(THERMAL).temperatures]
    remembered_only = THERMAL.split("HAL connection:")[0]
    assert read(remembered_only).temperatures == ()


def test_sensors_without_a_reading_and_of_other_quantities_are_left_out() -> None:
    assert [temperature.sensor for temperature in read(THERMAL).temperatures] == ["AP", "BAT", "skin", "usb"]


def test_small_numbers_are_written_with_an_exponent() -> None:
    assert read(THERMAL).hottest_c("usb port") == 4.2e-4


def test_hottest_of_some_kinds() -> None:
    state = read(THERMAL)
    assert (state.hottest_c("skin", "battery"), state.hottest_c("battery"), state.hottest_c("npu")) == (
        30.2,
        23.8,
        None,
    )


def test_hardware_that_is_not_ready_has_no_temperatures() -> None:
    state = read(THERMAL_WITHOUT_HAL)
    assert (state.hal_ready, state.temperatures, state.cooling) == (False, (), ())


def test_status_set_by_hand_is_told() -> None:
    assert read(THERMAL.replace("IsStatusOverride: false", "IsStatusOverride: true")).overridden is True


@pytest.mark.parametrize(("stated", "status"), [("6", 6), ("7", None), ("-2147483648", None), ("none", None)])
def test_status_is_one_of_seven(stated: str, status: int | None) -> None:
    assert read(THERMAL.replace("Thermal Status: 0", f"Thermal Status: {stated}")).status == status


def test_device_without_the_service_has_no_state() -> None:
    assert parse_thermal("Can't find service: thermalservice\n") is None


@pytest.mark.parametrize("damage", ["mValue=hot", "mValue=", "mValue=3O.2", "mValue=1e999"])
def test_temperature_that_is_garbled_is_told_and_costs_itself_alone(damage: str) -> None:
    state = read(THERMAL.replace("mValue=30.2", damage).replace("Thermal Status: 0", "Thermal Status: 3"))
    (complaint,) = state.unreadable
    assert complaint.startswith("dumpsys thermalservice: no temperature: 'Temperature{mValue=")
    assert (state.status, state.hottest_c("skin"), state.hottest_c("battery")) == (3, None, 23.8)
    assert state.cooling == read(THERMAL).cooling


@pytest.mark.parametrize("unknown", ["-3.4028235E38", "3.4028235E38", "NaN"])
def test_an_unknown_temperature_is_no_reading(unknown: str) -> None:
    state = read(THERMAL.replace("mValue=30.2", f"mValue={unknown}"))
    assert (state.status, state.hottest_c("skin"), state.unreadable) == (0, None, ())


def test_output_cut_inside_a_temperature_is_told() -> None:
    state = read(THERMAL[: THERMAL.index("mName=skin, mStatus=0")])
    assert len(state.temperatures) == 2
    assert "no temperature" in state.unreadable[0]


def test_cooling_device_that_is_garbled_is_told() -> None:
    state = read(THERMAL.replace("{mValue=3,", "{mValue=three,"))
    assert state.cooling == (CoolingDevice("thermal-cpufreq-0", 0),)
    assert "no cooling device" in state.unreadable[0]


def test_a_cooling_device_that_knows_no_state_has_none() -> None:
    state = read(THERMAL.replace("{mValue=3,", "{mValue=-1,"))
    assert (state.cooling, state.unreadable) == ((CoolingDevice("thermal-cpufreq-0", 0),), ())


@pytest.mark.parametrize("output", ["", "error: closed", "Permission Denial: can't dump thermalservice"])
def test_what_is_no_thermal_service_is_refused(output: str) -> None:
    with pytest.raises(UnreadableOutputError, match="dumpsys thermalservice: it states neither"):
        parse_thermal(output)


@given(
    st.lists(
        st.builds(
            SensorTemperature,
            st.text("abcXYZ-_, .", min_size=1, max_size=12).map(lambda text: f"s{text}e"),
            st.just("skin"),
            st.floats(-40, 150),
            st.integers(0, 6),
        ),
        max_size=5,
    )
)
def test_temperatures_survive_the_trip(temperatures: list[SensorTemperature]) -> None:
    rows = [f"\tTemperature{{mValue={t.celsius}, mType=3, mName={t.sensor}, mStatus={t.status}}}" for t in temperatures]
    text = "\n".join(
        ["Thermal Status: 0", "Current temperatures from HAL:", *rows, "Current cooling devices from HAL:"]
    )
    assert list(read(text).temperatures) == temperatures
