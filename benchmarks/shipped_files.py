"""What every file of a deploy folder keeps of the accuracy, and how fast it is beside fp32 of its runtime.

Accuracies are those of the manifest: of torch and of every file, on the same labelled images. Latencies are measured
now, all files of a folder in one session on this machine, so that their ratios can be trusted.

    pocketnas run benchmarks/shipped_files.toml
    python benchmarks/shipped_files.py runs/shipped/deploy --json shipped_files.json
"""

import argparse
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
    parser.add_argument("folder", type=Path, nargs="+", help="deploy folders, each with a manifest.json")
    parser.add_argument("--processes", type=int, default=12, help="at most so many for each file")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    bundles = [measured(folder, arguments.processes, arguments.threads) for folder in arguments.folder]
    for bundle in bundles:
        show(bundle)
    if arguments.json:
        write_figures(arguments.json, {"threads": arguments.threads, "bundles": bundles})


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


def show(bundle: dict[str, Any]) -> None:
    """A folder as a table, and whether int8 keeps the accuracy that it is asked to keep."""
    print(f"{bundle['name']}: {bundle['labelled_images']} labelled images; {bundle['device']}")
    heads = ("MB", "dB", "agrees %", "top-1 %", "lost", "ms", "x fp32")
    print(f"{'runtime':<12}{'precision':<14}" + "".join(f"{head:>10}" for head in heads))
    for row in bundle["files"]:
        figures = (
            shown(row["bytes"] / 1e6, 2),
            shown(row["snr_db"], 1),
            shown(row["top1_agreement_percent"], 2),
            shown(row["top1"], 2),
            shown(row["lost_points"], 2),
            shown(row["latency_ms"], 3),
            shown(row["times_as_fast_as_fp32"], 2),
        )
        print(f"{row['runtime']:<12}{row['precision']:<14}" + "".join(f"{figure:>10}" for figure in figures))
    lost = [row["lost_points"] for row in bundle["files"] if row["precision"].startswith("int8")]
    if lost and None not in lost:
        said = "kept" if max(lost) <= MOST_LOSS_POINTS else "NOT kept"
        print(f"int8 loses at most {max(lost):.2f} points; {MOST_LOSS_POINTS} allowed: {said}")


def shown(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:.{decimals}f}"


if __name__ == "__main__":
    main()
