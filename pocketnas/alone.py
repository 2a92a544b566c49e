"""What a file takes in processes that run nothing else: loading it cold, its first inference, memory, energy."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from android_bench.device import Device
from android_bench.energy import energy_of, gauge_problem
from android_bench.job import Job
from android_bench.latencies import readings
from android_bench.protocol import MAX_RUNS, Protocol
from android_bench.reading import Reading, counts
from android_bench.session import measure
from android_bench.store import SampleStore
from pocketnas_base.progress import Progress, silent
from pocketnas_base.units import NS_PER_MS

PROCESSES = 5
ENERGY_PROCESSES = 3
ENERGY_S = 30.0
"""Gauges count in steps of a thousandth of a battery or so: what a phone takes in a good part of a minute."""

# A process measures its only file as sentinel, as job, and as sentinel again.
_MEASUREMENTS_A_PROCESS = 3
_KB_PER_MB = 1024


@dataclass(frozen=True, slots=True)
class Alone:
    """Medians over processes. cold_load_ms: the runtime's loading of the file, the first thing that the process does
    (the file itself may be in the system's cache). first_ms: the inference after it. peak_memory_mb: of the whole
    process until then. energy_mj: of the whole device per inference; energy_note: why it is not known, or what it is
    of. runtime_version: of the runtime on the device."""

    cold_load_ms: float | None
    first_ms: float | None
    peak_memory_mb: float | None
    energy_mj: float | None
    energy_note: str
    runtime_version: str


def measure_alone(
    device: Device,
    job: Job,
    protocol: Protocol,
    store: SampleStore,
    *,
    energy_s: float,
    tolerated: Collection[str] = (),
    progress: Progress = silent,
) -> Alone:
    """Measure one file in processes of its own. energy_s: seconds of inferences between two looks at the battery gauge,
    where that can tell; 0 leaves it alone. Raises what `measure` raises."""
    short = replace(
        protocol,
        processes=PROCESSES,
        min_processes=PROCESSES,
        warmup_min_runs=0,
        warmup_min_ns=0,
        warmup_max_ns=0,
        min_runs=1,
        min_ns=0,
        max_runs=1,
    )
    # Single inferences without warm-up differ whatever the device does: as a sentinel they say nothing of its drift.
    overlooked = {*tolerated, "drift"}
    key = measure(device, [job], short, store, tolerated=overlooked, progress=progress)
    own = [r for r in readings(store, key) if r.artifact_sha256 == job.artifact.sha256 and counts(r, overlooked)]
    first = [reading for reading in own if reading.sequence == 0]
    problem = gauge_problem(store.health(key)[-1][0]) if energy_s > 0 else "it was not asked for"
    energy: tuple[float | None, str]
    if problem is not None:
        energy = (None, problem)
    else:
        energy = _energy(device, job, protocol, store, energy_s, tolerated, progress)
    return Alone(
        _median([reading.load_ns for reading in first], NS_PER_MS),
        _median([reading.first_ns for reading in first], NS_PER_MS),
        _median([reading.peak_rss_kb for reading in first], _KB_PER_MB),
        *energy,
        next(one for one in store.sessions() if one.key == key).runners[job.artifact.runtime]["version"],
    )


def _energy(
    device: Device,
    job: Job,
    protocol: Protocol,
    store: SampleStore,
    energy_s: float,
    tolerated: Collection[str],
    progress: Progress,
) -> tuple[float | None, str]:
    part_ns = max(1, int(energy_s * 1e9 / _MEASUREMENTS_A_PROCESS))
    long = replace(
        protocol,
        processes=ENERGY_PROCESSES,
        min_processes=ENERGY_PROCESSES,
        min_ns=part_ns,
        max_ns=part_ns,
        max_runs=MAX_RUNS,
    )
    key = measure(device, [job], long, store, tolerated=tolerated, progress=progress)
    energy = energy_of(store.health(key))
    if energy.millijoule is None:
        return None, energy.note
    return energy.millijoule / sum(map(_inferences, readings(store, key))), energy.note


def _inferences(reading: Reading) -> int:
    """All of them: the first, warm-up, and those that were timed."""
    return 1 + len(reading.warmup_ns) + reading.runs


def _median(values: Sequence[int | None], unit: float) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) / unit if known else None
