"""The build of a latency table against common practice: a fresh process for each model, 50 runs after a warm-up.

    python benchmarks/table_speed.py --space mobile [-d DEVICE]
    python benchmarks/table_speed.py --lookalike              over a real adb daemon on this machine (make testbed)

Both measure the same files on the same device, with the same native runner, one after the other; exporting, building
the runner and (for common practice) pushing files are not counted. Common practice runs each model up to --rounds
times, in the given order, and states the median over its processes' medians with a 95 % bootstrap interval.

How many processes it needs for an interval as narrow as ours is read off its own processes: for p up to as many as
there are, the interval of the median of p of them is the bootstrap's (p draws, with replacement, of all that were
measured; both figures are order statistics of the draws, of which the bootstrap's distribution is known exactly). A
model that was run twice as often as it needs is run no more. Nothing is extrapolated: a model whose interval stays
wider counts with the --rounds processes that it had, and the ratio is then a lower bound; how many those are is
printed. The same is done for common practice with our own figure, the lowest of the medians, in place of the median.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from places import add_device_arguments, opened_device, tolerated_on
from record import write_figures
from scipy.stats import binom

from android_bench.device import Device
from android_bench.job import Job
from android_bench.latencies import latencies
from android_bench.plan import PlannedModel, render
from android_bench.process import sha256_of
from android_bench.protocol import Protocol
from android_bench.results import MAX_LINE_BYTES, MeasurementLine, parse_line
from android_bench.session import measure
from android_bench.store import SampleStore
from android_bench.workspace import KnownFile
from pocketnas.cache import operator_cache
from pocketnas.config import TableConfig
from pocketnas.console import progress_bar
from pocketnas.measuring import operator_jobs, table_protocol
from pocketnas_base.artifact import Runtime
from pocketnas_base.files import sha256_bytes
from search.space import load_space

RUNS = 50
# Fewer than usual, in its favour: benchmark_model warms up for half a second.
WARM_UP_RUNS = 5
ROUNDS_BETWEEN_LOOKS = 10
SILENCE_S = 120.0

Interval = Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Ours:
    """One table build. widths: of each operator's interval, as a share of its latency, by job id."""

    wall_s: float
    timed_percent: float
    warm_up_percent: float
    processes: float
    settled_percent: float
    widths: dict[str, float]


@dataclass(frozen=True)
class Common:
    """Common practice. medians: of each process, by job id; seconds: what one process of a job takes on average."""

    medians: dict[str, NDArray[np.float64]]
    seconds: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_device_arguments(parser)
    parser.add_argument("--space", default="mobile")
    parser.add_argument("--runtime", default="tflite", choices=("tflite", "executorch"))
    parser.add_argument("--operators", type=int, help="only so many of the space")
    parser.add_argument("--rounds", type=int, default=200, help="processes per model of common practice")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    config = TableConfig(runtime=arguments.runtime)
    with opened_device(arguments) as device:
        with progress_bar("operators") as progress:
            jobs = operator_jobs(load_space(arguments.space), config, operator_cache(), 0, progress)
        jobs = jobs[: arguments.operators]
        device.workspace.install(arguments.runtime)
        tolerated = tolerated_on(arguments)
        ours = table_build(device, jobs, table_protocol(device, config, 0), tolerated)
        common = common_practice(device, jobs, arguments.runtime, arguments.rounds, ours.widths)
        figures = {
            "device": device.id,
            "space": arguments.space,
            "runtime": arguments.runtime,
            "operators": len(jobs),
            "table_build_s": ours.wall_s,
            "timed_inference_percent": ours.timed_percent,
            "warm_up_percent": ours.warm_up_percent,
            "processes_per_operator": ours.processes,
            "settled_percent": ours.settled_percent,
            "interval_percent": 100 * float(np.median(list(ours.widths.values()))),
            "common_process_ms": 1000 * float(np.mean(list(common.seconds.values()))),
            "common_rounds": arguments.rounds,
            "common_processes": sum(map(len, common.medians.values())),
            **compared("median", ours, common, median_width),
            **compared("lowest_median", ours, common, lowest_width),
        }
    for name, value in figures.items():
        print(f"{name}: {value if isinstance(value, str | int) else round(value, 3)}")
    if arguments.json:
        write_figures(arguments.json, figures)


def table_build(device: Device, jobs: list[Job], protocol: Protocol, tolerated: tuple[str, ...]) -> Ours:
    """One session, as `pocketnas table build` measures it; pushing the files is part of it."""
    with (
        tempfile.TemporaryDirectory(prefix="pocketnas-") as folder,
        SampleStore.open(Path(folder) / "samples.sqlite") as store,
        progress_bar("table") as progress,
    ):
        started = time.monotonic()
        key = measure(device, jobs, protocol, store, tolerated=tolerated, progress=progress)
        wall_s = time.monotonic() - started
        taken, summaries = store.readings(key), latencies(store, key, tolerated=tolerated)
    return Ours(
        wall_s,
        100 * sum(int(reading.samples_ns.sum()) for reading in taken) / 1e9 / wall_s,
        100 * sum(int(reading.warmup_ns.sum()) for reading in taken) / 1e9 / wall_s,
        float(np.mean([summary.processes for summary in summaries.values()])),
        100 * float(np.mean([summary.settled is True for summary in summaries.values()])),
        {name: summary.floor_high_ns / summary.floor_ns - 1 for name, summary in summaries.items()},
    )


def common_practice(
    device: Device, jobs: list[Job], runtime: Runtime, rounds: int, wanted: Mapping[str, float]
) -> Common:
    """A process for each model and round. What is timed begins with its start and ends with its end. wanted: the widths
    of the intervals of either figure that are narrow enough."""
    protocol = Protocol(
        warmup_min_runs=WARM_UP_RUNS, warmup_min_ns=0, warmup_max_ns=0, min_runs=RUNS, max_runs=RUNS, min_ns=0
    ).on(device)
    medians: dict[str, list[float]] = {job.id: [] for job in jobs}
    seconds: dict[str, list[float]] = {job.id: [] for job in jobs}
    with (
        device.guard.session(),
        tempfile.TemporaryDirectory(prefix="pocketnas-") as folder,
        progress_bar("common way") as progress,
    ):
        runner = device.workspace.install(runtime)
        plans = {job.id: placed_plan(device, job, protocol, runner.runtime_version, Path(folder)) for job in jobs}
        left = list(jobs)
        for number in range(1, rounds + 1):
            for job in left:
                started = time.monotonic()
                medians[job.id].append(median_of_one((*runner.command, plans[job.id]), device))
                seconds[job.id].append(time.monotonic() - started)
            progress(number, rounds, f"{len(left)} models")
            if number % ROUNDS_BETWEEN_LOOKS == 0:
                left = [job for job in left if not known(np.array(medians[job.id]), wanted[job.id])]
    return Common(
        {name: np.array(values) for name, values in medians.items()},
        {name: float(np.mean(values)) for name, values in seconds.items()},
    )


def known(medians: NDArray[np.float64], wanted: float) -> bool:
    """Whether half of these processes are enough for both figures."""
    needed = [processes_needed(medians, wanted, width) for width in (median_width, lowest_width)]
    return all(count is not None and 2 * count <= len(medians) for count in needed)


def placed_plan(device: Device, job: Job, protocol: Protocol, runtime_version: str, folder: Path) -> str:
    """Everything that a process of one model reads lies on the device; returns where its plan does."""
    files = [KnownFile(job.artifact.path, job.artifact.sha256)]
    files += [KnownFile(path, sha256_of(path)) for path in (*job.inputs, *job.references)]
    paths = device.workspace.place(files)
    model = PlannedModel(
        job.id,
        paths[job.artifact.sha256],
        tuple(paths[sha256_of(path)] for path in job.inputs),
        tuple(paths[sha256_of(path)] for path in job.references),
        job.max_output_error,
    )
    plan = render(protocol, runtime_version, [model])
    name = sha256_bytes(plan)
    (folder / name).write_bytes(plan)
    return device.workspace.place([KnownFile(folder / name, name)])[name]


def median_of_one(command: tuple[str, ...], device: Device) -> float:
    """The median of one process, in ns."""
    with device.transport.stream(command, silence_s=SILENCE_S, max_line_bytes=MAX_LINE_BYTES) as lines:
        (line,) = [line for line in map(parse_line, lines) if isinstance(line, MeasurementLine)]
        lines.wait()
    return float(np.median(line.samples_ns))


def median_width(medians: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The 95 % interval of the median of so many draws (the lower of the middle two where they are even), as a share of
    the median of all. It is the k-th lowest or a lower one where at least half of the draws are of the k lowest."""
    ranks = np.arange(1, len(medians) + 1) / len(medians)
    at_most = binom.sf(((counts + 1) // 2 - 1)[:, None], counts[:, None], ranks)
    low, high = (np.argmax(at_most >= share, axis=1) for share in (0.025, 0.975))
    in_order = np.sort(medians)
    return np.asarray((in_order[high] - in_order[low]) / np.median(medians))


def lowest_width(medians: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """How far above the lowest of all the lowest of so many draws may be (97.5th percentile), as a share of it. It is
    the k-th lowest or a lower one unless all draws are above that."""
    ranks = np.arange(1, len(medians) + 1) / len(medians)
    high = np.argmax(1 - (1 - ranks) ** counts[:, None] >= 0.975, axis=1)
    return np.asarray(np.sort(medians)[high] / medians.min() - 1)


def compared(name: str, ours: Ours, common: Common, width: Interval) -> dict[str, float]:
    """What common practice needs to be as certain as we are, when it states `name`."""
    needed = {job: processes_needed(common.medians[job], wanted, width) for job, wanted in ours.widths.items()}
    taken = {job: count or len(common.medians[job]) for job, count in needed.items()}
    needs_s = sum(count * common.seconds[job] for job, count in taken.items())
    return {
        f"{name}_processes_needed": float(np.mean(list(taken.values()))),
        f"{name}_not_reached_percent": 100 * float(np.mean([count is None for count in needed.values()])),
        f"{name}_needs_s": needs_s,
        f"{name}_times_slower": needs_s / ours.wall_s,
    }


def processes_needed(medians: NDArray[np.float64], wanted: float, width: Interval) -> int | None:
    """The fewest processes whose interval is no wider than `wanted`; None where all of them do not reach it."""
    counts = np.arange(1, len(medians) + 1)
    enough = counts[width(medians, counts) <= wanted]
    return int(enough[0]) if len(enough) else None


if __name__ == "__main__":
    main()
