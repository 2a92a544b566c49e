"""Whole networks measured beside some of the table's operators, witnesses that the device is what it was."""

import math
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from android_bench.device import Device
from android_bench.job import Job
from android_bench.latencies import latencies, readings
from android_bench.protocol import Protocol, networks_on, operators_on
from android_bench.reading import Reading
from android_bench.session import measure
from android_bench.statistics import Summary
from android_bench.store import SampleStore
from android_bench.workspace import KnownFile
from deploy.operators import export_operators
from latency.calibrate import SAME_STATE_PERCENT
from latency.opspec import OpSpec
from latency.predict import operator_ms
from latency.rows import TIMES, TableRow
from latency.table import LatencyTable
from pocketnas.cache import operator_cache
from pocketnas.measuring import to_row
from pocketnas.taken_table import why_not_compared
from pocketnas_base.errors import InputError, MeasurementError
from pocketnas_base.files import sha256_bytes
from pocketnas_base.progress import Progress

WITNESSES = 5
SESSIONS = 4
PAUSE_S = 15.0
"""Before each look at the witnesses alone: a phone cools down meanwhile, and a neighbour may be done."""


@dataclass(frozen=True, slots=True)
class LikeTable:
    """One session. drift_percent: how much slower (+) than at its own time the device ran the table's operators, the
    median of `WITNESSES`.
    summaries: by job id. readings: all of them."""

    drift_percent: float
    summaries: dict[str, Summary]
    readings: list[Reading]

    def at_table_time(self, job_id: str) -> TableRow:
        """A job's figures, the device's drift since the table's time divided out."""
        row, drift = to_row(self.summaries[job_id]), 1 + self.drift_percent / 100
        times: dict[str, Any] = {name: ms if (ms := getattr(row, name)) is None else ms / drift for name in TIMES}
        return replace(row, **times)


def pick_witnesses(table: LatencyTable, ops: Iterable[OpSpec]) -> list[OpSpec]:
    """The dearest of a network's operators, the dearest first. Of a row from several copies there is no measurement
    that could be repeated as it was, so those come last."""
    rows = {op: table.row(op) for op in ops if op.kind != "zero"}
    return sorted(rows, key=lambda op: (rows[op].copies is not None, -operator_ms(table, op), op))[:WITNESSES]


def measure_like_table(
    table: LatencyTable,
    device: Device,
    jobs: Sequence[Job],
    ops: Sequence[OpSpec],
    protocol: Protocol,
    store: SampleStore,
    *,
    tolerated: Collection[str] = (),
    progress: Progress,
) -> LikeTable:
    """Measure all jobs in one session, together with the dearest of `ops` as the table measured them.

    Where these are not what they were, the device is warm or busy with something else, and the session would compare
    moments, not networks: it is taken again, with another seed, once the witnesses alone are what they were, or when as
    long was waited as it took; in all at most `SESSIONS` times, and the one nearest the table's time is kept. Other
    files are other sessions, with witnesses of their own, even where a store holds some of them: witnesses say nothing
    of another time. Raises InputError when the table is not of this device.
    """
    info = table.info
    if (reason := why_not_compared(info, device.id, device.info.fingerprint)) is not None:
        raise InputError(reason)
    assert info.runtime is not None  # a measured table says all of them
    assert info.precision is not None
    assert info.seed is not None
    chosen = pick_witnesses(table, ops)
    files = export_operators(chosen, info.runtime, operator_cache(), precision=info.precision, seed=info.seed)
    witnesses = {
        op: Job(f"table-{op.key}", file.artifact, (file.input_path,), (file.reference_path,), file.max_output_error)
        for op, file in files.items()
    }
    # A median over a shorter while finds a quieter one: witnesses are timed for as long as the table's rows were.
    timed = replace(protocol, min_ns=operators_on(device).min_ns, seed=_seed_of(jobs, protocol))
    best: LikeTable | None = None
    took_s = 0.0
    for attempt in range(SESSIONS):
        repeated = replace(timed, seed=timed.seed + attempt)
        every = [*jobs, *witnesses.values()]
        # What was begun before is gone on with: its time is not now.
        if attempt and not _is_begun(store, device, repeated.seed):
            _wait(table, device, witnesses, repeated, tolerated, progress, at_most_s=took_s)
        started = time.monotonic()
        key = measure(device, every, repeated, store, tolerated=tolerated, progress=progress)
        took_s = max(time.monotonic() - started, store.seconds(key))  # it may lie in the store
        summaries = latencies(store, key, jobs=every, tolerated=tolerated)
        drift = _drift_percent(table, witnesses, summaries)
        if best is None or abs(drift) < abs(best.drift_percent):
            best = LikeTable(drift, summaries, readings(store, key))
        if abs(drift) <= SAME_STATE_PERCENT:
            break
    assert best is not None
    return best


def _wait(
    table: LatencyTable,
    device: Device,
    witnesses: Mapping[OpSpec, Job],
    protocol: Protocol,
    tolerated: Collection[str],
    progress: Progress,
    *,
    at_most_s: float,
) -> None:
    """Until the device runs the witnesses as it did at the table's time, or for `at_most_s`. What was seen meanwhile is
    not kept: it speaks of that moment alone. A look that is void shows a device that is still another."""
    alone = replace(protocol, processes=min(protocol.min_processes, protocol.processes))
    end = time.monotonic() + at_most_s
    while (left_s := end - time.monotonic()) > 0:
        progress(round(at_most_s - left_s), math.ceil(at_most_s), "s until the device is as its table found it")
        time.sleep(min(PAUSE_S, left_s))
        with (
            tempfile.TemporaryDirectory(prefix="pocketnas-look-") as folder,
            SampleStore.open(Path(folder) / "samples.sqlite") as store,
        ):
            try:
                key = measure(device, list(witnesses.values()), alone, store, tolerated=tolerated)
            except MeasurementError:
                continue
            summaries = latencies(store, key, jobs=witnesses.values(), tolerated=tolerated)
        if abs(_drift_percent(table, witnesses, summaries)) <= SAME_STATE_PERCENT:
            return


def _is_begun(store: SampleStore, device: Device, seed: int) -> bool:
    """Whether the store holds some of the session with this seed on this device."""
    of = (device.id, device.info.fingerprint, seed)
    return any((each.device_id, each.device_fingerprint, each.protocol.get("seed")) == of for each in store.sessions())


def _drift_percent(table: LatencyTable, witnesses: Mapping[OpSpec, Job], summaries: Mapping[str, Summary]) -> float:
    """By how much slower (+) than in the table the witnesses ran, in the median."""
    ratios = [to_row(summaries[witness.id]).latency_ms / table.row(op).latency_ms for op, witness in witnesses.items()]
    return 100 * (median(ratios) - 1)


def _seed_of(jobs: Sequence[Job], protocol: Protocol) -> int:
    """The same for the same files, and for no others."""
    told = " ".join([str(protocol.seed), *sorted(job.artifact.sha256 for job in jobs)])
    return int(sha256_bytes(told.encode())[:15], 16)


@dataclass(frozen=True, slots=True)
class NetworkJob:
    """A whole network to measure. ops: its operators."""

    job: Job
    ops: Sequence[OpSpec]


def measure_networks_like_table(
    table: LatencyTable,
    device: Device,
    networks: Sequence[NetworkJob],
    store: SampleStore,
    *,
    a_session: int,
    processes: int | None = None,
    tolerated: Collection[str] = (),
    progress: Progress,
) -> Iterator[tuple[Sequence[NetworkJob], LikeTable]]:
    """Measure many networks, `a_session` at a time, each session with witnesses of its own time; what was measured in
    it, with its networks. They are removed from the device when their session ends: a phone has no room for all.

    processes: fresh ones for each network; None leaves that to the device. Raises what `measure_like_table` does.
    """
    info, usual = table.info, networks_on(device)
    assert info.threads is not None  # a measured table says both
    assert info.seed is not None
    for start in range(0, len(networks), a_session):
        batch = networks[start : start + a_session]
        protocol = replace(
            usual,
            processes=processes or usual.processes,
            threads=info.threads,
            cores=info.cores,
            sentinel_every=8,
            seed=info.seed,
        )
        jobs = [network.job for network in batch]
        ops = list(dict.fromkeys(op for network in batch for op in network.ops))
        taken = measure_like_table(table, device, jobs, ops, protocol, store, tolerated=tolerated, progress=progress)
        device.workspace.discard([KnownFile(job.artifact.path, job.artifact.sha256) for job in jobs])
        yield batch, taken
