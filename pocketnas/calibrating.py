"""Calibrating a table: whole networks of its space, measured on its device, until more of them would not pay."""

import tempfile
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from android_bench.device import Device
from android_bench.job import Job
from android_bench.store import SampleStore
from deploy.export import export_untrained
from latency.calibrate import MIN_NETWORKS, MeasuredNetwork, calibrate, worth_more
from latency.correction import MAX_NETWORKS, Calibration
from latency.table import OWN_RUNNER, LatencyTable
from pocketnas.like_table import NetworkJob, measure_networks_like_table
from pocketnas.space_costs import costs_of
from pocketnas_base.errors import InputError
from pocketnas_base.progress import Progress
from search.layout import Space
from search.sampling import spread_networks

FIRST = 12
"""So many networks are measured before their residual is asked whether more would pay, and so many share a session,
with witnesses of what the device was like in it."""
MOST = 48
"""The budget where the user gives none."""


@dataclass(frozen=True, slots=True)
class Budget:
    """networks: exactly so many; None: as many as their residual asks for, at most `MOST`. processes: fresh processes
    each; None leaves them to the device."""

    networks: int | None = None
    processes: int | None = None

    def __post_init__(self) -> None:
        if self.networks is not None and not MIN_NETWORKS <= self.networks <= MAX_NETWORKS:
            raise InputError(f"a calibration takes {MIN_NETWORKS} to {MAX_NETWORKS} networks, not {self.networks}")


def calibrated(
    table: LatencyTable,
    space: Space,
    device: Device,
    samples: Path,
    *,
    budget: Budget,
    tolerated: Collection[str] = (),
    progress: Progress,
) -> LatencyTable:
    """The table with a calibration by networks spread over the space's latencies; its rows stay what they are.

    samples: the store; what it holds of these networks is not measured again. Raises InputError for a table of another
    space or device, or one that another tool measured, and what `measure` does.
    """
    check_calibratable(table, space)
    # The networks are spread by plain sums: a table that is calibrated again is calibrated by the same ones.
    plain = replace(table, info=table.info.model_copy(update={"calibration": None}))
    count = budget.networks or min(FIRST, space.size)
    with tempfile.TemporaryDirectory(prefix="pocketnas-") as exports:
        while True:
            calibration = _measure(plain, space, device, samples, Path(exports), count, budget, tolerated, progress)
            if budget.networks is not None or count >= min(MOST, space.size) or not worth_more(calibration):
                return replace(table, info=table.info.model_copy(update={"calibration": calibration}))
            count = min(2 * count, MOST, space.size)


def check_calibratable(table: LatencyTable, space: Space) -> None:
    """Raise InputError for a table that whole networks of this space cannot calibrate."""
    if table.info.source is not None:
        raise InputError(f"the table of {table.name} was not measured by this tool, which cannot repeat how it was")
    table.require_measured_by(OWN_RUNNER, "cpu", needed_by="a calibration")
    if table.info.space_fingerprint != space.fingerprint:
        raise InputError(f"the table of {table.name} is of another space than {space.name}")
    if space.size < MIN_NETWORKS:
        raise InputError(
            f"space {space.name} holds {space.size} networks, and a calibration needs {MIN_NETWORKS}; "
            "in a run, leave it out with calibration = 0 under [table]"
        )


def _measure(
    table: LatencyTable,
    space: Space,
    device: Device,
    samples: Path,
    exports: Path,
    count: int,
    budget: Budget,
    tolerated: Collection[str],
    progress: Progress,
) -> Calibration:
    info = table.info
    assert info.runtime is not None  # a measured table says all of these
    assert info.precision is not None
    assert info.seed is not None
    networks = spread_networks(space, costs_of(table, space), count, info.seed, name="calibration")
    jobs = []
    for number, network in enumerate(networks):
        progress(number, len(networks), f"exporting {network.name}")
        file = export_untrained(network, exports, runtime=info.runtime, precision=info.precision, seed=info.seed)
        # One store may hold the networks of several tables, and a name there belongs to one file.
        jobs.append(NetworkJob(Job(f"{network.name}-{info.runtime}-{info.precision}", file), network.ops))
    rows, drifts = [], []
    with SampleStore.open(samples) as store:
        sessions = measure_networks_like_table(
            table,
            device,
            jobs,
            store,
            a_session=FIRST,
            processes=budget.processes,
            tolerated=tolerated,
            progress=progress,
        )
        for batch, taken in sessions:
            drifts.append(taken.drift_percent)
            rows += [taken.at_table_time(each.job.id) for each in batch]
    measured = [
        MeasuredNetwork(network.name, network.ops, row.latency_ms, row.high_ms)
        for network, row in zip(networks, rows, strict=True)
    ]
    return calibrate(table, measured, drifts_percent=drifts)
