"""Where operators meet the device: the only place that knows both android_bench and latency."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from android_bench.device import LOCAL, Device
from android_bench.job import Job
from android_bench.latencies import latencies
from android_bench.official.runner import OfficialRunner
from android_bench.protocol import Protocol, operators_on
from android_bench.reading import Reading, SessionRecord, counts
from android_bench.session import measure
from android_bench.statistics import Summary
from android_bench.store import SampleStore
from latency.opspec import EMPTY
from latency.table import LatencyTable, TableInfo, TableRow
from pocketnas.cache import operator_cache
from pocketnas.config import TableConfig
from pocketnas.console import say
from pocketnas.repeated import copies_needed, job_id, pair, repeated_jobs, slope_row
from pocketnas_base.progress import Progress
from pocketnas_base.units import NS_PER_MS
from search.layout import Space


def open_device(
    name: str, names: Mapping[str, str] = MappingProxyType({}), *, say: Callable[[str], None] = say
) -> Device:
    """A device by the name the user gave it: `local`, an adb serial, tcp:HOST:PORT, usb:SERIAL, or one of `names`.

    say: told while one has to wait. Raises InputError for a name that is none, and for a serial that adb does not know;
    DeviceError when the phone cannot be reached or used.
    """
    from pocketnas.device_names import check_known, resolve_device

    address = resolve_device(name, names)
    if address == LOCAL:
        from android_bench.local import open_local

        return open_local(say=say)
    from android_bench.adb.phone import open_phone

    check_known(address)
    return open_phone(address, say=say)


def check_table(config: TableConfig, space: Space) -> None:
    """Raise InputError for a table that this version cannot build."""
    from deploy.operators import check_precision, check_quantisable

    check_precision(config.runtime, config.precision)
    check_quantisable(space.op_specs(), config.precision)


def operator_jobs(space: Space, config: TableConfig, cache: Path, seed: int, progress: Progress) -> list[Job]:
    """One job for every operator of the space, exported, with an input and the output that is right for it."""
    from deploy.operators import export_operators

    files = export_operators(
        space.op_specs(), config.runtime, cache, precision=config.precision, seed=seed, progress=progress
    )
    return [
        Job(job_id(op, config), file.artifact, (file.input_path,), (file.reference_path,), file.max_output_error)
        for op, file in files.items()
    ]


def measure_table(
    space: Space,
    device: Device,
    config: TableConfig,
    jobs: Sequence[Job],
    samples: Path,
    seed: int,
    progress: Progress,
    *,
    tolerated: Collection[str] = (),
    official: OfficialRunner | None = None,
) -> LatencyTable:
    """Measure every operator of a space; what the sample store already holds is not measured again.

    Operators that are too short for the device's clock are measured again, several in one model (`repeated`).

    tolerated: reasons that do not make a measurement void; those that befell one are in the table's provenance.
    official: a tool of the user's own, in the place of our runner; it says nothing of its clock.
    """
    protocol = table_protocol(device, config, seed)
    with SampleStore.open(samples) as store:
        processes = store.processes()
        key = measure(device, jobs, protocol, store, tolerated=tolerated, official=official, progress=progress)
        named = latencies(store, key, jobs=jobs, tolerated=tolerated)
        summaries = {op: named[job_id(op, config)] for op in space.op_specs()}
        needed = copies_needed(summaries, store.tick_ns(key), config.runtime)
        keys, more = [key], list[Job]()
        if needed:
            more = repeated_jobs(needed, config, operator_cache(), seed)
            # A session of its own: what the first one decided does not change with what this one sees.
            apart = replace(protocol, seed=protocol.seed + 1)
            keys.append(measure(device, more, apart, store, tolerated=tolerated, progress=progress))
            named |= latencies(store, keys[-1], jobs=more, tolerated=tolerated)
        taken_at = store.taken_at(keys, [*jobs, *more])
        if store.processes() == processes:
            say(reused(samples, taken_at))
        taken = [reading for each in keys for reading in store.readings(each)]
        overlooked = overlooked_reasons(taken, tolerated)
        void = void_samples(taken, [*jobs, *more], tolerated)
        record = next(session for session in store.sessions() if session.key == key)
        health = [state for each in keys for state in store.health(each)]
    rows = {}
    for op, summary in summaries.items():
        copies = needed.get(op)
        if copies is None:
            ids, row = [job_id(op, config)], to_row(summary)
        else:
            ids = [job_id(op, config, count) for count in (copies, 2 * copies)]
            pairs = [pair(named, each, config, copies) for each in (op, EMPTY)]
            row = slope_row(summaries[EMPTY], pairs[0], pairs[1], copies)
        reasons = {reason for each in ids for reason in overlooked.get(each, ())}
        lost = sum(void.get(each, 0) for each in ids)
        rows[op] = replace(row, tolerated=tuple(sorted(reasons)), void_samples=lost or None)
    anywhere = {reason for reasons in overlooked.values() for reason in reasons}
    info = _info(space, device, config, record, health, taken_at, seed, tuple(sorted(anywhere)))
    if official is not None:
        info = info.model_copy(update={"runner": official.version, "delegate": official.delegate})
    return LatencyTable(info, rows)


def reused(samples: Path, taken_at: str | None) -> str:
    """What to say where nothing had to be measured. taken_at: of the store, an ISO time."""
    assert taken_at is not None, "what need not be measured was measured before"
    return f"all measurements come from {samples}, taken on {taken_at[:10]}; to measure again, delete that file"


def overlooked_reasons(taken: Sequence[Reading], tolerated: Collection[str]) -> dict[str, set[str]]:
    """The reasons for which the measurements of each job would not count, were they not tolerated."""
    overlooked: dict[str, set[str]] = {}
    for reading in taken:
        if reading.role == "job" and reading.voids and counts(reading, tolerated):
            overlooked.setdefault(reading.job_id, set()).update(reading.voids)
    return overlooked


def table_protocol(device: Device, config: TableConfig, seed: int) -> Protocol:
    """How operators are measured on a device."""
    usual = operators_on(device)
    return replace(usual, processes=config.processes or usual.processes, threads=config.threads, seed=seed)


def void_samples(taken: Sequence[Reading], jobs: Sequence[Job], tolerated: Collection[str]) -> dict[str, int]:
    """How many samples of each job's file do not count, where there are any."""
    files = {job.artifact.sha256 for job in jobs}
    void: dict[str, int] = {}
    for reading in taken:
        if reading.role == "job" and reading.artifact_sha256 in files and not counts(reading, tolerated):
            void[reading.job_id] = void.get(reading.job_id, 0) + reading.runs
    return void


def to_row(summary: Summary) -> TableRow:
    """A session's samples as a table states them. Operators and whole networks are stated alike, or their comparison
    would compare estimators. The lowest process median is what repeats: see docs/measurement.md."""
    return TableRow(
        latency_ms=summary.floor_ns / NS_PER_MS,
        high_ms=summary.floor_high_ns / NS_PER_MS,
        median_ms=summary.median_ns / NS_PER_MS,
        p10_ms=None if summary.p10_ns is None else summary.p10_ns / NS_PER_MS,
        p90_ms=None if summary.p90_ns is None else summary.p90_ns / NS_PER_MS,
        samples=summary.samples,
        processes=summary.processes,
        ci_low_ms=summary.ci_low_ns / NS_PER_MS,
        ci_high_ms=summary.ci_high_ns / NS_PER_MS,
        settled=summary.settled,
    )


def _info(
    space: Space,
    device: Device,
    config: TableConfig,
    record: SessionRecord,
    health: list[tuple[dict[str, object], dict[str, object] | None]],
    taken_at: str | None,
    seed: int,
    tolerated: tuple[str, ...],
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
        date_utc=taken_at,
        space=space.name,
        space_fingerprint=space.fingerprint,
        seed=seed,
        tolerated=tolerated,
        unjudged=unjudged(health),
    )


def unjudged(health: Sequence[tuple[Mapping[str, object], Mapping[str, object] | None]]) -> tuple[str, ...]:
    """The services of a phone that did not tell, at least once, whether it was fit; none for this machine."""
    states: list[Any] = [state.get("phone") for both in health for state in both if state is not None]
    phones = [phone for phone in states if phone is not None]
    return tuple(name for name in ("battery", "power", "thermal") if any(phone[name] is None for phone in phones))


def _governor(health: dict[str, Any], cores: Sequence[int]) -> str | None:
    governors = {core["governor"] for core in health["cores"] if core["number"] in cores}
    return governors.pop() if len(governors) == 1 else None


def _hottest(health: dict[str, Any] | None) -> float | None:
    """A phone's skin or battery, which Android's own limits are about; elsewhere the hottest thermal zone."""
    if health is None:
        return None
    phone = health.get("phone")
    if phone is None:
        readings = [zone["celsius"] for zone in health.get("temperatures", ())]
    else:
        sensors = (phone["thermal"] or {}).get("temperatures", ())
        readings = [sensor["celsius"] for sensor in sensors if sensor["kind"] in ("skin", "battery")]
        battery = (phone["battery"] or {}).get("temperature_c")
        readings += [battery] if battery is not None else []
    return max(readings, default=None)
