"""The MobileNetV2 family beside the searches: hand-made, so that its widths' operators are in no table of the space."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from latency.predict import predict
from latency.table import LatencyTable
from pocketnas.console import progress_bar
from pocketnas.stages.context import RunContext
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_json, write_json
from search.architecture import Architecture
from search.space import SearchSpace
from search.zoo import mobilenet_v2_family

if TYPE_CHECKING:
    from android_bench.device import Device

Source = Literal["measured", "predicted"]


@dataclass(frozen=True, slots=True)
class Family:
    """Its members with their latencies. source: `measured` on the table's device, or `predicted` by a table of another
    device for the members it covers. missing: names of members whose latency nobody knows."""

    members: tuple[Architecture, ...]
    latency_ms: tuple[float, ...]
    source: Source
    missing: tuple[str, ...]


def family_of(context: RunContext, table: LatencyTable, folder: Path) -> Family:
    """The family at the configuration's widths. What was measured is kept in `folder`."""
    space = context.space
    if not isinstance(space, SearchSpace):
        raise InputError(f"space {space.name} is of tree cells, and no MobileNetV2 has its form")
    nets = mobilenet_v2_family(space, context.config.baseline.multipliers)
    device = _device_of(context, table)
    if device is None:
        covered = [(net, ms) for net in nets if (ms := _predicted_ms(table, net)) is not None]
        members, latency_ms = tuple(net for net, _ in covered), tuple(ms for _, ms in covered)
        missing = tuple(net.name for net in nets if net not in members)
        return Family(members, latency_ms, "predicted", missing)
    measured = _measured_ms(context, table, device, nets, folder)
    return Family(tuple(nets), tuple(measured[net.name] for net in nets), "measured", ())


def _device_of(context: RunContext, table: LatencyTable) -> "Device | None":
    """The device of the table, where that is the run's; None where the table is of another."""
    from pocketnas.measuring import open_device
    from pocketnas.taken_table import why_not_compared

    if table.info.source is not None:
        return None
    device = open_device(context.config.device, context.config.devices)
    return device if why_not_compared(table.info, device.id, device.info.fingerprint) is None else None


def _predicted_ms(table: LatencyTable, net: Architecture) -> float | None:
    try:
        return predict(table, net.ops).latency_ms
    except InputError:
        return None


def _measured_ms(
    context: RunContext, table: LatencyTable, device: "Device", nets: list[Architecture], folder: Path
) -> dict[str, float]:
    kept = folder / "family.json"
    if kept.exists():
        return _read(kept, nets)
    measured = measure_networks(context, table, device, nets, folder)
    write_json(kept, {"measured_ms": measured})
    return measured


def measure_networks(
    context: RunContext, table: LatencyTable, device: "Device", nets: list[Architecture], folder: Path
) -> dict[str, float]:
    """Latency by name of untrained networks in the table's runtime, all in one session beside the table's operators."""
    from android_bench.job import Job
    from android_bench.protocol import networks_on
    from android_bench.store import SampleStore
    from deploy.export import export_untrained
    from pocketnas.like_table import measure_like_table
    from pocketnas.measuring import to_row

    config = context.config
    with progress_bar("export") as progress:
        jobs = []
        for number, net in enumerate(nets):
            progress(number, len(nets), net.name)
            artifact = export_untrained(
                net, folder / "files", runtime=config.table.runtime, precision=config.table.precision, seed=config.seed
            )
            jobs.append(Job(net.name, artifact))
    usual = networks_on(device)
    protocol = replace(
        usual,
        processes=config.rebench.processes or usual.processes,
        threads=config.table.threads,
        cores=table.info.cores,
        seed=config.seed,
    )
    ops = [op for net in nets for op in net.ops if table.find(op) is not None]
    with SampleStore.open(folder / "samples.sqlite") as store, progress_bar("latency") as progress:
        session = measure_like_table(
            table, device, jobs, ops, protocol, store, tolerated=config.tolerate, progress=progress
        )
    return {net.name: to_row(session.summaries[net.name]).latency_ms for net in nets}


def _read(path: Path, nets: list[Architecture]) -> dict[str, float]:
    plain = read_json(path, what="family's latencies")
    measured = plain.get("measured_ms") if isinstance(plain, dict) else None
    if not isinstance(measured, dict) or set(measured) != {net.name for net in nets}:
        raise InputError(f"{path} is of other widths or damaged; delete it to measure again")
    latencies = {name: ms for name, ms in measured.items() if isinstance(ms, float)}
    if len(latencies) != len(nets):
        raise InputError(f"{path} is damaged; delete it to measure again")
    return latencies
