"""The latencies of a session, from its stored readings."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from android_bench.job import Job
from android_bench.reading import Reading, counts
from android_bench.statistics import Summary, drift_factors, is_settled, summarise, summarise_stated
from android_bench.store import SampleStore
from pocketnas_base.errors import InputError


def readings(store: SampleStore, session_key: str) -> list[Reading]:
    """Every measurement of a session in the order in which they were taken. Raises InputError when it has none."""
    found = store.readings(session_key)
    if not found:
        raise InputError(f"the sample store has no samples of session {session_key}")
    return found


def latencies(
    store: SampleStore,
    session_key: str,
    *,
    jobs: Collection[Job] = (),
    correct_drift: bool = True,
    tolerated: Collection[str] = (),
) -> dict[str, Summary]:
    """The latency of every job of a session, by job id; void measurements do not count.

    A job counts with one file alone: that of `jobs`, or where it is not among them, the one measured last.
    correct_drift: divide out what the sentinel shows of the device's drift. tolerated: reasons that do not make a
    measurement void. Raises InputError when the session has no samples.
    """
    found = [reading for reading in readings(store, session_key) if counts(reading, tolerated)]
    drift = drift_of(found) if correct_drift else {}
    protocol = next(session.protocol for session in store.sessions() if session.key == session_key)
    by_job: dict[str, list[Reading]] = defaultdict(list)
    for reading in found:
        if reading.role == "job":
            by_job[reading.job_id].append(reading)
    files = {job_id: taken[-1].artifact_sha256 for job_id, taken in by_job.items()}
    files |= {job.id: job.artifact.sha256 for job in jobs}
    summaries = {}
    for job_id, taken in by_job.items():
        own = [reading for reading in taken if reading.artifact_sha256 == files[job_id]]
        if not own:
            continue
        factors = [drift.get((reading.process, reading.sequence), 1.0) for reading in own]
        settled = _settled([reading.median_ns for reading in own], protocol)
        summaries[job_id] = replace(_summary(own, factors), settled=settled)
    return summaries


def _settled(medians: Sequence[float], protocol: Mapping[str, object]) -> bool | None:
    least, within = protocol.get("min_processes"), protocol.get("settled_within")
    if not isinstance(least, int) or not isinstance(within, int | float):
        return None  # a session of before this was asked
    return is_settled(medians, least, within)


def _summary(taken: Sequence[Reading], factors: Sequence[float]) -> Summary:
    stated = [reading.stated for reading in taken if reading.stated is not None]
    if stated and len(stated) == len(taken):
        return summarise_stated(stated, factors)
    return summarise([reading.samples_ns for reading in taken], factors)


def drift_of(found: Sequence[Reading]) -> dict[tuple[int, int], float]:
    """The drift factor of each measurement, by (process, sequence), from the sentinels of its own process.

    A sentinel is compared with the median of its own readings in the whole session. A process that died before its
    first sentinel ended has no factors.
    """
    sentinels: dict[int, list[Reading]] = defaultdict(list)
    medians: dict[str, list[float]] = defaultdict(list)
    for reading in found:
        if reading.role == "sentinel":
            sentinels[reading.process].append(reading)
            medians[reading.artifact_sha256].append(reading.median_ns)
    factors: dict[tuple[int, int], float] = {}
    for process, own in sentinels.items():
        overall = float(np.median(medians[own[0].artifact_sha256]))
        taken = [reading for reading in found if reading.process == process]
        values = drift_factors(
            [reading.middle_ns for reading in taken],
            [reading.middle_ns for reading in own],
            [reading.median_ns for reading in own],
            overall,
        )
        factors |= {(r.process, r.sequence): float(value) for r, value in zip(taken, values, strict=True)}
    return factors
