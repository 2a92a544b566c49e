"""Load and memory: /proc/stat, /proc/loadavg, /proc/meminfo (proc_stat(5), proc_loadavg(5), proc_meminfo(5)) and
/proc/pressure/cpu (Documentation/accounting/psi.rst)."""

import re
from dataclasses import dataclass

from android_bench.parsers.text import Output, excerpt, integer, lines_of, number, text_of, unreadable

_STAT = "/proc/stat"
_LOADAVG = "/proc/loadavg"
_MEMINFO = "/proc/meminfo"
_PRESSURE = "/proc/pressure/cpu"
_MAX_CORES = 1024
_CORE = re.compile(r"cpu([0-9]{1,4})((?: +[0-9]{1,19}){4,16})")
_TASKS = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")
_STALLED = re.compile(r"some(?: avg(?:10|60|300)=[0-9]{1,3}\.[0-9]{2}){3} total=([0-9]{1,19})")
_MEMORY = re.compile(r"(MemTotal|MemAvailable): +([0-9]{1,19}) kB")


@dataclass(frozen=True, slots=True)
class CoreTicks:
    """What one core did since boot, in clock ticks. busy: everything but idling and waiting; steal: time that a
    hypervisor gave to another machine; idle: the rest. None on kernels that do not count them."""

    number: int
    busy: int | None
    steal: int | None
    idle: int | None = None


@dataclass(frozen=True, slots=True)
class Stat:
    """/proc/stat. running: tasks that wanted a core."""

    cores: tuple[CoreTicks, ...]
    running: int | None


@dataclass(frozen=True, slots=True)
class LoadAverage:
    """/proc/loadavg: tasks that wanted a core, on average over 1, 5 and 15 minutes; now, of all tasks."""

    minutes_1: float
    minutes_5: float
    minutes_15: float
    runnable: int
    tasks: int


@dataclass(frozen=True, slots=True)
class Memory:
    """/proc/meminfo. available: what a new program could use without swapping."""

    total_kb: int | None
    available_kb: int | None


def parse_stat(output: Output) -> Stat:
    """Raises UnreadableOutputError when `output` has no line of all cores together, which is always the first."""
    lines = lines_of(text_of(output, _STAT).strip())
    if not lines[0].startswith("cpu "):
        raise unreadable(_STAT, f"it begins with {excerpt(lines[0])}")
    cores: dict[int, CoreTicks] = {}
    running = None
    for line in lines[1:]:
        if line.startswith("procs_running "):
            running = integer(line.removeprefix("procs_running "))
        elif line.startswith("cpu"):
            core = _core_ticks(line)
            cores[core.number] = core
    return Stat(tuple(cores[index] for index in sorted(cores)), running)


def _core_ticks(line: str) -> CoreTicks:
    match = _CORE.fullmatch(line.rstrip())
    if match is None or int(match[1]) >= _MAX_CORES:
        raise unreadable(_STAT, f"no core: {excerpt(line)}")
    # user, nice, system, idle, iowait, irq, softirq, steal, ...
    ticks = [int(value) for value in match[2].split()]
    busy = sum(ticks[:3]) + sum(ticks[5:7]) if len(ticks) >= 7 else None
    return CoreTicks(int(match[1]), busy, ticks[7] if len(ticks) >= 8 else None, sum(ticks[3:5]))


def parse_loadavg(output: Output) -> LoadAverage:
    """Raises UnreadableOutputError when `output` is not the line of /proc/loadavg."""
    text = text_of(output, _LOADAVG).strip()
    fields = text.split(maxsplit=5)
    averages = [number(field, 0, 1e9) for field in fields[:3]]
    tasks = _TASKS.fullmatch(fields[3]) if len(fields) == 5 else None
    match averages:
        case [float(minutes_1), float(minutes_5), float(minutes_15)] if tasks is not None:
            return LoadAverage(minutes_1, minutes_5, minutes_15, int(tasks[1]), int(tasks[2]))
    raise unreadable(_LOADAVG, f"no load average: {excerpt(text)}")


def parse_meminfo(output: Output) -> Memory:
    """Raises UnreadableOutputError when `output` states no amount of memory."""
    amounts: dict[str, int | None] = {}
    for line in lines_of(text_of(output, _MEMINFO)):
        if match := _MEMORY.fullmatch(line.strip()):
            amounts.setdefault(match[1], integer(match[2]))
    if not amounts:
        raise unreadable(_MEMINFO, "it states no amount of memory")
    return Memory(amounts.get("MemTotal"), amounts.get("MemAvailable"))


def parse_pressure(output: Output) -> int:
    """Microseconds since boot in which at least one task wanted a core and had none. Raises UnreadableOutputError when
    `output` is not /proc/pressure/cpu."""
    first = lines_of(text_of(output, _PRESSURE).strip())[0]
    match = _STALLED.fullmatch(first.rstrip())
    if match is None:
        raise unreadable(_PRESSURE, f"no pressure: {excerpt(first)}")
    return int(match[1])
