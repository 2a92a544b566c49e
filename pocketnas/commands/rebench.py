"""`pocketnas rebench DEPLOY_DIR`: every file of a bundle on a device, and which of them to ship."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from android_bench.device import LOCAL, Device
from android_bench.job import Job
from android_bench.latencies import latencies
from android_bench.local import local_info
from android_bench.protocol import Protocol, networks_on
from android_bench.session import measure
from android_bench.store import SampleStore
from deploy.bundle import load_bundle, write_bundle
from deploy.choice import MOST_LOSS_POINTS, latency_on, loss_points
from deploy.manifest import MANIFEST, Bundle, DeviceLatency, Recommendation
from latency.library import load_table
from pocketnas.alone import ENERGY_S, measure_alone
from pocketnas.cache import bench_samples
from pocketnas.console import print_json, print_table, progress_bar, say
from pocketnas.deploy_latency import Foretold, device_latency, device_name, with_latencies
from pocketnas.device_names import resolve_device
from pocketnas.measuring import open_device, overlooked_reasons, to_row
from pocketnas_base.errors import InputError
from search.architecture import Architecture
from search.zoo import load_architecture


@dataclass(frozen=True, slots=True)
class RebenchOptions:
    """What the command line asked for. processes: None leaves them to the device. table, architecture: what the files
    were promised to take; None: those of the run that the folder lies in, where it lies in one. host: measure this
    machine too, where the manifest has no figures of it. energy_s: seconds between two looks at the battery gauge."""

    threads: int = 1
    processes: int | None = None
    most_loss: float = MOST_LOSS_POINTS
    table: str | None = None
    architecture: str | None = None
    host: bool = True
    energy_s: float = ENERGY_S
    tolerated: tuple[str, ...] = ()
    as_json: bool = False


def is_bundle(path: Path) -> bool:
    """Whether a folder is a deploy folder, not a run."""
    return (path / MANIFEST).is_file() and not (path / "config.toml").exists()


def rebench_bundle(folder: Path, devices: Sequence[str], options: RebenchOptions) -> None:
    """Measure every file of the bundle in `folder` on the devices, one after the other, keep the figures in its
    manifest and print them.

    Raises InputError for a bundle that is not whole or cannot be written, and what `measure` raises; what was measured
    before is kept.
    """
    bundle = load_bundle(folder)
    if not os.access(folder, os.W_OK):
        raise InputError(f"{folder} cannot be written, and figures are kept in its {MANIFEST}; copy it and try again")
    foretold = _foretold(folder, options)
    names = list(dict.fromkeys(devices)) or [resolve_device(None, {})]
    printed = []
    for name in names:
        device = open_device(name, say=say)
        if options.host and not device.is_local and LOCAL not in names and not _knows_host(bundle, options.threads):
            bundle, _ = _measured(folder, bundle, open_device(LOCAL, say=say), replace(options, energy_s=0.0), foretold)
        bundle, like = _measured(folder, bundle, device, options, foretold)
        printed.append(_document(bundle, like))
        if not options.as_json:
            _print(bundle, like)
    if options.as_json:
        print_json(printed)


def _foretold(folder: Path, options: RebenchOptions) -> Foretold | None:
    if (options.table is None) != (options.architecture is None):
        raise InputError("--table and --architecture go together: a prediction is a table's word on an architecture")
    if options.table is not None and options.architecture is not None:
        return Foretold(load_table(options.table), load_architecture(options.architecture))
    run = folder.absolute().parent
    if all((run / name).is_file() for name in ("config.toml", "table.parquet", "architecture.json")):
        return Foretold(load_table(str(run / "table.parquet")), Architecture.load(run / "architecture.json"))
    return None


def _knows_host(bundle: Bundle, threads: int) -> bool:
    where = (local_info().fingerprint, threads)
    return all(any((one.device_fingerprint, one.threads) == where for one in file.latency) for file in bundle.files)


def _measured(
    folder: Path, bundle: Bundle, device: Device, options: RebenchOptions, foretold: Foretold | None
) -> tuple[Bundle, DeviceLatency]:
    """The bundle with the device's figures, written; and one of them, which says where they are from."""
    protocol = replace(networks_on(device), threads=options.threads)
    if options.processes is not None:
        protocol = replace(protocol, processes=options.processes)
    protocol = protocol.on(device)
    shas = [file.artifact.sha256 for file in bundle.files]
    path = bench_samples(["rebench", device.id, device.info.fingerprint, str(options.energy_s), *shas], protocol)
    with SampleStore.open(path) as store:
        found = _measure(bundle, device, protocol, store, options, foretold)
    bundle = with_latencies(bundle, found, options.most_loss)
    write_bundle(folder, bundle)
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()
    return bundle, next(iter(found.values()))


def _measure(
    bundle: Bundle,
    device: Device,
    protocol: Protocol,
    store: SampleStore,
    options: RebenchOptions,
    foretold: Foretold | None,
) -> dict[str, DeviceLatency]:
    jobs = {file.artifact.path.name: Job(file.artifact.path.name, file.artifact) for file in bundle.files}
    title = f"rebench {device_name(device)}"
    with progress_bar(title) as progress:
        key = measure(device, list(jobs.values()), protocol, store, tolerated=options.tolerated, progress=progress)
    summaries = latencies(store, key, jobs=jobs.values(), tolerated=options.tolerated)
    overlooked = overlooked_reasons(store.readings(key), options.tolerated)
    found = {}
    with progress_bar(title) as progress:
        for done, file in enumerate(bundle.files):
            name = file.artifact.path.name
            progress(done, len(jobs), f"{name} alone")
            alone = measure_alone(
                device, jobs[name], protocol, store, energy_s=options.energy_s, tolerated=options.tolerated
            )
            found[name] = device_latency(
                device,
                protocol,
                to_row(summaries[name]),
                alone,
                None if foretold is None else foretold.of(file, device, protocol.threads),
                overlooked.get(name, ()),
            )
    return found


def _document(bundle: Bundle, like: DeviceLatency) -> dict[str, object]:
    files = []
    for file in bundle.files:
        one, host = latency_on(file, like), _host(bundle, file.artifact.path.name, like)
        assert one is not None
        files.append(
            {
                "file": file.artifact.path.name,
                "runtime": file.artifact.runtime,
                "precision": file.artifact.precision,
                "bytes": file.bytes,
                "top1": file.top1,
                "loss_points": loss_points(file, bundle.files),
                **asdict(one),
                "host_ms": None if host is None else host.latency_ms,
                "host_high_ms": None if host is None else host.high_ms,
            }
        )
    return {
        "device": like.device,
        "threads": like.threads,
        "files": files,
        "recommendation": asdict(_choice(bundle, like)),
    }


def _print(bundle: Bundle, like: DeviceLatency) -> None:
    rows = []
    for file in bundle.files:
        one, host = latency_on(file, like), _host(bundle, file.artifact.path.name, like)
        assert one is not None
        loss = loss_points(file, bundle.files)
        rows.append(
            [
                file.artifact.path.name,
                f"{one.latency_ms:.3f}",
                f"{one.high_ms:.3f}",
                _or_blank(one.predicted_ms, 3),
                _or_blank(None if host is None else host.latency_ms, 3),
                _or_blank(one.cold_load_ms, 1),
                _or_blank(one.first_ms, 2),
                _or_blank(one.peak_memory_mb, 1),
                _or_blank(one.energy_mj, 2),
                _or_blank(file.top1, 2),
                _or_blank(loss, 2),
            ]
        )
    columns = ["file", "ms", "at most ms", "predicted ms", "host ms", "cold load ms", "first ms", "peak MB", "mJ"]
    columns += ["top-1 %", "loss"]
    known = [number for number in range(len(columns)) if any(row[number] for row in rows)]
    print_table(
        [columns[number] for number in known],
        [[row[number] for number in known] for row in rows],
        title=f"{like.device}: {like.soc or 'unknown processor'}, {like.threads} thread(s) on cores {list(like.cores)}",
    )
    for note in dict.fromkeys(one.energy_note for file in bundle.files if (one := latency_on(file, like)) is not None):
        print(f"energy: {note}")
    for file in bundle.files:
        one = latency_on(file, like)
        if one is not None and one.settled is False:
            print(f"{file.artifact.path.name}: not as certain as it should be; give it more --processes")
    choice = _choice(bundle, like)
    print(f"ship: {choice.file or 'none of them'}. {choice.reason}")
    for name, reason in choice.passed_over.items():
        print(f"  {name}: {reason}")


def _choice(bundle: Bundle, like: DeviceLatency) -> Recommendation:
    where = (like.device_fingerprint, like.threads)
    return next(one for one in bundle.recommendations if (one.device_fingerprint, one.threads) == where)


def _host(bundle: Bundle, name: str, like: DeviceLatency) -> DeviceLatency | None:
    """What this machine takes for a file with as many threads; None where it is the device itself, or not known."""
    here = local_info().fingerprint
    if like.device_fingerprint == here:
        return None
    for file in bundle.files:
        if file.artifact.path.name == name:
            return latency_on(file, replace(like, device_fingerprint=here))
    return None


def _or_blank(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:.{decimals}f}"
