"""When a table's session may stop, and what its rows should state: rules held against sessions that did not stop.

    python benchmarks/stopping_rules.py --space mobile --sessions 4 --load 2

Measures every operator in all its processes, in several sessions (a forced load beside half of the second one), and
then replays each rule on the stored samples as if the session had obeyed it. A rule is good when what it states in one
session it states in the others: the share of rows within 3 % is over all pairs of sessions, with each session's
sentinel (the lowest of its medians) divided out. A rule says how many processes are taken, which of them are counted
(all, or the half in which other programs kept the runner waiting least), and what is stated.
"""

import argparse
import functools
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from places import add_device_arguments, opened_device, tolerated_on
from record import write_figures
from repeatability import NO_LOAD, Load, measured_under_load, spread

from android_bench.latencies import drift_of
from android_bench.reading import counts
from android_bench.statistics import is_settled
from android_bench.stopping import enough_processes
from android_bench.store import SampleStore
from pocketnas.cache import operator_cache
from pocketnas.config import TableConfig
from pocketnas.console import progress_bar
from pocketnas.measuring import operator_jobs, table_protocol
from search.space import load_space

RESAMPLES = 1000
WITHIN = 0.02

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], float]
Stops = Callable[[Floats], bool]


@dataclass(frozen=True)
class Taken:
    """One operator in one session: per process, in order. corrected: drift divided out; waited: the share of the timed
    section in which other programs had the runner's core."""

    medians: Floats
    corrected: Floats
    waited: Floats


@dataclass(frozen=True)
class Session:
    """Operators by job id, and the lowest median of the sentinel."""

    taken: dict[str, Taken]
    sentinel_ns: float


@dataclass(frozen=True)
class Rule:
    """least: processes before it may stop. stops: told of the medians so far. states: what it makes of a row. together:
    every row has as many processes as the session's rows together ask for, those that have stopped as well."""

    name: str
    least: int
    stops: Stops
    states: Callable[[Taken, int], float]
    together: bool = False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_device_arguments(parser)
    parser.add_argument("--space", default="mobile")
    parser.add_argument("--runtime", default="tflite", choices=("tflite", "executorch"))
    parser.add_argument("--processes", type=int, help="per operator")
    parser.add_argument("--sessions", type=int, default=3)
    parser.add_argument("--load", type=int, default=0, metavar="N", help="busy loops beside half of the second session")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    config = TableConfig(runtime=arguments.runtime, processes=arguments.processes)
    tolerated = tolerated_on(arguments)
    with opened_device(arguments) as device, tempfile.TemporaryDirectory(prefix="pocketnas-") as folder:
        with progress_bar("operators") as progress:
            jobs = operator_jobs(load_space(arguments.space), config, operator_cache(), 0, progress)
        sessions, took_s = [], 0.0
        for number in range(arguments.sessions):
            usual = table_protocol(device, config, number)
            whole = replace(usual, min_processes=usual.processes)
            with SampleStore.open(Path(folder) / f"{number}.sqlite") as store:
                started = time.monotonic()
                load = Load(arguments.load, took_s / 2) if number == 1 else NO_LOAD
                key = measured_under_load(device, jobs, whole, store, load, tolerated)
                took_s = time.monotonic() - started
                sessions.append(session_of(store, key, tolerated))
    figures = {rule.name: judged(rule, sessions) for rule in rules(whole.processes)}
    print(f"{'rule':<52}{'processes':>11}{'stopped':>9}{'within 3 %':>12}{'5 %':>8}{'95 %':>8}")
    for name, each in figures.items():
        print(
            f"{name:<52}{each['processes']:>11.1f}{each['stopped_percent']:>8.1f}%{each['within_3_percent']:>11.1f}%"
            f"{each['p5']:>8.3f}{each['p95']:>8.3f}"
        )
    if arguments.json:
        write_figures(arguments.json, figures)


def session_of(store: SampleStore, key: str, tolerated: tuple[str, ...]) -> Session:
    """What rules are replayed on."""
    found = [reading for reading in store.readings(key) if counts(reading, tolerated)]
    drift = drift_of(found)
    taken: dict[str, list[tuple[float, float, float]]] = {}
    for reading in found:
        if reading.role == "job":
            median, waited = reading.median_ns, reading.waited_ns
            factor = drift[reading.process, reading.sequence]
            share = np.nan if waited is None else waited / int(reading.samples_ns.sum())
            taken.setdefault(reading.job_id, []).append((median, median / factor, share))
    sentinel = min(reading.median_ns for reading in found if reading.role == "sentinel")
    return Session({name: Taken(*np.array(values).T) for name, values in taken.items()}, sentinel)


def rules(most: int) -> list[Rule]:
    """All that are compared; `most`: the processes of a session."""

    def never(_medians: Floats) -> bool:
        return False

    def by_latency(within: float) -> Stops:
        return lambda medians: is_settled(medians, 1, within)

    made = [Rule(f"{count} processes: lowest", count, lambda _: True, lowest) for count in (5, 8, 12) if count < most]
    made += [
        Rule(f"lowest within {100 * within:.0f} %, {least} or more: lowest", least, by_latency(within), lowest)
        for least in (5, 8)
        for within in (0.01, 0.02)
    ]
    made.append(
        Rule("lowest within 2 %, 8 or more, enough together: lowest", 8, by_latency(WITHIN), lowest, together=True)
    )
    made += [Rule(f"median within 2 %, {least} or more: median", least, median_is_certain, middle) for least in (5, 8)]
    return [
        *made,
        Rule("all: lowest", most, never, lowest),
        Rule("all: lowest, drift divided out of each", most, never, lambda taken, _: float(taken.corrected.min())),
        Rule("all: median", most, never, lambda taken, _: float(np.median(taken.medians))),
        Rule("all: median, drift divided out of each", most, never, middle),
        Rule("quieter half: lowest", most, never, lambda taken, _: float(quieter(taken).min())),
        Rule("quieter half: median", most, never, lambda taken, _: float(np.median(quieter(taken)))),
    ]


def lowest(taken: Taken, count: int) -> float:
    return float(taken.medians[:count].min())


def middle(taken: Taken, count: int) -> float:
    return float(np.median(taken.corrected[:count]))


def quieter(taken: Taken) -> Floats:
    """The medians of the half of the processes that waited least; unknown ones count as noisy."""
    return taken.medians[np.argsort(taken.waited)[: max(1, len(taken.medians) // 2)]]


def median_is_certain(medians: Floats) -> bool:
    """Whether the bootstrap's 95 % interval of the median is within 2 % of it to either side."""
    draws = np.random.default_rng(0).choice(medians, (RESAMPLES, len(medians)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    median = float(np.median(medians))
    return bool(median * (1 - WITHIN) <= low and high <= median * (1 + WITHIN))


def enough_after(session: Session, count: int) -> float:
    """How many processes a session asks for once every row has had `count`."""
    return enough_processes([taken.medians[:count] for taken in session.taken.values()], WITHIN)


def judged(rule: Rule, sessions: list[Session]) -> dict[str, float]:
    """What a rule costs, and how well it repeats."""
    stated, counted, stopped = [], [], []
    for session in sessions:
        values = []
        enough = functools.cache(functools.partial(enough_after, session))
        for _, taken in sorted(session.taken.items()):
            seen = taken.corrected if rule.states is middle else taken.medians
            tried = range(rule.least, len(seen) + 1)
            count = next((n for n in tried if rule.stops(seen[:n]) and (not rule.together or n >= enough(n))), None)
            stopped.append(count is not None)
            counted.append(count or len(seen))
            values.append(rule.states(taken, counted[-1]) / session.sentinel_ns)
        stated.append(values)
    return {
        "processes": float(np.mean(counted)),
        "stopped_percent": 100 * float(np.mean(stopped)),
        **spread(np.array(stated)),
    }


if __name__ == "__main__":
    main()
