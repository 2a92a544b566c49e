"""Stage `rebench`: every exported file on the device, in one session, beside the prediction."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from android_bench.device import Device
from android_bench.job import Job
from android_bench.latencies import latencies, readings
from android_bench.protocol import networks_on
from android_bench.reading import Reading
from android_bench.session import measure
from android_bench.statistics import Summary
from android_bench.store import SampleStore
from deploy.export import load_exported
from latency.predict import predict
from latency.table import OWN_RUNNER, LatencyTable
from pocketnas.console import progress_bar
from pocketnas.like_table import measure_like_table
from pocketnas.measuring import NS_PER_MS, open_device, to_row
from pocketnas.stages.context import RunContext
from pocketnas.taken_table import why_not_compared
from pocketnas_base.artifact import Artifact
from pocketnas_base.errors import InputError
from pocketnas_base.files import replacing


@dataclass(frozen=True, slots=True)
class _Subject:
    name: str
    role: str
    artifact: Artifact
    job_id: str


def run(context: RunContext) -> str:
    """Write rebench.parquet: one row a file."""
    directory = context.directory
    subjects, table = _subjects(context), context.table()
    device = open_device(context.config.device, context.config.devices)
    jobs = [Job(subject.job_id, subject.artifact) for subject in subjects]
    compared = why_not_compared(table.info, device.id, device.info.fingerprint) is None
    if compared:
        table.require_measured_by(OWN_RUNNER, "cpu", needed_by="a run")
    drift_percent, summaries, taken = _session(context, device, table if compared else None, jobs)
    rows: list[dict[str, object]] = []
    for subject in subjects:
        own = [r for r in taken if r.job_id == subject.job_id and r.artifact_sha256 == subject.artifact.sha256]
        rows.append(
            {
                "name": subject.name,
                "role": subject.role,
                "file": str(subject.artifact.path.relative_to(directory.path)),
                "runtime": subject.artifact.runtime,
                "precision": subject.artifact.precision,
                "threads": context.config.table.threads,
                **to_row(summaries[subject.job_id]).figures(),
                "first_ms": float(np.median([reading.first_ns for reading in own])) / NS_PER_MS,
                "load_ms": float(np.median([reading.load_ns for reading in own])) / NS_PER_MS,
                "device_drift_percent": drift_percent,
                **_predicted(context, table if compared else None, subject),
            }
        )
    _save(rows, directory.rebench)
    return ", ".join(f"{row['name']} {row['runtime']} {row['latency_ms']:.3f} ms" for row in rows)


def _session(
    context: RunContext, device: Device, table: LatencyTable | None, jobs: list[Job]
) -> tuple[float | None, dict[str, Summary], list[Reading]]:
    """Measure all jobs: the device's drift since the table's time in %, summaries by job id, and all readings. table:
    None where it is of another device, and the drift with it."""
    config, usual = context.config, networks_on(device)
    protocol = replace(
        usual,
        processes=config.rebench.processes or usual.processes,
        threads=config.table.threads,
        seed=config.seed,
    )
    with SampleStore.open(context.directory.samples) as store, progress_bar("rebench") as progress:
        if table is None:
            key = measure(device, jobs, protocol, store, tolerated=config.tolerate, progress=progress)
            return None, latencies(store, key, tolerated=config.tolerate), readings(store, key)
        ops = context.architecture().ops
        taken = measure_like_table(
            table, device, jobs, ops, protocol, store, tolerated=config.tolerate, progress=progress
        )
        return taken.drift_percent, taken.summaries, taken.readings


def _subjects(context: RunContext) -> list[_Subject]:
    directory = context.directory
    folders = {"derived": directory.deploy, "baseline": directory.baseline / "deploy"}
    subjects = [
        _Subject(file.name, role, file.artifact, f"{role}-{file.artifact.runtime}")
        for role, folder in folders.items()
        for file in load_exported(folder)
    ]
    for role, folder in folders.items():
        if not any(subject.role == role for subject in subjects):
            raise InputError(f"{folder} holds no exported file; run: pocketnas run CONFIG --resume")
    return subjects


def _predicted(context: RunContext, table: LatencyTable | None, subject: _Subject) -> dict[str, float | None]:
    """The table's word on the derived net in the table's own runtime; for anything else it has none. table: None where
    it is of another device."""
    if table is None or subject.role != "derived" or subject.artifact.runtime != table.info.runtime:
        return {"predicted_ms": None, "predicted_low_ms": None, "predicted_high_ms": None}
    prediction = predict(table, context.architecture().ops)
    return {
        "predicted_ms": prediction.latency_ms,
        "predicted_low_ms": prediction.low_ms,
        "predicted_high_ms": prediction.high_ms,
    }


def _save(rows: list[dict[str, object]], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with replacing(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows), temporary)
