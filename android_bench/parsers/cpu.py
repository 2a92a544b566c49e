"""Cores, their frequencies and their kinds: what /sys/devices/system/cpu and /proc/cpuinfo tell.

The files come as a mapping from path to content, as `files.parse_files` makes it of a phone's output. A missing file is
normal: many phones let nobody read some of them.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from android_bench.parsers.text import Output, excerpt, integer, lines_of, name, text_of, unreadable

CPU = "/sys/devices/system/cpu"
CPU_FILES = (
    f"{CPU}/present",
    f"{CPU}/online",
    f"{CPU}/cpu[0-9]*/cpufreq/cpuinfo_max_freq",
    f"{CPU}/cpu[0-9]*/cpufreq/scaling_max_freq",
    f"{CPU}/cpu[0-9]*/cpufreq/scaling_cur_freq",
    f"{CPU}/cpu[0-9]*/cpufreq/scaling_governor",
)
CPUINFO = 'grep -E "^(processor|Features|flags|CPU implementer|CPU part)" /proc/cpuinfo'
"""A command: what `core_parts` reads, and the instructions that the cores know."""
MAX_CORES = 1024
_MAX_KHZ = 100_000_000
_RANGE = re.compile(r"([0-9]{1,4})(?:-([0-9]{1,4}))?")
_ID = re.compile(r"0x[0-9a-f]{1,4}")
_PATH = re.compile(rf"{CPU}/cpu([0-9]{{1,4}})/")


@dataclass(frozen=True, slots=True)
class Core:
    """One core now. cpuinfo_max_freq_khz: what the hardware can do; scaling_max_freq_khz: what it is allowed to do."""

    number: int
    online: bool | None
    governor: str | None
    cpuinfo_max_freq_khz: int | None
    scaling_max_freq_khz: int | None
    scaling_cur_freq_khz: int | None


@dataclass(frozen=True, slots=True)
class CpuState:
    """A device's cores now. present, online: their numbers; None where the device does not tell."""

    present: tuple[int, ...] | None
    online: tuple[int, ...] | None
    cores: tuple[Core, ...]

    @property
    def offline(self) -> tuple[int, ...]:
        """The cores that are there and switched off, as far as the device tells."""
        known = self.present is not None and self.online is not None
        return tuple(sorted(set(self.present or ()) - set(self.online or ()))) if known else ()


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """Core numbers of the kernel's list syntax, such as "0-3,6", in order; "" is no core.

    Raises UnreadableOutputError for text of another kind and for cores beyond `MAX_CORES`.
    """
    numbers: set[int] = set()
    parts = text.strip().split(",") if text.strip() else []
    for part in parts[:MAX_CORES]:
        match = _RANGE.fullmatch(part)
        first = int(match[1]) if match else -1
        last = int(match[2] or match[1]) if match else -1
        if not 0 <= first <= last < MAX_CORES:
            raise unreadable("list of cores", f"no range of cores: {excerpt(part)}")
        numbers.update(range(first, last + 1))
    if len(parts) > MAX_CORES:
        raise unreadable("list of cores", f"it has {len(parts)} parts")
    return tuple(sorted(numbers))


def core_mask(numbers: Iterable[int]) -> str:
    """The cores as toybox's taskset takes them: hexadecimal, without 0x."""
    return f"{sum(1 << number for number in set(numbers)):x}"


def cpu_state(files: Mapping[str, str]) -> CpuState:
    """The cores that `files` tell of. Raises UnreadableOutputError when a list of cores is none."""
    present = _list(files, "present")
    online = _list(files, "online")
    numbers = {int(match[1]) for path in files if (match := _PATH.match(path))} | set(online or ())
    if any(number >= MAX_CORES for number in numbers):
        raise unreadable(CPU, f"more than {MAX_CORES} cores")
    return CpuState(present, online, tuple(_core(number, files, online) for number in sorted(numbers)))


def core_parts(cpuinfo: Output) -> dict[int, str]:
    """Of each core its kind, as /proc/cpuinfo of an Arm kernel has it: implementer and part number of the MIDR_EL1
    register, such as `0x41:0xd41` (Arm Cortex-A78). Empty where it names none, as on x86.

    Raises UnreadableOutputError for endless output.
    """
    parts: dict[int, str] = {}
    core, implementer = None, None
    for line in lines_of(text_of(cpuinfo, "/proc/cpuinfo")):
        word, _, value = (field.strip() for field in line.partition(":"))
        if word == "processor":
            core, implementer = integer(value, 0, MAX_CORES - 1), None
        elif word == "CPU implementer":
            implementer = value if _ID.fullmatch(value) else None
        elif word == "CPU part" and core is not None and implementer is not None and _ID.fullmatch(value):
            parts[core] = f"{implementer}:{value}"
    return parts


def _list(files: Mapping[str, str], file_name: str) -> tuple[int, ...] | None:
    text = files.get(f"{CPU}/{file_name}")
    return None if text is None else parse_cpu_list(text)


def _core(number: int, files: Mapping[str, str], online: tuple[int, ...] | None) -> Core:
    def khz(file_name: str) -> int | None:
        return integer(files.get(f"{CPU}/cpu{number}/cpufreq/{file_name}"), 1, _MAX_KHZ)

    return Core(
        number=number,
        online=None if online is None else number in online,
        governor=name(files.get(f"{CPU}/cpu{number}/cpufreq/scaling_governor")),
        cpuinfo_max_freq_khz=khz("cpuinfo_max_freq"),
        scaling_max_freq_khz=khz("scaling_max_freq"),
        scaling_cur_freq_khz=khz("scaling_cur_freq"),
    )
