"""Many small files in one reading, and what stands in them."""

import pytest
from device_samples import CPU_PRESSURE, LOADAVG, MEMINFO, PROC_STAT, SYSFS
from hypothesis import given
from hypothesis import strategies as st

from android_bench.errors import UnreadableOutputError
from android_bench.parsers.files import parse_files
from android_bench.parsers.proc import (
    CoreTicks,
    LoadAverage,
    Memory,
    Stat,
    parse_loadavg,
    parse_meminfo,
    parse_pressure,
    parse_stat,
)
from android_bench.parsers.zones import ZoneTemperature, zone_temperatures

ZONES = "/sys/class/thermal/thermal_zone"


def test_each_file_has_its_lines() -> None:
    files = parse_files(SYSFS)
    assert files["/sys/devices/system/cpu/cpu4/cpufreq/stats/time_in_state"] == "300000 12\n2348000 345"
    assert files["/proc/loadavg"] == LOADAVG.strip()


def test_reading_nothing_at_all_is_normal() -> None:
    assert parse_files("") == {}


def test_what_grep_says_itself_is_passed_over() -> None:
    assert parse_files("grep: /sys/x: Permission denied\nBinary file /sys/y matches\n/a:b:c\n") == {"/a": "b:c"}


@pytest.mark.parametrize("output", ["error: closed\n", "/a:1\n2\n", "/a\n", ":1\n"])
def test_line_of_no_file_is_refused(output: str) -> None:
    with pytest.raises(UnreadableOutputError, match="a line without its file"):
        parse_files(output)


@given(
    st.dictionaries(st.from_regex(r"/[a-z0-9_/]{1,20}", fullmatch=True), st.from_regex(r"[a-z0-9: ]*", fullmatch=True))
)
def test_files_survive_the_trip(files: dict[str, str]) -> None:
    assert parse_files("".join(f"{path}:{text}\n" for path, text in files.items())) == {
        path: text.strip() for path, text in files.items()
    }


def test_ticks_of_each_core() -> None:
    assert parse_stat(PROC_STAT) == Stat((CoreTicks(0, 20, 6, 105), CoreTicks(1, 5, 1, 2)), 3)


def test_kernel_that_counts_less_tells_less() -> None:
    assert parse_stat("cpu  1 2 3 4\ncpu0 1 2 3 4\n") == Stat((CoreTicks(0, None, None, 4),), None)
    assert parse_stat("cpu  1 2 3 4 5 6 7\ncpu0 1 2 3 4 5 6 7\n").cores == (CoreTicks(0, 19, None, 9),)


@pytest.mark.parametrize(
    "output", ["", "cpu0 1 2 3 4\n", "cpu  1 2\ncpu0 1 2\n", "cpu  1\ncpu0 a b c d\n", "cpu  1\ncpu9999 1 2 3 4\n"]
)
def test_what_is_no_proc_stat_is_refused(output: str) -> None:
    with pytest.raises(UnreadableOutputError, match="/proc/stat"):
        parse_stat(output)


def test_load_average() -> None:
    assert parse_loadavg(LOADAVG) == LoadAverage(0.25, 0.18, 0.16, 1, 85)


@pytest.mark.parametrize(
    "output", ["", "0.25", "0.1 0.2 nan 1/85 4", "0.1 0.2 0.3 1 4", "0.1 0.2 0.3 1/85 4 5", "-1 0 0 1/2 3"]
)
def test_what_is_no_load_average_is_refused(output: str) -> None:
    with pytest.raises(UnreadableOutputError, match="no load average"):
        parse_loadavg(output)


def test_time_in_which_somebody_waited_for_a_core() -> None:
    assert parse_pressure(CPU_PRESSURE) == 5_117_807_630


@pytest.mark.parametrize(
    "output", ["", "full avg10=0.00 avg60=0.00 avg300=0.00 total=1", "some avg10=0.00 total=1", "some total=-1"]
)
def test_what_is_no_pressure_is_refused(output: str) -> None:
    with pytest.raises(UnreadableOutputError, match="/proc/pressure/cpu"):
        parse_pressure(output)


def test_memory() -> None:
    assert parse_meminfo(MEMINFO) == Memory(7_654_321, 3_456_789)
    assert parse_meminfo("MemTotal: 5 kB\nMemAvailable: 99999999999999999999 kB\n") == Memory(5, None)


@pytest.mark.parametrize("output", ["", "MemFree: 1 kB\n", "MemTotal: many kB\n", "MemTotal: 5 MB\n"])
def test_what_is_no_memory_is_refused(output: str) -> None:
    with pytest.raises(UnreadableOutputError, match="it states no amount"):
        parse_meminfo(output)


def test_temperatures_of_the_kernel_s_zones() -> None:
    assert zone_temperatures(parse_files(SYSFS)) == (
        ZoneTemperature("cpu-0-0-usr", 41.5),
        ZoneTemperature("battery", 28.3),
    )


def test_zone_without_a_type_has_its_directory_s_name() -> None:
    assert zone_temperatures({f"{ZONES}3/temp": "25000", f"{ZONES}3/type": ""}) == (
        ZoneTemperature("thermal_zone3", 25),
    )


@pytest.mark.parametrize("value", ["", "0", "37", "-99900", "273000", "nan", "1e400", "hot"])
def test_zone_without_a_reading_in_thousandths_of_a_degree_is_left_out(value: str) -> None:
    assert zone_temperatures({f"{ZONES}0/temp": value}) == ()
