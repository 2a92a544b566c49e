"""Where operators meet the device: the only place that knows both android_bench and latency."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from android_bench.device import Device
from android_bench.job import Job
from android_bench.latencies import latencies
from android_bench.protocol import OPERATORS, Protocol
from android_bench.session import measure
from android_bench.statistics import Summary
from android_bench.store import SampleStore, SessionRecord
from latency.table import LatencyTable, TableInfo, TableRow
from pocketnas.config import TableConfig
from pocketnas_base.errors import InputError
from pocketnas_base.progress import Progress
from search.space import SearchSpace

NS_PER_MS = 1e6


def open_device(name: str) -> Device:
    """A device by the name the user gave it. Raises InputError for one that this version cannot reach."""
    if name != "local":
        raise InputError(f"unknown device {name!r}: this version measures `local`, this machine")
    from android_bench.local import open_local

    return open_local()


def check_table(config: TableConfig) -> None:
    """Raise InputError for a table that this version cannot build."""
    if config.precision != "fp32":
        raise InputError(f"table.precision: this version builds fp32 tables, not {config.precision}")


def operator_jobs(space: SearchSpace, config: TableConfig, cache: Path, seed: int, progress: Progress) -> list[Job]:
    """One job for every operator of the space, exported, with the input and the output torch computes for it."""
    from deploy.operators import export_operators

    check_table(config)
    files = export_operators(space.op_specs(), config.runtime, cache, seed=seed, progress=progress)
    return [Job(op.key, file.artifact, (file.input_path,), (file.reference_path,)) for op, file in files.items()]


def measure_table(
    space: SearchSpace,
    device: Device,
    config: TableConfig,
    jobs: Sequence[Job],
    samples: Path,
    seed: int,
    progress: Progress,
) -> LatencyTable:
    """Measure every operator of a space; what the sample store already holds is not measured again."""
    protocol = table_protocol(config, seed)
    with SampleStore.open(samples) as store:
        key = measure(device, jobs, protocol, store, progress=progress)
        summaries = latencies(store, key)
        record = next(session for session in store.sessions() if session.key == key)
        health = store.health(key)
    rows = {op: to_row(summaries[op.key]) for op in space.op_specs()}
    return LatencyTable(_info(space, device, config, record, health, seed), rows)


def table_protocol(config: TableConfig, seed: int) -> Protocol:
    """How operators are measured."""
    from dataclasses import replace

    return replace(OPERATORS, processes=config.processes, threads=config.threads, seed=seed)


def to_row(summary: Summary) -> TableRow:
    """A session's samples as a table states them. Operators and whole networks are stated alike, or their comparison
    would compare estimators. The lowest process median is what repeats: see docs/measurement.md."""
    return TableRow(
        latency_ms=summary.floor_ns / NS_PER_MS,
        high_ms=summary.floor_high_ns / NS_PER_MS,
        median_ms=summary.median_ns / NS_PER_MS,
        p10_ms=summary.p10_ns / NS_PER_MS,
        p90_ms=summary.p90_ns / NS_PER_MS,
        samples=summary.samples,
        processes=summary.processes,
    )


def _info(
    space: SearchSpace,
    device: Device,
    config: TableConfig,
    record: SessionRecord,
    health: list[tuple[dict[str, object], dict[str, object] | None]],
    seed: int,
) -> TableInfo:
    cores: Any = record.protocol["cores"]
    before, after = health[0][0], health[-1][1]
    return TableInfo(
        device=device.id,
        device_model=device.info.model,
        device_fingerprint=device.info.fingerprint,
        soc=device.info.soc,
        os_version=device.info.os_version,
        runtime=config.runtime,
        runtime_version=record.runners[config.runtime]["version"],
        precision=config.precision,
        threads=config.threads,
        cores=tuple(cores),
        governor=_governor(before, cores),
        temperature_before_c=_hottest(before),
        temperature_after_c=_hottest(after),
        tool_version=record.tool_version or "unknown",
        date_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        space=space.name,
        space_fingerprint=space.fingerprint,
        seed=seed,
    )


def _governor(health: dict[str, Any], cores: Sequence[int]) -> str | None:
    governors = {core["governor"] for core in health["cores"] if core["number"] in cores}
    return governors.pop() if len(governors) == 1 else None


def _hottest(health: dict[str, Any] | None) -> float | None:
    readings = [zone["celsius"] for zone in (health or {}).get("temperatures", ())]
    return max(readings, default=None)
