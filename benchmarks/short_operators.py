"""Whether operators too short for the clock are better measured several in one model.

Measures a space's operators alone and, where their own time is short, as N and 2N copies in one model; then random
networks, none of which is used for anything else; and prints how far plain sums of rows are off, uncalibrated: with
every row from the operator's own model; with those from copies that the clock's tick demands, as tables have them; and
with those too whose own time is below a hundred times the interval of the empty model's row.

    python benchmarks/short_operators.py --space demo --networks 20 --runs 3
    python benchmarks/short_operators.py --space demo --coarse-clock 52      as if the clock ticked at 19.2 MHz
"""

import argparse
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from record import write_figures

from android_bench.device import Device
from android_bench.job import Job
from android_bench.latencies import latencies
from android_bench.protocol import networks_on
from android_bench.session import measure
from android_bench.statistics import Summary
from android_bench.store import SampleStore
from deploy.export import export_untrained
from latency.opspec import EMPTY, OpSpec
from pocketnas.cache import operator_cache
from pocketnas.config import TableConfig
from pocketnas.console import progress_bar, say
from pocketnas.measuring import open_device, operator_jobs, table_protocol
from pocketnas.repeated import copies_needed, job_id, pair, repeated_jobs, slope_row
from pocketnas_base.artifact import RUNTIMES
from pocketnas_base.units import NS_PER_MS
from search.architecture import Architecture
from search.sampling import random_networks
from search.space import SearchSpace, load_space

TEST_SEED = 20181202


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="demo")
    parser.add_argument("--runtime", default="tflite", choices=RUNTIMES)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "int8"))
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--processes", type=int, help="fresh processes for each row")
    parser.add_argument("--coarse-clock", type=int, help="let the runner's clock tick every so many nanoseconds")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    if arguments.coarse_clock is not None:
        os.environ["POCKETNAS_COARSE_CLOCK_NS"] = str(arguments.coarse_clock)
    space = load_space(arguments.space)
    config = TableConfig(runtime=arguments.runtime, precision=arguments.precision, processes=arguments.processes)
    networks = random_networks(space, arguments.networks, TEST_SEED)
    device = open_device("local", say=say)
    runs = []
    for number in range(arguments.runs):
        with tempfile.TemporaryDirectory(prefix="pocketnas-") as folder:
            runs.append(one_run(space, device, config, networks, Path(folder), number))
        print_run(number, runs[-1])
    if arguments.json:
        write_figures(arguments.json, {**vars(arguments), "json": None, "runs": runs})


def one_run(
    space: SearchSpace, device: Device, config: TableConfig, networks: list[Architecture], folder: Path, seed: int
) -> dict[str, Any]:
    """Operators, copies and networks, measured one after the other; how far each way's sums are off."""
    protocol = table_protocol(device, config, seed)
    with SampleStore.open(folder / "samples.sqlite") as store, progress_bar("run") as progress:
        jobs = operator_jobs(space, config, operator_cache(), 0, progress)
        key = measure(device, jobs, protocol, store, progress=progress)
        tick_ns = store.tick_ns(key)
        named = latencies(store, key)
        summaries = {op: named[job_id(op, config)] for op in space.op_specs()}
        empty = summaries[EMPTY]
        interval_ns = empty.floor_high_ns - empty.floor_ns
        assert tick_ns is not None
        demanded = copies_needed(summaries, tick_ns, config.runtime)
        wide = copies_needed(summaries, max(tick_ns, int(interval_ns)), config.runtime)
        more = {job.id: job for needed in (demanded, wide) for job in _copies(needed, config)}
        if more:
            key = measure(device, list(more.values()), replace(protocol, seed=seed + 1), store, progress=progress)
            named |= latencies(store, key)
        whole = [Job(net.name, _exported(net, folder, config)) for net in networks]
        key = measure(device, whole, replace(networks_on(device), seed=seed), store, progress=progress)
        measured = {net.name: latencies(store, key)[net.name].floor_ns for net in networks}
    ways = {"own models": {}, "copies by the tick": demanded, "copies by the empty row's interval too": wide}
    return {
        "tick_ns": tick_ns,
        "empty_ns": empty.floor_ns,
        "empty_interval_ns": interval_ns,
        "ways": {
            name: {
                "rows_from_copies": len(needed),
                **_errors(_rows(summaries, named, needed, config), networks, measured),
            }
            for name, needed in ways.items()
        },
        "rows": [
            {
                "op": op.key,
                "copies": count,
                "own_model_ns": summaries[op].floor_ns - empty.floor_ns,
                "from_copies_ns": (_rows(summaries, named, wide, config)[op]) - empty.floor_ns,
            }
            for op, count in wide.items()
        ],
    }


def _copies(needed: Mapping[OpSpec, int], config: TableConfig) -> list[Job]:
    return repeated_jobs(needed, config, operator_cache(), 0)


def _exported(net: Architecture, folder: Path, config: TableConfig) -> Any:
    return export_untrained(net, folder, runtime=config.runtime, precision=config.precision)


def _rows(
    summaries: Mapping[OpSpec, Summary], named: Mapping[str, Summary], needed: Mapping[OpSpec, int], config: TableConfig
) -> dict[OpSpec, float]:
    """Each operator's latency in ns, an invocation included."""
    rows = {op: summary.floor_ns for op, summary in summaries.items()}
    for op, count in needed.items():
        own, empty = (pair(named, each, config, count) for each in (op, EMPTY))
        rows[op] = slope_row(summaries[EMPTY], own, empty, count).latency_ms * NS_PER_MS
    return rows


def _errors(
    rows: Mapping[OpSpec, float], networks: list[Architecture], measured: Mapping[str, float]
) -> dict[str, float]:
    empty = rows[EMPTY]
    sums = [empty + sum(rows[op] - empty for op in net.ops if op.kind != "zero") for net in networks]
    percent = 100 * (np.array(sums) / np.array([measured[net.name] for net in networks]) - 1)
    return {
        "within_5_percent": float(100 * (np.abs(percent) <= 5).mean()),
        "within_10_percent": float(100 * (np.abs(percent) <= 10).mean()),
        "median_error_percent": float(np.median(percent)),
        "rms_error_percent": float(np.sqrt((percent**2).mean())),
        "rms_around_median_percent": float(np.sqrt(((percent - np.median(percent)) ** 2).mean())),
    }


def print_run(number: int, run: Mapping[str, Any]) -> None:
    print(
        f"run {number + 1}: the clock ticks every {run['tick_ns']} ns; an empty model takes {run['empty_ns']:.0f} ns,"
        f" up to {run['empty_interval_ns']:.0f} more"
    )
    print(f"{'sums of rows from':<42}{'rows':>6}{'in 5 %':>8}{'in 10 %':>9}{'median %':>10}{'rms %':>8}{'around':>8}")
    for name, figures in run["ways"].items():
        print(
            f"{name:<42}{figures['rows_from_copies']:>6}{figures['within_5_percent']:>8.0f}"
            f"{figures['within_10_percent']:>9.0f}{figures['median_error_percent']:>+10.2f}"
            f"{figures['rms_error_percent']:>8.2f}{figures['rms_around_median_percent']:>8.2f}",
            flush=True,
        )
    ratios = [row["from_copies_ns"] / row["own_model_ns"] for row in run["rows"] if row["own_model_ns"] > 0]
    if ratios:
        low, middle, high = np.percentile(ratios, [5, 50, 95])
        print(
            f"from copies over own model, {len(ratios)} operators: median {middle:.3f},"
            f" 5th to 95th percentile {low:.3f} to {high:.3f}"
        )


if __name__ == "__main__":
    main()
