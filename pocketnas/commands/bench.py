"""`pocketnas bench`: any .tflite and .pte files on a device."""

import tempfile
from dataclasses import replace
from pathlib import Path

from android_bench.job import Job
from android_bench.latencies import latencies, readings
from android_bench.protocol import NETWORKS
from android_bench.session import measure
from android_bench.store import SampleStore
from pocketnas.console import print_json, print_table, progress_bar
from pocketnas.measuring import NS_PER_MS, open_device
from pocketnas_base.artifact import Artifact


def bench_files(files: list[Path], device_name: str, threads: int, processes: int, *, as_json: bool) -> None:
    """Measure each file in `processes` fresh processes and print its latency."""
    import numpy as np

    device = open_device(device_name)
    jobs = [Job(str(path), Artifact.of_file(path)) for path in dict.fromkeys(files)]
    protocol = replace(NETWORKS, threads=threads, processes=processes)
    with (
        tempfile.TemporaryDirectory(prefix="pocketnas-") as scratch,
        SampleStore.open(Path(scratch) / "samples.sqlite") as store,
        progress_bar("bench") as progress,
    ):
        key = measure(device, jobs, protocol, store, progress=progress)
        summaries, taken = latencies(store, key), readings(store, key)
        session = next(session for session in store.sessions() if session.key == key)
    results = []
    for job in jobs:
        summary = summaries[job.id]
        own = [reading for reading in taken if reading.job_id == job.id]
        results.append(
            {
                "file": job.id,
                "sha256": job.artifact.sha256,
                "runtime": job.artifact.runtime,
                "threads": threads,
                "cores": list(protocol.on(device).cores or ()),
                "floor_ms": summary.floor_ns / NS_PER_MS,
                "median_ms": summary.median_ns / NS_PER_MS,
                "ci_low_ms": summary.ci_low_ns / NS_PER_MS,
                "ci_high_ms": summary.ci_high_ns / NS_PER_MS,
                "p10_ms": summary.p10_ns / NS_PER_MS,
                "p90_ms": summary.p90_ns / NS_PER_MS,
                "first_ms": float(np.median([reading.first_ns for reading in own])) / NS_PER_MS,
                "load_ms": float(np.median([reading.load_ns for reading in own])) / NS_PER_MS,
                "samples": summary.samples,
                "processes": summary.processes,
                "device": {"id": device.id, **session.device},
            }
        )
    if as_json:
        print_json(results)
        return
    columns = ("floor_ms", "median_ms", "ci_low_ms", "ci_high_ms", "p10_ms", "p90_ms", "first_ms", "load_ms")
    print_table(
        ["file", "runtime", *(name.replace("_", " ") for name in columns), "samples"],
        [
            [Path(str(r["file"])).name, str(r["runtime"]), *(f"{r[name]:.4f}" for name in columns), str(r["samples"])]
            for r in results
        ],
        title=f"{device.id}: {device.info.soc or 'unknown processor'}, {threads} thread(s), {processes} processes",
    )
