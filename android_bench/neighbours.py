"""What else ran on a device while a process measured: from the counters around it."""

from dataclasses import dataclass

from android_bench.health import HealthSnapshot

# /proc/stat counts in hundredths of a second on every architecture that Linux has (USER_HZ).
_TICK_NS = 10_000_000


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Shares of the time that a device's cores had together between two snapshots, from 0 to 1; None where the device
    does not say.

    others: other programs ran, ours on this machine among them. stolen: the hypervisor gave it to another machine.
    stalled: the share of the clock's time in which at least one task wanted a core and had none. runnable: tasks that
    wanted a core just before the process started.
    """

    others: float | None
    stolen: float | None
    stalled: float | None
    runnable: int | None


def neighbours(before: HealthSnapshot, after: HealthSnapshot, cpu_ns: int | None) -> Neighbours:
    """cpu_ns: what the process between the two took of the cores."""
    first = {core.number: core for core in before.cores}
    busy = stolen = total = counted = 0
    for core in after.cores:
        was = first.get(core.number)
        then = None if was is None else (was.busy_ticks, was.steal_ticks, was.idle_ticks)
        now = (core.busy_ticks, core.steal_ticks, core.idle_ticks)
        if then is None or None in then or None in now:
            continue
        spent = [end - start for start, end in zip(then, now, strict=True) if start is not None and end is not None]
        busy, stolen, total, counted = busy + spent[0], stolen + spent[1], total + sum(spent), counted + 1
    known = total > 0
    wall_us = total / counted * _TICK_NS / 1000 if known else 0.0
    stalled = _between(before.cpu_stalled_us, after.cpu_stalled_us)
    return Neighbours(
        others=_share(busy - cpu_ns / _TICK_NS, total) if known and cpu_ns is not None else None,
        stolen=_share(stolen, total) if known else None,
        stalled=_share(stalled, wall_us) if known and stalled is not None else None,
        runnable=before.runnable,
    )


def _between(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before


def _share(part: float, whole: float) -> float:
    """Counters are read one after the other and in whole ticks, so that a part may come out a little off."""
    return min(1.0, max(0.0, part / whole))
