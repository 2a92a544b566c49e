"""Cores, frequencies and kinds."""

import pytest
from device_samples import SYSFS, cpuinfo
from hypothesis import given
from hypothesis import strategies as st

from android_bench.errors import UnreadableOutputError
from android_bench.parsers.cpu import (
    CPU,
    MAX_CORES,
    Core,
    CpuState,
    core_mask,
    core_parts,
    cpu_state,
    parse_cpu_list,
)
from android_bench.parsers.files import parse_files


def test_cores_are_read() -> None:
    state = cpu_state(parse_files(SYSFS))
    assert (state.present, state.online, state.offline) == (tuple(range(8)), tuple(range(7)), (7,))
    assert state.cores[0] == Core(0, True, "schedutil", 1_800_000, 1_800_000, 576_000)
    assert state.cores[4] == Core(4, True, None, 2_348_000, 1_747_000, None)
    assert [core.online for core in state.cores] == [True] * 7 + [False]


def test_kinds_of_cores_are_read() -> None:
    assert core_parts(cpuinfo("0xd05", "0xd41")) == {0: "0x41:0xd05", 1: "0x41:0xd41"}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("", {}),
        ("processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel\t\t: 1\n", {}),  # x86
        ("Processor\t: AArch64 rev 4\nCPU implementer\t: 0x41\nCPU part\t: 0xd03\n", {}),  # of no core in particular
        (cpuinfo("0xd05; reboot", "0xd41"), {1: "0x41:0xd41"}),
        (cpuinfo("0xd05").replace("processor\t: 0", "processor\t: 9999"), {}),
        (cpuinfo("0xd05").replace("CPU implementer\t: 0x41\n", ""), {}),
    ],
)
def test_a_kind_that_is_not_told_is_not_made_up(told: str, expected: dict[int, str]) -> None:
    assert core_parts(told) == expected


def test_device_that_tells_nothing_has_no_cores() -> None:
    assert cpu_state({}) == CpuState(None, None, ())


def test_where_there_is_no_list_nobody_knows_which_are_online() -> None:
    (found,) = cpu_state({f"{CPU}/cpu0/cpufreq/scaling_governor": ""}).cores
    assert (found.online, found.governor) == (None, None)


@pytest.mark.parametrize("value", ["0", "-1", "1.8e6", "<unknown>", "999999999999", ""])
def test_frequency_that_is_none_is_none(value: str) -> None:
    (found,) = cpu_state({f"{CPU}/cpu0/cpufreq/scaling_max_freq": value}).cores
    assert found.scaling_max_freq_khz is None


def test_more_cores_than_any_device_has_are_refused() -> None:
    with pytest.raises(UnreadableOutputError, match="more than 1024 cores"):
        cpu_state({f"{CPU}/cpu1024/cpufreq/scaling_max_freq": "1"})


@pytest.mark.parametrize(
    ("text", "numbers"), [("0", (0,)), ("0-3,6\n", (0, 1, 2, 3, 6)), ("", ()), ("7,0-1", (0, 1, 7)), ("1-1", (1,))]
)
def test_list_of_cores(text: str, numbers: tuple[int, ...]) -> None:
    assert parse_cpu_list(text) == numbers


@pytest.mark.parametrize(
    "text", ["a", "3-1", "1-", "-1", "0,,1", "0-99999", "1024", "0x1", "\u0661", "0," * 2000 + "0"]
)
def test_what_is_no_list_of_cores_is_refused(text: str) -> None:
    with pytest.raises(UnreadableOutputError, match="list of cores"):
        parse_cpu_list(text)


@given(st.sets(st.integers(0, MAX_CORES - 1)))
def test_lists_and_masks_survive_the_trip(numbers: set[int]) -> None:
    assert parse_cpu_list(",".join(map(str, numbers))) == tuple(sorted(numbers))
    mask = int(core_mask(numbers), 16)
    assert {number for number in range(MAX_CORES) if mask >> number & 1} == numbers
