"""The report's table of files to ship, one for each device that they were measured on."""

from dataclasses import dataclass

from pocketnas.report.records import DeployedFile, DeployedLatency, ManifestRecord, RecommendationRecord
from pocketnas.report.tables import Table, TableRow
from pocketnas.report.text import DASH, file_size, number, number_or_dash, percent, runtime_name

_COLUMNS = (
    "file",
    "runtime",
    "size",
    "top-1",
    "latency ms",
    "at most ms",
    "predicted ms",
    "cold load ms",
    "first ms",
    "peak MB",
    "mJ",
)


@dataclass(frozen=True, slots=True)
class DeployTable:
    """The files on one device. verdict, reason: which to ship and why. notes: why the others are not, and what a figure
    could not be read for."""

    device: str
    threads: int
    table: Table
    verdict: str
    reason: str
    notes: tuple[str, ...]


def deploy_tables(manifest: ManifestRecord) -> tuple[DeployTable, ...]:
    """One table a device and number of threads, in the order in which they were measured; none before that."""
    return tuple(_table(manifest, one) for one in manifest.recommendations)


def _table(manifest: ManifestRecord, choice: RecommendationRecord) -> DeployTable:
    measured = [(file, _on(file, choice)) for file in manifest.files]
    rows = tuple(_row(file, latency, strong=file.file == choice.file) for file, latency in measured)
    unread = dict.fromkeys(one.energy_note for _, one in measured if one and one.energy_mj is None and one.energy_note)
    return DeployTable(
        device=choice.device,
        threads=choice.threads,
        table=Table(_COLUMNS, rows, names=2),
        verdict="no file qualifies" if choice.file is None else f"ship {choice.file}",
        reason=choice.reason,
        notes=(
            *(f"{name}: {reason}" for name, reason in choice.passed_over.items()),
            *(f"energy is unreadable: {note}" for note in unread),
        ),
    )


def _on(file: DeployedFile, choice: RecommendationRecord) -> DeployedLatency | None:
    where = (choice.device_fingerprint, choice.threads)
    return next((one for one in file.latency if (one.device_fingerprint, one.threads) == where), None)


def _row(file: DeployedFile, one: DeployedLatency | None, *, strong: bool) -> TableRow:
    names = (
        file.file,
        f"{runtime_name(file.runtime)} {file.precision}",
        file_size(file.bytes),
        DASH if file.top1 is None else percent(file.top1),
    )
    if one is None:
        return TableRow((*names, *[DASH] * (len(_COLUMNS) - len(names))), strong)
    return TableRow(
        (
            *names,
            number(one.latency_ms),
            number(one.high_ms),
            number_or_dash(one.predicted_ms),
            number_or_dash(one.cold_load_ms),
            number_or_dash(one.first_ms),
            number_or_dash(one.peak_memory_mb),
            number_or_dash(one.energy_mj),
        ),
        strong,
    )
