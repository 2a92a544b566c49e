"""What `pocketnas bench` says of each file: plain data for a program, tables for a person."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from android_bench.device import Device
from android_bench.job import Job
from android_bench.latencies import latencies, readings
from android_bench.model_file import precision_of
from android_bench.official.coverage import describe, least
from android_bench.official.runner import OfficialRunner
from android_bench.protocol import Protocol
from android_bench.reading import counts
from android_bench.store import SampleStore
from pocketnas.console import print_table
from pocketnas.measuring import unjudged
from pocketnas_base.units import NS_PER_MS

_COLUMNS = ("floor_ms", "median_ms", "ci_low_ms", "ci_high_ms", "p10_ms", "p90_ms", "first_ms", "load_ms")


def results_of(
    device: Device,
    jobs: Sequence[Job],
    protocol: Protocol,
    store: SampleStore,
    key: str,
    tolerated: Collection[str],
    official: OfficialRunner | None,
) -> list[dict[str, object]]:
    """One result a job, from a session's samples."""
    summaries = latencies(store, key, jobs=jobs, tolerated=tolerated)
    taken, profiles = readings(store, key), store.profiles(key)
    session = next(session for session in store.sessions() if session.key == key)
    changes = [asdict(change) for change in store.changes(key)]
    untold = list(unjudged(store.health(key)))
    results: list[dict[str, object]] = []
    for job in jobs:
        summary = summaries[job.id]
        own = [r for r in taken if r.job_id == job.id and r.role == "job" and r.artifact_sha256 == job.artifact.sha256]
        counted = [reading for reading in own if counts(reading, tolerated)]
        tool = official if official is not None and official.runtime == job.artifact.runtime else None
        delegate = tool.delegate if tool else "cpu"
        coverage = least([reading.coverage for reading in counted], delegate) if tool else ()
        profile = profiles.get((job.id, job.artifact.sha256))
        results.append(
            {
                "file": str(job.artifact.path),
                "sha256": job.artifact.sha256,
                "runtime": job.artifact.runtime,
                "runtime_version": None if tool else session.runners[job.artifact.runtime]["version"],
                "precision": precision_of(job.artifact),
                "threads": protocol.threads,
                "cores": list(protocol.cores or ()),
                "floor_ms": summary.floor_ns / NS_PER_MS,
                "floor_high_ms": summary.floor_high_ns / NS_PER_MS,
                "settled": summary.settled,
                "median_ms": summary.median_ns / NS_PER_MS,
                "ci_low_ms": summary.ci_low_ns / NS_PER_MS,
                "ci_high_ms": summary.ci_high_ns / NS_PER_MS,
                "p10_ms": None if summary.p10_ns is None else summary.p10_ns / NS_PER_MS,
                "p90_ms": None if summary.p90_ns is None else summary.p90_ns / NS_PER_MS,
                "first_ms": _median([reading.first_ns for reading in counted], NS_PER_MS),
                "load_ms": _median([reading.load_ns for reading in counted], NS_PER_MS),
                "peak_memory_mb": _median([reading.peak_rss_kb for reading in counted], 1024),
                "samples": summary.samples,
                "processes": summary.processes,
                "statistic": summary.statistic,
                "runner": tool.version if tool else "pocketnas",
                "delegate": delegate,
                "coverage": [asdict(part) for part in coverage],
                "coverage_text": describe(coverage, delegate) if tool else None,
                "void": sorted({reason for reading in own for reason in reading.voids}),
                "tolerated": sorted({r for reading in counted for r in reading.voids} & set(tolerated)),
                "device": {"id": device.id, **session.device, "changed": changes, "unjudged": untold},
                **({"profile": json.loads(profile)} if profile is not None else {}),
            }
        )
    return results


def print_results(name: str, results: Sequence[Mapping[str, object]]) -> None:
    """What a person reads: a table, and a line for each thing that is not as usual."""
    device = results[0]["device"]
    assert isinstance(device, dict)
    cores = results[0]["cores"]
    print_table(
        ["file", "runtime", *(name.replace("_", " ") for name in _COLUMNS), "peak MB", "samples in processes"],
        [
            [
                Path(str(r["file"])).name,
                str(r["runtime"]),
                *("" if r[column] is None else f"{r[column]:.4f}" for column in _COLUMNS),
                "" if r["peak_memory_mb"] is None else f"{r['peak_memory_mb']:.1f}",
                f"{r['samples']} in {r['processes']}",
            ]
            for r in results
        ],
        title=f"{name}: {device['model'] or 'unknown model'}, {device['soc'] or 'unknown processor'},"
        f" {results[0]['threads']} thread(s) on cores {cores}",
    )
    for result in results:
        if result["coverage_text"] is not None:
            print(f"{Path(str(result['file'])).name}: {result['coverage_text']}")
        if result["settled"] is False:
            print(
                f"{Path(str(result['file'])).name}: not as certain as it should be: {result['floor_ms']:.4f} to"
                f" {result['floor_high_ms']:.4f} ms after {result['processes']} processes; give it more --processes"
            )
        if result["statistic"] == "mean":
            print(f"{Path(str(result['file'])).name}: this build prints no median: each process counts with its mean")
        if result["void"]:
            said = f"{Path(str(result['file'])).name}: some measurements were void: {_join(result['void'])}"
            print(said + (f"; tolerated: {_join(result['tolerated'])}" if result["tolerated"] else ""))
        if "profile" in result:
            _print_profile(Path(str(result["file"])).name, result["profile"])


def _print_profile(name: str, profile: object) -> None:
    assert isinstance(profile, dict)
    if profile["type"] == "error":
        print(f"{name}: no profile: {profile['message']}")
        return
    statistic = profile.get("statistic", "median")
    total = sum(operator["total_ns"] for operator in profile["operators"]) or 1
    print_table(
        ["operator", "kind", f"{statistic} ms", "share %", "delegated"],
        [
            [
                operator["name"],
                operator["kind"],
                f"{operator[f'{statistic}_ns'] / NS_PER_MS:.4f}",
                f"{100 * operator['total_ns'] / total:.1f}",
                {True: "yes", False: "no", None: "unknown"}[operator["delegated"]],
            ]
            for operator in profile["operators"]
        ],
        title=f"{name}: {profile['runs']} profiled runs of {profile[f'{statistic}_run_ns'] / NS_PER_MS:.4f} ms,"
        " apart from the latency above",
    )
    for delegate in profile["delegates"]:
        of = "" if delegate["of_nodes"] is None else f" of {delegate['of_nodes']}"
        runs = "" if delegate["nodes"] is None else f" runs {delegate['nodes']}{of} nodes"
        print(f"{name}: delegate {delegate['name']}{runs}")


def _join(values: object) -> str:
    assert isinstance(values, list)
    return ", ".join(map(str, values))


def _median(values: Sequence[int | None], unit: float) -> float | None:
    """None where nobody says."""
    import numpy as np

    known = [value for value in values if value is not None]
    return float(np.median(known)) / unit if known else None
