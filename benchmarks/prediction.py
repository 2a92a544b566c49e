"""Predicted against measured latency of random networks of a space, on one device.

Builds a table, calibrates it with a few whole networks spread over the space, then measures random networks, none of
them among those, and prints how far prediction and plain sum of rows are off.

    python benchmarks/prediction.py --space mobile --networks 100 [--runtime executorch] [--threads 2] [-d DEVICE]
    python benchmarks/prediction.py --lookalike               over a real adb daemon on this machine (make testbed)
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from places import add_device_arguments, opened_device, tolerated_on
from record import write_figures

from android_bench.device import Device
from android_bench.job import Job
from android_bench.store import SampleStore
from deploy.export import export_untrained
from latency.predict import predict
from latency.table import LatencyTable
from pocketnas.cache import operator_cache
from pocketnas.calibrating import Budget, calibrated
from pocketnas.config import TableConfig
from pocketnas.console import progress_bar
from pocketnas.like_table import NetworkJob, measure_networks_like_table
from pocketnas.measuring import measure_table, operator_jobs, to_row
from pocketnas_base.artifact import PRECISIONS, RUNTIMES
from search.architecture import Architecture
from search.sampling import random_networks
from search.space import SearchSpace, load_space

TEST_SEED = 20181202
# A user measures a few networks at a time; so many share a session, and what the device was like in it.
NETWORKS_A_SESSION = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_device_arguments(parser)
    parser.add_argument("--space", default="mobile")
    parser.add_argument("--runtime", default="tflite", choices=RUNTIMES)
    parser.add_argument("--precision", default="fp32", choices=PRECISIONS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--networks", type=int, default=100, help="random ones, to test on")
    parser.add_argument("--calibration", type=int, help="networks to calibrate with; left out, as many as pay")
    parser.add_argument("--processes", type=int, help="fresh processes for each network")
    parser.add_argument("--samples", type=Path, help="keep them in this folder; what it holds is not measured again")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    space = load_space(arguments.space)
    config = TableConfig(runtime=arguments.runtime, precision=arguments.precision, threads=arguments.threads)
    budget = Budget(arguments.calibration, arguments.processes)
    kept = arguments.samples
    with (
        nullcontext(kept) if kept else tempfile.TemporaryDirectory(prefix="pocketnas-") as folder,
        opened_device(arguments) as device,
    ):
        Path(folder).mkdir(parents=True, exist_ok=True)
        tolerated = tolerated_on(arguments)
        taken = take(space, device, config, budget, arguments.networks, Path(folder), tolerated)
        figures = {
            "device": device.info.model or device.id,
            "space": space.name,
            "runtime": config.runtime,
            "precision": config.precision,
            "threads": config.threads,
            **report(taken),
        }
    for name, value in figures.items():
        print(f"{name}: {round(value, 3) if isinstance(value, float) else value}")
    if arguments.json:
        write_figures(arguments.json, figures)


@dataclass(frozen=True, slots=True)
class Taken:
    """What was measured. measured_ms: the test networks' latencies, by name; drift_percent: how much slower than at the
    table's time the device was in the session that measured a network. seconds: what each part took."""

    table: LatencyTable
    networks: list[Architecture]
    measured_ms: dict[str, float]
    drift_percent: dict[str, float]
    seconds: dict[str, float]


def take(
    space: SearchSpace,
    device: Device,
    config: TableConfig,
    budget: Budget,
    count: int,
    folder: Path,
    tolerated: tuple[str, ...],
) -> Taken:
    """Table, calibration, and `count` random networks that the calibration has not seen."""
    seconds: dict[str, float] = {}

    @contextmanager
    def part(name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        seconds[name] = time.monotonic() - start

    with part("export_operators"), progress_bar("operators") as progress:
        jobs = operator_jobs(space, config, operator_cache(), 0, progress)
    with part("table"), progress_bar("table") as progress:
        table = measure_table(space, device, config, jobs, folder / "table.sqlite", 0, progress, tolerated=tolerated)
    with part("calibration"), progress_bar("calibration") as progress:
        table = calibrated(
            table,
            space,
            device,
            folder / "calibration.sqlite",
            budget=budget,
            tolerated=tolerated,
            progress=progress,
        )
    calibration = table.info.calibration
    assert calibration is not None
    known = {network.ops for network in calibration.networks}
    drawn = random_networks(space, count + len(known), TEST_SEED)
    networks = [net for net in drawn if tuple(op.key for op in net.ops) not in known][:count]
    with part("export_networks"), progress_bar("export") as progress:
        whole = []
        for number, net in enumerate(networks):
            progress(number, count, net.name)
            file = export_untrained(net, folder, runtime=config.runtime, precision=config.precision)
            whole.append(NetworkJob(Job(net.name, file), net.ops))
    measured, drifts = {}, {}
    with (
        part("networks"),
        SampleStore.open(folder / "networks.sqlite") as store,
        progress_bar("networks") as progress,
    ):
        sessions = measure_networks_like_table(
            table,
            device,
            whole,
            store,
            a_session=NETWORKS_A_SESSION,
            processes=budget.processes,
            tolerated=tolerated,
            progress=progress,
        )
        for batch, session in sessions:
            for each in batch:
                measured[each.job.id] = to_row(session.summaries[each.job.id]).latency_ms
                drifts[each.job.id] = session.drift_percent
    return Taken(table, networks, measured, drifts, seconds)


def report(taken: Taken) -> dict[str, object]:
    """Print every network; returns the shares within 5 % and 10 %, of the predictions and of the plain sums."""
    predictions = {net.name: predict(taken.table, net.ops) for net in taken.networks}
    frame = pd.DataFrame(
        {
            "measured_ms": taken.measured_ms,
            "predicted_ms": {name: each.latency_ms for name, each in predictions.items()},
            "low_ms": {name: each.low_ms for name, each in predictions.items()},
            "high_ms": {name: each.high_ms for name, each in predictions.items()},
            "sum_ms": {name: each.sum_ms for name, each in predictions.items()},
        }
    )
    print(frame.round(4).to_string())
    calibration = taken.table.info.calibration
    assert calibration is not None
    drift = pd.Series(taken.drift_percent)
    at_table_time = errors(frame.predicted_ms, frame.measured_ms / (1 + drift / 100))
    inside = (frame.low_ms <= frame.measured_ms) & (frame.measured_ms <= frame.high_ms)
    return {
        "networks": len(frame),
        "calibration_networks": len(calibration.networks),
        "correction": calibration.kind,
        "tried_percent": calibration.tried,
        "calibration_drift_percent": calibration.drift_percent,
        "drift_percent": float(drift.median()),
        "worst_drift_percent": float(drift.loc[drift.abs().idxmax()]),
        **{f"predicted_{name}": value for name, value in errors(frame.predicted_ms, frame.measured_ms).items()},
        "interval_half_width_percent": calibration.half_width_percent,
        "inside_interval_percent": float(100 * inside.mean()),
        **{f"sum_{name}": value for name, value in errors(frame.sum_ms, frame.measured_ms).items()},
        **{f"predicted_drift_divided_out_{name}": value for name, value in at_table_time.items()},
        "seconds": {name: round(value, 1) for name, value in taken.seconds.items()},
    }


def errors(predicted: "pd.Series[float]", measured: "pd.Series[float]") -> dict[str, float]:
    """How far predictions are off."""
    percent = 100 * (predicted / measured - 1)
    return {
        "within_5_percent": float(100 * (percent.abs() <= 5).mean()),
        "within_10_percent": float(100 * (percent.abs() <= 10).mean()),
        "median_error_percent": float(percent.median()),
        "worst_error_percent": float(percent.iloc[int(np.argmax(percent.abs()))]),
        "rms_error_percent": float(np.sqrt((percent**2).mean())),
        "spearman": float(predicted.rank().corr(measured.rank())),
    }


if __name__ == "__main__":
    main()
