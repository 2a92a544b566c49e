"""Whole networks measured beside one of the table's operators, the witness that the device is what it was."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from android_bench.device import Device
from android_bench.job import Job
from android_bench.latencies import latencies, readings
from android_bench.protocol import Protocol
from android_bench.reading import Reading
from android_bench.session import measure
from android_bench.statistics import Summary
from android_bench.store import SampleStore
from deploy.operators import export_operators
from latency.opspec import OpSpec
from latency.predict import operator_ms
from latency.table import LatencyTable
from pocketnas.cache import operator_cache
from pocketnas.measuring import to_row
from pocketnas.taken_table import why_not_compared
from pocketnas_base.errors import InputError
from pocketnas_base.progress import Progress

SESSIONS = 6
MOST_DRIFT_PERCENT = 3.0


@dataclass(frozen=True, slots=True)
class LikeTable:
    """One session. drift_percent: how much slower (+) than at the table's time the device ran the table's own operator.
    summaries: by job id. readings: all of them."""

    drift_percent: float
    summaries: dict[str, Summary]
    readings: list[Reading]


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
    """Measure all jobs in one session, together with the dearest of `ops` as the table measured it.

    Where that operator is not what it was, the device is busy with something else, and the session would compare
    moments, not networks: it is repeated, with another seed, at most `SESSIONS` times, and the one nearest the table's
    time is kept. Raises InputError when the table is not of this device.
    """
    info = table.info
    if (reason := why_not_compared(info, device.id, device.info.fingerprint)) is not None:
        raise InputError(reason)
    assert info.runtime is not None  # a measured table says both
    assert info.seed is not None
    op = max(ops, key=lambda op: operator_ms(table, op))
    file = export_operators([op], info.runtime, operator_cache(), seed=info.seed)[op]
    witness = Job(f"table-{op.key}", file.artifact, (file.input_path,), (file.reference_path,))
    best: LikeTable | None = None
    for attempt in range(SESSIONS):
        repeated = replace(protocol, seed=protocol.seed + attempt)
        key = measure(device, [*jobs, witness], repeated, store, tolerated=tolerated, progress=progress)
        summaries = latencies(store, key, tolerated=tolerated)
        drift = 100 * (to_row(summaries[witness.id]).latency_ms / table.row(op).latency_ms - 1)
        if best is None or abs(drift) < abs(best.drift_percent):
            best = LikeTable(drift, summaries, readings(store, key))
        if abs(drift) <= MOST_DRIFT_PERCENT:
            break
    assert best is not None
    return best
