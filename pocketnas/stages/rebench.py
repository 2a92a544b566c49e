"""Stage `rebench`: every exported file on the device, in one session, beside the prediction."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from android_bench.job import Job
from android_bench.latencies import latencies, readings
from android_bench.protocol import networks_on
from android_bench.reading import Reading
from android_bench.session import measure
from android_bench.statistics import Summary
from android_bench.store import SampleStore
from deploy.export import load_exported
from deploy.operators import export_operators
from latency.predict import operator_ms, predict
from latency.table import OWN_RUNNER, LatencyTable
from pocketnas.cache import operator_cache
from pocketnas.console import progress_bar
from pocketnas.measuring import NS_PER_MS, open_device, to_row
from pocketnas.stages.context import RunContext
from pocketnas_base.artifact import Artifact
from pocketnas_base.errors import InputError
from pocketnas_base.files import replacing

SESSIONS = 6
MOST_DRIFT_PERCENT = 3.0


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
    table.require_measured_by(OWN_RUNNER, "cpu", needed_by="a run")
    session = _session_like_the_tables(context, table, [Job(s.job_id, s.artifact) for s in subjects])
    summaries, taken = session.summaries, session.readings
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
                **asdict(to_row(summaries[subject.job_id])),
                "first_ms": float(np.median([reading.first_ns for reading in own])) / NS_PER_MS,
                "load_ms": float(np.median([reading.load_ns for reading in own])) / NS_PER_MS,
                "device_drift_percent": session.drift_percent,
                **_predicted(context, table, subject),
            }
        )
    _save(rows, directory.rebench)
    return ", ".join(f"{row['name']} {row['runtime']} {row['latency_ms']:.3f} ms" for row in rows)


@dataclass(frozen=True, slots=True)
class _Session:
    """drift_percent: how much slower (+) than at the table's time the device ran the table's own operator."""

    drift_percent: float
    summaries: dict[str, Summary]
    readings: list[Reading]


def _session_like_the_tables(context: RunContext, table: LatencyTable, jobs: list[Job]) -> _Session:
    """Measure all jobs in one session, together with the net's dearest operator as the table measured it.

    Where that operator is not what it was, the device is busy with something else, and the session would compare
    moments, not networks: it is repeated, at most `SESSIONS` times, and the one nearest the table's time is kept.
    """
    config, directory = context.config, context.directory
    device = open_device(config.device, config.devices)
    op = max(context.architecture().ops, key=lambda op: operator_ms(table, op))
    file = export_operators([op], config.table.runtime, operator_cache(), seed=config.seed)[op]
    witness = Job(f"table-{op.key}", file.artifact, (file.input_path,), (file.reference_path,))
    sessions: list[_Session] = []
    with SampleStore.open(directory.samples) as store, progress_bar("rebench") as progress:
        for attempt in range(SESSIONS):
            usual = networks_on(device)
            protocol = replace(
                usual,
                processes=config.rebench.processes or usual.processes,
                threads=config.table.threads,
                seed=config.seed + attempt,
            )
            key = measure(device, [*jobs, witness], protocol, store, tolerated=config.tolerate, progress=progress)
            summaries = latencies(store, key, tolerated=config.tolerate)
            now_ms = to_row(summaries[witness.id]).latency_ms
            drift = 100 * (now_ms / table.row(op).latency_ms - 1)
            sessions.append(_Session(drift, summaries, readings(store, key)))
            if abs(drift) <= MOST_DRIFT_PERCENT:
                break
    return min(sessions, key=lambda session: abs(session.drift_percent))


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


def _predicted(context: RunContext, table: LatencyTable, subject: _Subject) -> dict[str, float | None]:
    """The table's word on the derived net in the table's own runtime; for anything else it has none."""
    if subject.role != "derived" or subject.artifact.runtime != table.info.runtime:
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
