"""How well a table's rows repeat between sessions on this device, for each way of stating a latency.

Builds the same table several times and prints, over all operators and pairs of sessions, the 5th to 95th percentile of
the ratio of two sessions' readings.

    python benchmarks/repeatability.py --space demo --sessions 3
"""

import argparse
import itertools
import json
import tempfile
from pathlib import Path

import numpy as np

from android_bench.device import Device
from android_bench.latencies import latencies
from android_bench.session import measure
from android_bench.statistics import Summary
from android_bench.store import SampleStore
from pocketnas.cache import operator_cache
from pocketnas.config import TableConfig
from pocketnas.console import progress_bar
from pocketnas.measuring import open_device, operator_jobs, table_protocol
from search.space import load_space


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", "-d", default="local")
    parser.add_argument("--space", default="demo")
    parser.add_argument("--runtime", default="tflite", choices=("tflite", "executorch"))
    parser.add_argument("--sessions", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    config = TableConfig(runtime=arguments.runtime)
    device = open_device(arguments.device)
    corrected, raw = sessions_of(device, arguments.space, config, arguments.sessions)
    figures = {
        "lowest process median": spread([{name: s.floor_ns for name, s in session.items()} for session in raw]),
        "median, drift divided out": spread(
            [{name: s.median_ns for name, s in session.items()} for session in corrected]
        ),
        "median": spread([{name: s.median_ns for name, s in session.items()} for session in raw]),
    }
    print(f"{arguments.sessions} sessions of {arguments.space}, {config.runtime}, on {device.id}")
    print(f"{'latency stated as':<28}{'5 %':>8}{'95 %':>8}{'within 3 %':>12}")
    for name, (low, high, within) in figures.items():
        print(f"{name:<28}{low:>8.3f}{high:>8.3f}{within:>11.1f}%")
    if arguments.json:
        plain = {name: {"p5": low, "p95": high, "within_3_percent": w} for name, (low, high, w) in figures.items()}
        arguments.json.write_text(json.dumps(plain, indent=2) + "\n")


def sessions_of(
    device: Device, space_name: str, config: TableConfig, count: int
) -> tuple[list[dict[str, Summary]], list[dict[str, Summary]]]:
    """The summaries of `count` sessions by operator, with and without the sentinel's drift divided out."""
    space = load_space(space_name)
    with progress_bar("operators") as progress:
        jobs = operator_jobs(space, config, operator_cache(), 0, progress)
    corrected, raw = [], []
    for number in range(count):
        with (
            tempfile.TemporaryDirectory(prefix="pocketnas-") as folder,
            SampleStore.open(Path(folder) / "samples.sqlite") as store,
            progress_bar(f"session {number + 1}") as progress,
        ):
            key = measure(device, jobs, table_protocol(device, config, number), store, progress=progress)
            corrected.append(latencies(store, key))
            raw.append(latencies(store, key, correct_drift=False))
    return corrected, raw


def spread(sessions: list[dict[str, float]]) -> tuple[float, float, float]:
    """5th and 95th percentile of the ratio of two sessions, and the percentage of rows within 3 % of each other."""
    ratios = np.array([a[name] / b[name] for a, b in itertools.combinations(sessions, 2) for name in a])
    within = 100 * float(np.mean((ratios > 1 / 1.03) & (ratios < 1.03)))
    return float(np.percentile(ratios, 5)), float(np.percentile(ratios, 95)), within


if __name__ == "__main__":
    main()
