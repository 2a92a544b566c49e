"""How well a table's rows repeat between two sessions on one device, with the same settings.

    python benchmarks/repeatability.py --space mobile --pause 3600      an hour apart
    python benchmarks/repeatability.py --space mobile --load 2          a forced load beside half of the second one
    python benchmarks/repeatability.py --lookalike                      over a real adb daemon (make testbed)

Prints the share of rows within 3 % of each other, and the 5th to 95th percentile of their ratio, for the latency that a
table states and for the median beside it: as they are, and with the drift divided out. The drift is what the sentinel
model shows: for the latency, its own lowest median in each session; for the median, its readings around each
measurement, and its median in each session.
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from places import add_device_arguments, opened_device, tolerated_on
from record import write_figures

from android_bench.device import Device
from android_bench.job import Job
from android_bench.latencies import latencies, readings
from android_bench.neighbours import Neighbours
from android_bench.protocol import Protocol
from android_bench.session import measure
from android_bench.statistics import Summary
from android_bench.store import SampleStore
from pocketnas.cache import operator_cache
from pocketnas.config import TableConfig
from pocketnas.console import progress_bar
from pocketnas.measuring import operator_jobs, table_protocol
from search.space import load_space

WITHIN = 0.03


@dataclass(frozen=True)
class Session:
    """One session. corrected, raw: with and without the sentinel's drift divided out of the medians; sentinel_floor_ns,
    sentinel_median_ns: of the sentinel's medians."""

    wall_s: float
    corrected: dict[str, Summary]
    raw: dict[str, Summary]
    sentinel_floor_ns: float
    sentinel_median_ns: float
    neighbours: list[Neighbours]


@dataclass(frozen=True)
class Load:
    """Busy loops on the host, from a session's start on for so many seconds."""

    loops: int
    seconds: float


NO_LOAD = Load(0, 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_device_arguments(parser)
    parser.add_argument("--space", default="mobile")
    parser.add_argument("--runtime", default="tflite", choices=("tflite", "executorch"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processes", type=int, help="at most, per operator")
    parser.add_argument("--sessions", type=int, default=2)
    parser.add_argument("--pause", type=float, default=0.0, metavar="SECONDS", help="between two sessions")
    parser.add_argument("--load", type=int, default=0, metavar="N", help="busy loops beside half of the second session")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    if arguments.sessions < 2:
        parser.error("one session alone repeats nothing; give --sessions 2 or more")
    config = TableConfig(runtime=arguments.runtime, threads=arguments.threads, processes=arguments.processes)
    tolerated = tolerated_on(arguments)
    with opened_device(arguments) as device:
        with progress_bar("operators") as progress:
            jobs = operator_jobs(load_space(arguments.space), config, operator_cache(), 0, progress)
        taken = []
        for number in range(arguments.sessions):
            if number:
                time.sleep(arguments.pause)
            load = Load(arguments.load, taken[0].wall_s / 2) if number == 1 else NO_LOAD
            taken.append(session(device, jobs, table_protocol(device, config, number), load, tolerated))
        figures = {
            "device": device.id,
            "space": arguments.space,
            "runtime": arguments.runtime,
            "threads": arguments.threads,
            "operators": len(jobs),
            "pause_s": arguments.pause,
            "busy_loops": arguments.load,
            "sessions": [described(each) for each in taken],
            "repeatability": {name: spread(values) for name, values in stated(taken).items()},
        }
    show(figures)
    if arguments.json:
        write_figures(arguments.json, figures)


def session(device: Device, jobs: list[Job], protocol: Protocol, load: Load, tolerated: tuple[str, ...]) -> Session:
    """Measure everything once, under a load."""
    with (
        tempfile.TemporaryDirectory(prefix="pocketnas-") as folder,
        SampleStore.open(Path(folder) / "samples.sqlite") as store,
    ):
        started = time.monotonic()
        key = measured_under_load(device, jobs, protocol, store, load, tolerated)
        wall_s = time.monotonic() - started
        sentinel = [reading.median_ns for reading in readings(store, key) if reading.role == "sentinel"]
        return Session(
            wall_s,
            latencies(store, key, tolerated=tolerated),
            latencies(store, key, tolerated=tolerated, correct_drift=False),
            min(sentinel),
            float(np.median(sentinel)),
            store.neighbours(key),
        )


def measured_under_load(
    device: Device, jobs: list[Job], protocol: Protocol, store: SampleStore, load: Load, tolerated: tuple[str, ...]
) -> str:
    """The key of a session beside which the load ran."""
    with ExitStack() as loops, progress_bar("session") as bar:
        until = time.monotonic() + load.seconds
        for _ in range(load.loops):
            loop = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            loops.callback(loop.wait)
            loops.callback(loop.kill)

        def watch(done: int, total: int, what: str) -> None:
            bar(done, total, what)
            if time.monotonic() >= until:
                loops.close()

        return measure(device, jobs, protocol, store, tolerated=tolerated, progress=watch)


def described(taken: Session) -> dict[str, float | None]:
    """What one session cost, and what became of it."""
    summaries = taken.raw.values()
    return {
        "wall_s": taken.wall_s,
        "processes_per_operator": float(np.mean([summary.processes for summary in summaries])),
        "settled_percent": 100 * float(np.mean([summary.settled is True for summary in summaries])),
        "sentinel_ms": taken.sentinel_floor_ns / 1e6,
        "others_percent": percent([each.others for each in taken.neighbours]),
        "stolen_percent": percent([each.stolen for each in taken.neighbours]),
    }


def percent(shares: list[float | None]) -> float | None:
    """The mean of those that are known; None where none is."""
    known = [share for share in shares if share is not None]
    return 100 * float(np.mean(known)) if known else None


def stated(taken: list[Session]) -> dict[str, NDArray[np.float64]]:
    """Each way of stating a latency: an array of (sessions, operators), in ns or in units of the sentinel."""
    names = list(taken[0].raw)
    floors = np.array([[each.raw[name].floor_ns for name in names] for each in taken])
    medians = np.array([[each.raw[name].median_ns for name in names] for each in taken])
    corrected = np.array([[each.corrected[name].median_ns for name in names] for each in taken])
    return {
        "latency": floors,
        "latency, drift divided out": floors / np.array([[each.sentinel_floor_ns] for each in taken]),
        "median": medians,
        "median, drift divided out": corrected / np.array([[each.sentinel_median_ns] for each in taken]),
    }


def spread(values: NDArray[np.float64]) -> dict[str, float]:
    """Over all operators and pairs of sessions: of the ratio of two readings."""
    ratios = np.concatenate([a / b for a, b in itertools.combinations(values, 2)])
    within = np.maximum(ratios, 1 / ratios) <= 1 + WITHIN
    low, high = np.percentile(ratios, [5, 95])
    return {"within_3_percent": 100 * float(within.mean()), "p5": float(low), "p95": float(high)}


def show(figures: dict[str, object]) -> None:
    """The figures as a person reads them."""
    for name, value in figures.items():
        if not isinstance(value, list | dict):
            print(f"{name}: {value}")
    sessions, repeatability = figures["sessions"], figures["repeatability"]
    assert isinstance(sessions, list)
    assert isinstance(repeatability, dict)
    for number, each in enumerate(sessions, start=1):
        print(
            f"session {number}: {each['wall_s']:.1f} s, {each['processes_per_operator']:.1f} processes per operator,"
            f" {each['settled_percent']:.1f} % of the rows settled, sentinel {each['sentinel_ms']:.4f} ms"
        )
        if each["others_percent"] is not None:
            print(
                f"           other programs had {each['others_percent']:.0f} % of the cores, "
                f"the hypervisor {each['stolen_percent']:.1f} %"
            )
    print(f"{'stated as':<28}{'within 3 %':>12}{'5 %':>8}{'95 %':>8}")
    for name, each in repeatability.items():
        print(f"{name:<28}{each['within_3_percent']:>11.1f}%{each['p5']:>8.3f}{each['p95']:>8.3f}")


if __name__ == "__main__":
    main()
