"""What else ran on a device while a process measured: from the counters around it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# /proc/stat counts in hundredths of a second on every architecture that Linux has (USER_HZ).
_TICK_NS = 10_000_000
_COUNTERS = ("busy_ticks", "steal_ticks", "idle_ticks")


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Shares of the time that a device's cores had together while a process ran, from 0 to 1; None where the device
    does not say.

    others: other programs ran, the host's own on `local` among them. stolen: the hypervisor gave it to another machine.
    stalled: at least one task wanted a core and had none, as a share of the clock's time. runnable: tasks that wanted a
    core just before the process started.
    """

    others: float | None
    stolen: float | None
    stalled: float | None
    runnable: int | None


def neighbours(before: Mapping[str, Any], after: Mapping[str, Any], cpu_ns: int | None) -> Neighbours:
    """before, after: a device's state as it is stored (`health.HealthSnapshot` as plain JSON). cpu_ns: what the process
    between the two took of the cores."""
    then, now = _counted(before), _counted(after)
    both = [number for number in now if number in then]
    busy, stolen, idle = (sum(now[number][at] - then[number][at] for number in both) for at in range(len(_COUNTERS)))
    total = busy + stolen + idle
    started, ended = before.get("cpu_stalled_us"), after.get("cpu_stalled_us")
    stalled_us = None if started is None or ended is None else ended - started
    runnable = before.get("runnable")
    if total <= 0:
        return Neighbours(None, None, None, runnable)
    return Neighbours(
        others=None if cpu_ns is None else _share(busy - cpu_ns / _TICK_NS, total),
        stolen=_share(stolen, total),
        stalled=None if stalled_us is None else _share(stalled_us, total / len(both) * _TICK_NS / 1000),
        runnable=runnable,
    )


def _counted(health: Mapping[str, Any]) -> dict[int, tuple[int, ...]]:
    """The counters of each core that has them all."""
    cores = {core["number"]: tuple(core.get(name) for name in _COUNTERS) for core in health["cores"]}
    return {number: counters for number, counters in cores.items() if None not in counters}


def _share(part: float, whole: float) -> float:
    """Counters are read one after the other and in whole ticks, so that a part may come out a little off."""
    return min(1.0, max(0.0, part / whole))
