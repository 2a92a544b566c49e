"""What every file of a deploy folder keeps of the accuracy, and how fast it is beside fp32 of its runtime.

Accuracies are those of the manifest: of torch and of every file, on the same labelled images. Latencies are measured
now, all files of a folder in one session on this machine, so that their ratios can be trusted; where a file's latency
and fp32's lie within each other's bounds, the two are not told apart. Exit status 1 where int8 loses more than it may.

    pocketnas run benchmarks/shipped_files.toml
    python benchmarks/shipped_files.py runs/shipped/deploy --json shipped_files.json
    python benchmarks/shipped_files.py --shown shipped_files.json    what was measured before, shown again
"""

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from record import write_figures

from android_bench.job import Job
from android_bench.latencies import latencies
from android_bench.protocol import networks_on
from android_bench.session import measure
from android_bench.store import SampleStore
from deploy.bundle import load_bundle
from deploy.manifest import ExportedFile
from pocketnas.measuring import open_device, to_row

MOST_LOSS_POINTS = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="*", help="deploy folders, each with a manifest.json")
    parser.add_argument("--processes", type=int, default=12, help="at most so many for each file")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--shown", type=Path, help="measure nothing, and show these figures")
    arguments = parser.parse_args()
    if (arguments.shown is None) == (not arguments.folder):
        parser.error("name folders to measure, or figures with --shown")
    if arguments.shown and arguments.json:
        parser.error("--shown measures nothing that --json could keep")
    if arguments.shown:
        bundles = json.loads(arguments.shown.read_text())["bundles"]
    else:
        bundles = [measured(folder, arguments.processes, arguments.threads) for folder in arguments.folder]
    keeps = [show(bundle) for bundle in bundles]
    if arguments.json:
        write_figures(arguments.json, {"threads": arguments.threads, "bundles": bundles})
    sys.exit(0 if all(keeps) else 1)


def measured(folder: Path, processes: int, threads: int) -> dict[str, Any]:
    """A folder's files with their figures."""
    files, device = load_bundle(folder).files, open_device("local")
    protocol = replace(networks_on(device), processes=processes, threads=threads).on(device)
    jobs = {file.artifact.path.name: Job(file.artifact.path.name, file.artifact) for file in files}
    with (
        tempfile.TemporaryDirectory(prefix="pocketnas-shipped-") as place,
        SampleStore.open(Path(place) / "samples.sqlite") as store,
    ):
        key = measure(device, list(jobs.values()), protocol, store)
        rows = {name: to_row(summary) for name, summary in latencies(store, key).items() if name in jobs}
    exact = {
        file.artifact.runtime: rows[file.artifact.path.name] for file in files if file.artifact.precision == "fp32"
    }
    return {
        "name": files[0].name,
        "images": files[0].parity.images,
        "labelled_images": files[0].labelled_images,
        "device": device.info.soc or device.id,
        "files": [
            {
                **kept(file),
                "latency_ms": rows[file.artifact.path.name].latency_ms,
                "high_ms": rows[file.artifact.path.name].high_ms,
                "times_as_fast_as_fp32": (
                    exact[file.artifact.runtime].latency_ms / rows[file.artifact.path.name].latency_ms
                    if file.artifact.runtime in exact
                    else None
                ),
            }
            for file in files
        ],
    }


def kept(file: ExportedFile) -> dict[str, Any]:
    """What a file keeps of the network. lost_points: of top-1, against torch; negative where it gains."""
    lost = None if file.top1 is None or file.torch_top1 is None else file.torch_top1 - file.top1
    return {
        "runtime": file.artifact.runtime,
        "precision": file.artifact.precision,
        "bytes": file.bytes,
        "top1": file.top1,
        "torch_top1": file.torch_top1,
        "lost_points": lost,
        "snr_db": file.parity.snr_db,
        "top1_agreement_percent": file.parity.top1_agreement_percent,
    }


def show(bundle: dict[str, Any]) -> bool:
    """Print a folder as a table. Whether int8 keeps the accuracy that it is asked to keep, where that is known."""
    exact = {row["runtime"]: row for row in bundle["files"] if row["precision"] == "fp32"}
    print(f"{bundle['name']}: {bundle['labelled_images']} labelled images; {bundle['device']}")
    heads = ("MB", "dB", "agrees %", "top-1 %", "lost", "ms", "at most")
    print(f"{'runtime':<12}{'precision':<14}" + "".join(f"{head:>10}" for head in heads) + f"{'x fp32':>17}")
    for row in bundle["files"]:
        figures = (
            shown(row["bytes"] / 1e6, 2),
            shown(row["snr_db"], 1),
            shown(row["top1_agreement_percent"], 2),
            shown(row["top1"], 2),
            shown(row["lost_points"], 2),
            shown(row["latency_ms"], 3),
            shown(row["high_ms"], 3),
        )
        beside = speed(row, exact.get(row["runtime"]))
        print(
            f"{row['runtime']:<12}{row['precision']:<14}"
            + "".join(f"{figure:>10}" for figure in figures)
            + f"{beside:>17}"
        )
    lost = [row["lost_points"] for row in bundle["files"] if row["precision"].startswith("int8")]
    if not lost or None in lost:
        return True
    keeps = max(lost) <= MOST_LOSS_POINTS
    print(f"int8 loses at most {max(lost):.2f} points; {MOST_LOSS_POINTS} allowed: {'kept' if keeps else 'NOT kept'}")
    return bool(keeps)


def speed(row: dict[str, Any], exact: dict[str, Any] | None) -> str:
    """How many times as fast as fp32 a file is; empty where there is no fp32."""
    if exact is None or row is exact:
        return shown(row["times_as_fast_as_fp32"], 2)
    if max(row["latency_ms"], exact["latency_ms"]) <= min(row["high_ms"], exact["high_ms"]):
        return "not told apart"
    return shown(row["times_as_fast_as_fp32"], 2)


def shown(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:.{decimals}f}"


if __name__ == "__main__":
    main()
