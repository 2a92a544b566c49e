"""Measurements of a bundle's files, as its manifest keeps them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version

from android_bench.device import Device
from android_bench.parsers.text import name
from android_bench.protocol import Protocol
from deploy.choice import recommend
from deploy.fingerprint import architecture_sha256
from deploy.manifest import HOST, Bundle, DeviceLatency, ExportedFile
from latency.predict import predict
from latency.table import LatencyTable, TableRow
from pocketnas.alone import Alone
from pocketnas.taken_table import why_not_compared
from search.architecture import Architecture


@dataclass(frozen=True, slots=True)
class Promise:
    """What a table says of a network before it is measured; times in ms."""

    latency_ms: float
    low_ms: float | None
    high_ms: float | None


@dataclass(frozen=True, slots=True)
class Foretold:
    """A table and the architecture that it may speak of."""

    table: LatencyTable
    architecture: Architecture

    def of(self, file: ExportedFile, device: Device, threads: int) -> Promise | None:
        """The table's word on a file; None where it is of another device, runtime, precision, number of threads or
        network."""
        info = self.table.info
        same = (
            why_not_compared(info, device.id, device.info.fingerprint) is None
            and info.runtime == file.artifact.runtime
            and info.precision == file.artifact.precision
            and info.threads == threads
            and architecture_sha256(self.architecture) == file.architecture_sha256
        )
        if not same:
            return None
        prediction = predict(self.table, self.architecture.ops)
        return Promise(prediction.latency_ms, prediction.low_ms, prediction.high_ms)


def device_latency(
    device: Device,
    protocol: Protocol,
    row: TableRow,
    alone: Alone,
    promise: Promise | None,
    tolerated: Collection[str],
) -> DeviceLatency:
    """One file's figures on one device. tolerated: the reasons that befell its measurements and were overlooked."""
    assert row.high_ms is not None  # our own runner's samples give all of these
    assert row.median_ms is not None
    assert row.ci_low_ms is not None
    assert row.ci_high_ms is not None
    assert row.samples is not None
    assert row.processes is not None
    return DeviceLatency(
        device=device_name(device),
        device_fingerprint=device.info.fingerprint,
        model=name(device.info.model),
        soc=name(device.info.soc),
        os_version=name(device.info.os_version),
        runtime_version=alone.runtime_version,
        threads=protocol.threads,
        cores=protocol.cores or (),
        latency_ms=row.latency_ms,
        high_ms=row.high_ms,
        median_ms=row.median_ms,
        ci_low_ms=row.ci_low_ms,
        ci_high_ms=row.ci_high_ms,
        cold_load_ms=alone.cold_load_ms,
        first_ms=alone.first_ms,
        peak_memory_mb=alone.peak_memory_mb,
        energy_mj=alone.energy_mj,
        energy_note=alone.energy_note,
        predicted_ms=None if promise is None else promise.latency_ms,
        predicted_low_ms=None if promise is None else promise.low_ms,
        predicted_high_ms=None if promise is None else promise.high_ms,
        samples=row.samples,
        processes=row.processes,
        settled=row.settled,
        tolerated=tuple(sorted(tolerated)),
        date_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        tool_version=version("pocketnas"),
    )


def device_name(device: Device) -> str:
    """How a bundle names a device: never by a serial number or an address, which only its owner may know."""
    return HOST if device.is_local else name(device.info.model) or "a phone of unknown model"


def with_latencies(bundle: Bundle, found: Mapping[str, DeviceLatency], most_loss_points: float) -> Bundle:
    """The bundle with these figures by file name in the place of older ones of the same device and threads, and with
    the file to ship there named. Raises InputError for a loss that makes no sense."""
    measured_on = next(iter(found.values()))
    where = (measured_on.device_fingerprint, measured_on.threads)
    files = tuple(
        replace(
            file,
            latency=(
                *(one for one in file.latency if (one.device_fingerprint, one.threads) != where),
                *([found[file.artifact.path.name]] if file.artifact.path.name in found else []),
            ),
        )
        for file in bundle.files
    )
    others = (one for one in bundle.recommendations if (one.device_fingerprint, one.threads) != where)
    choice = recommend(files, measured_on, most_loss_points)
    return replace(bundle, files=files, recommendations=(*others, choice))
