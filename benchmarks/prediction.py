"""Predicted against measured latency of random networks of a space, on one device.

Builds a table, then measures random networks end to end in one session and prints how far the plain sum of rows is off.

    python benchmarks/prediction.py --space demo --networks 20 [-d DEVICE]
"""

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from android_bench.job import Job
from android_bench.latencies import latencies
from android_bench.protocol import networks_on
from android_bench.session import measure
from android_bench.store import SampleStore
from deploy.export import export_untrained
from latency.predict import predict
from pocketnas.cache import operator_cache
from pocketnas.config import TableConfig
from pocketnas.console import progress_bar
from pocketnas.measuring import measure_table, open_device, operator_jobs, to_row
from search.architecture import Architecture, assemble
from search.space import SearchSpace, load_space


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", "-d", default="local")
    parser.add_argument("--space", default="demo")
    parser.add_argument("--runtime", default="tflite", choices=("tflite", "executorch"))
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--processes", type=int, help="per network")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    space, device = load_space(arguments.space), open_device(arguments.device)
    config = TableConfig(runtime=arguments.runtime)
    networks = random_networks(space, arguments.networks, arguments.seed)
    with tempfile.TemporaryDirectory(prefix="pocketnas-") as name:
        folder = Path(name)
        with progress_bar("operators") as progress:
            jobs = operator_jobs(space, config, operator_cache(), 0, progress)
        with progress_bar("table") as progress:
            table = measure_table(space, device, config, jobs, folder / "table.sqlite", 0, progress)
        with progress_bar("networks") as progress, SampleStore.open(folder / "networks.sqlite") as store:
            whole = [Job(net.name, export_untrained(net, folder, runtime=config.runtime)) for net in networks]
            usual = networks_on(device)
            protocol = replace(usual, processes=arguments.processes or usual.processes, sentinel_every=8)
            key = measure(device, whole, protocol, store, progress=progress)
            measured = {name: to_row(summary).latency_ms for name, summary in latencies(store, key).items()}
    predicted = {net.name: predict(table, net.ops).latency_ms for net in networks}
    report(space, config.runtime, predicted, measured, arguments.json)


def random_networks(space: SearchSpace, count: int, seed: int) -> list[Architecture]:
    """Architectures drawn evenly from the space."""
    rng = np.random.default_rng(seed)
    return [
        assemble(space, [int(rng.integers(len(edge.candidates))) for edge in space.edges], f"random-{number:03d}")
        for number in range(count)
    ]


def report(
    space: SearchSpace, runtime: str, predicted: dict[str, float], measured: dict[str, float], path: Path | None
) -> None:
    """Print every network and the shares within 5 % and 10 %."""
    import pandas as pd

    frame = pd.DataFrame({"predicted_ms": predicted, "measured_ms": measured})
    frame["error_percent"] = 100 * (frame.predicted_ms / frame.measured_ms - 1)
    print(frame.round(4).to_string())
    figures = {
        "space": space.name,
        "runtime": runtime,
        "networks": len(frame),
        "within_5_percent": float(100 * (frame.error_percent.abs() <= 5).mean()),
        "within_10_percent": float(100 * (frame.error_percent.abs() <= 10).mean()),
        "median_error_percent": float(frame.error_percent.median()),
        "spearman": float(frame.predicted_ms.rank().corr(frame.measured_ms.rank())),
    }
    for name, value in figures.items():
        print(f"{name}: {value if isinstance(value, str | int) else round(value, 3)}")
    if path:
        path.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
