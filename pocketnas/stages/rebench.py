"""Stage `rebench`: every exported file on the device, in one session, beside the prediction."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from android_bench.device import Device
from android_bench.job import Job
from android_bench.latencies import latencies, readings
from android_bench.protocol import Protocol, networks_on
from android_bench.reading import Reading
from android_bench.session import measure
from android_bench.statistics import Summary
from android_bench.store import SampleStore
from deploy.bundle import load_bundle, write_bundle
from deploy.export import load_exported
from deploy.manifest import DeviceLatency, ExportedFile
from latency.table import OWN_RUNNER, LatencyTable
from pocketnas.alone import ENERGY_S, Alone, measure_alone
from pocketnas.bundling import about_run
from pocketnas.console import progress_bar
from pocketnas.deploy_latency import Foretold, Promise, device_latency, with_latencies
from pocketnas.like_table import measure_like_table
from pocketnas.measuring import open_device, overlooked_reasons, to_row
from pocketnas.stages.context import RunContext
from pocketnas.taken_table import why_not_compared
from pocketnas_base.errors import InputError
from pocketnas_base.files import replacing
from pocketnas_base.units import NS_PER_MS


@dataclass(frozen=True, slots=True)
class _Subject:
    role: str
    file: ExportedFile
    job: Job


def run(context: RunContext) -> str:
    """Write rebench.parquet, one row a file, and the derived files' figures into their manifest."""
    directory = context.directory
    subjects, table = _subjects(context), context.table()
    device = open_device(context.config.device, context.config.devices)
    protocol = _protocol(context, device)
    compared = why_not_compared(table.info, device.id, device.info.fingerprint) is None
    if compared:
        table.require_measured_by(OWN_RUNNER, "cpu", needed_by="a run")
    foretold = Foretold(table, context.architecture()) if compared else None
    with SampleStore.open(directory.samples) as store:
        drift_percent, summaries, taken = _session(
            context, device, protocol, table if compared else None, subjects, store
        )
        alone = _alone(context, device, protocol, subjects, store)
    rows: list[dict[str, object]] = []
    figures: dict[str, DeviceLatency] = {}
    overlooked = overlooked_reasons(taken, context.config.tolerate)
    for subject in subjects:
        job, file, own = subject.job, subject.file, alone[subject.job.id]
        row = to_row(summaries[job.id])
        derived = subject.role == "derived"
        promise = foretold.of(file, device, protocol.threads) if derived and foretold is not None else None
        rows.append(
            {
                "name": file.name,
                "role": subject.role,
                "file": str(file.artifact.path.relative_to(directory.path)),
                "runtime": file.artifact.runtime,
                "precision": file.artifact.precision,
                "threads": protocol.threads,
                **row.figures(),
                **_beginnings([r for r in taken if (r.job_id, r.artifact_sha256) == (job.id, job.artifact.sha256)]),
                "cold_load_ms": own.cold_load_ms,
                "peak_memory_mb": own.peak_memory_mb,
                "energy_mj": own.energy_mj,
                "energy_note": own.energy_note,
                "device_drift_percent": drift_percent,
                **_predicted(promise),
            }
        )
        if derived:
            reasons = overlooked.get(job.id, ())
            figures[file.artifact.path.name] = device_latency(device, protocol.on(device), row, own, promise, reasons)
    _save(rows, directory.rebench)
    _into_manifest(context, figures)
    return ", ".join(f"{row['name']} {row['runtime']} {row['precision']} {row['latency_ms']:.3f} ms" for row in rows)


def _protocol(context: RunContext, device: Device) -> Protocol:
    config, usual = context.config, networks_on(device)
    return replace(
        usual,
        processes=config.rebench.processes or usual.processes,
        threads=config.table.threads,
        seed=config.seed,
    )


def _session(
    context: RunContext,
    device: Device,
    protocol: Protocol,
    table: LatencyTable | None,
    subjects: Sequence[_Subject],
    store: SampleStore,
) -> tuple[float | None, dict[str, Summary], list[Reading]]:
    """Measure all jobs: the device's drift since the table's time in %, summaries by job id, and all readings. table:
    None where it is of another device, and the drift with it."""
    tolerated, jobs = context.config.tolerate, [subject.job for subject in subjects]
    with progress_bar("rebench") as progress:
        if table is None:
            key = measure(device, jobs, protocol, store, tolerated=tolerated, progress=progress)
            return None, latencies(store, key, jobs=jobs, tolerated=tolerated), readings(store, key)
        ops = context.architecture().ops
        taken = measure_like_table(table, device, jobs, ops, protocol, store, tolerated=tolerated, progress=progress)
        return taken.drift_percent, taken.summaries, taken.readings


def _alone(
    context: RunContext, device: Device, protocol: Protocol, subjects: Sequence[_Subject], store: SampleStore
) -> dict[str, Alone]:
    """What each file takes in processes of its own, by job id."""
    found, tolerated = {}, context.config.tolerate
    with progress_bar("rebench") as progress:
        for done, subject in enumerate(subjects):
            progress(done, len(subjects), f"{subject.job.id} alone")
            found[subject.job.id] = measure_alone(
                device, subject.job, protocol, store, energy_s=ENERGY_S, tolerated=tolerated
            )
    return found


def _subjects(context: RunContext) -> list[_Subject]:
    directory = context.directory
    folders = {"derived": directory.deploy, "baseline": directory.baseline / "deploy"}
    subjects = [
        _Subject(role, file, Job(_job_id(role, file), file.artifact))
        for role, folder in folders.items()
        for file in load_exported(folder)
    ]
    for role, folder in folders.items():
        if not any(subject.role == role for subject in subjects):
            raise InputError(f"{folder} holds no exported file; run: pocketnas run CONFIG --resume")
    return subjects


def _job_id(role: str, file: ExportedFile) -> str:
    precision = file.artifact.precision
    return f"{role}-{file.artifact.runtime}" + ("" if precision == "fp32" else f"-{precision}")


def _beginnings(own: Sequence[Reading]) -> dict[str, float]:
    return {
        "first_ms": float(np.median([reading.first_ns for reading in own])) / NS_PER_MS,
        "load_ms": float(np.median([reading.load_ns for reading in own])) / NS_PER_MS,
    }


def _predicted(promise: Promise | None) -> dict[str, float | None]:
    """The table's word, where it has one on this file."""
    return {
        "predicted_ms": None if promise is None else promise.latency_ms,
        "predicted_low_ms": None if promise is None else promise.low_ms,
        "predicted_high_ms": None if promise is None else promise.high_ms,
    }


def _into_manifest(context: RunContext, figures: dict[str, DeviceLatency]) -> None:
    folder = context.directory.deploy
    bundle = load_bundle(folder)
    if bundle.about is None:
        bundle = replace(bundle, about=about_run(context))
    write_bundle(folder, with_latencies(bundle, figures, context.config.rebench.most_loss))


def _save(rows: list[dict[str, object]], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with replacing(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows), temporary)
