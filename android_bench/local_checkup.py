"""A checkup of this machine."""

import os
import shutil
import time
from pathlib import Path

from android_bench import health
from android_bench.checkup import Checkup, out_of_reach, system_state, uptime_of, without_runner
from android_bench.fitness import unfit
from android_bench.health import HealthSnapshot
from android_bench.inventory import SeenDevice
from android_bench.local import LocalTransport, local_info
from android_bench.parsers.storage import Room
from android_bench.runner.build import cache_dir
from android_bench.runner.readiness import runners_for_host

WATCHED_S = 1.0
# More stolen time than this is seen in the samples of short operators.
_NOTABLE_STOLEN_PERCENT = 1.0


def examine_local(seen: SeenDevice, *, watched_s: float = WATCHED_S) -> Checkup:
    """Look at this machine, for `watched_s` seconds."""
    if not seen.is_ready:
        return out_of_reach(seen, seen.state, seen.advice)
    transport = LocalTransport()
    begin, started = health.snapshot(transport, android=False), time.monotonic()
    time.sleep(watched_s)
    now = health.snapshot(transport, android=False)
    stolen = stolen_percent(begin, now, time.monotonic() - started)
    runners = runners_for_host()
    unbuildable = without_runner(runners)
    info = local_info()
    return Checkup(
        device=seen,
        system=system_state(
            now,
            parts={core.number: core.part for core in info.cores if core.part is not None},
            build=None,
            kernel=info.kernel,
            uptime_s=_uptime(),
            room=_room(cache_dir()),
            stolen_percent=stolen,
        ),
        runners=runners,
        findings=(unbuildable,) if unbuildable else (),
        notes=tuple(_notes(now, stolen)),
    )


def stolen_percent(before: HealthSnapshot, after: HealthSnapshot, seconds: float) -> float | None:
    """Of all cores' time between two snapshots, what the hypervisor gave to another machine."""
    was = {core.number: core.steal_ticks for core in before.cores}
    pairs = [(was.get(core.number), core.steal_ticks) for core in after.cores]
    stolen = [now - then for then, now in pairs if then is not None and now is not None]
    if not stolen or seconds <= 0:
        return None
    return min(100.0, max(0.0, 100 * sum(stolen) / (seconds * os.sysconf("SC_CLK_TCK") * len(stolen))))


def _notes(now: HealthSnapshot, stolen: float | None) -> list[str]:
    notes = [f"{reason}; this machine is measured all the same" for reason in unfit(now)]
    cores = len(os.sched_getaffinity(0))
    if now.load_1min is not None and now.load_1min > cores / 2:
        notes.append(f"a load of {now.load_1min:.2f} on {cores} cores: other programs run, and latencies will scatter")
    if stolen is not None and stolen > _NOTABLE_STOLEN_PERCENT:
        notes.append(f"the hypervisor took {stolen:.1f} % of the time away: latencies will scatter")
    return notes


def _uptime() -> float | None:
    try:
        return uptime_of(Path("/proc/uptime").read_text())
    except OSError:
        return None


def _room(folder: Path) -> Room | None:
    """The file system on which a folder lies or will lie."""
    there = next((place for place in (folder, *folder.absolute().parents) if place.is_dir()), None)
    try:
        usage = shutil.disk_usage(there) if there else None
    except OSError:
        return None
    return Room(usage.total // 1024, usage.used // 1024, usage.free // 1024, str(there)) if usage else None
