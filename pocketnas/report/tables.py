"""The report's tables, as rows of ready text."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from pocketnas.report.collect import RunRecord
from pocketnas.report.figure_latency import ordered_rows
from pocketnas.report.text import (
    DASH,
    count,
    error_size,
    file_size,
    milliseconds,
    number,
    number_or_dash,
    percent,
    runtime_name,
    signed,
)
from pocketnas_base.files import Json

MAX_ENVIRONMENT_ROWS = 500
MAX_VALUE_LENGTH = 2000


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row. strong: what the report is about, set apart from what stands beside it."""

    cells: tuple[str, ...]
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text. The first `names` columns are names; the rest are numbers, set to the right."""

    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    names: int = 1


def rebench_table(record: RunRecord) -> Table:
    """Every measurement of a whole network."""
    rows = [
        TableRow(
            (
                row.name,
                f"{runtime_name(row.runtime)} {row.precision}",
                str(row.threads),
                number(row.latency_ms),
                number(row.high_ms),
                number(row.median_ms),
                f"{number(row.p10_ms)} {DASH} {number(row.p90_ms)}",
                number_or_dash(row.first_ms),
                number_or_dash(row.load_ms),
                f"{row.samples:,} / {row.processes}",
                number_or_dash(row.predicted_ms),
                DASH if row.error_percent is None else f"{signed(row.error_percent)} %",
            ),
            row is record.promise,
        )
        for row in ordered_rows(record)
    ]
    columns = (
        "network",
        "runtime",
        "threads",
        "latency ms",
        "at most ms",
        "median ms",
        f"p10 {DASH} p90",
        "first ms",
        "load ms",
        "samples / processes",
        "predicted ms",
        "error",
    )
    return Table(columns, tuple(rows), names=2)


def accuracy_table(record: RunRecord) -> Table:
    """torch, every exported file, the baselines."""
    summary, baseline = record.summary, record.summary.baseline
    reference = summary.torch_top1
    name = record.architecture.name
    rows = [TableRow((name, "torch", percent(reference), "reference", DASH, DASH), strong=True)]
    for file in record.manifest.files:
        top1 = summary.top1.get(file.runtime) if file.top1 is None else file.top1
        rows.append(
            TableRow(
                (
                    PurePosixPath(file.file).name,
                    f"{runtime_name(file.runtime)} {file.precision}",
                    percent(top1),
                    DASH if top1 is None else f"{signed(top1 - reference, 2)} pt",
                    error_size(file.parity.relative_error if file.parity else None),
                    file_size(file.bytes),
                )
            )
        )
    if baseline.torch_top1 is not None:
        change = f"{signed(baseline.torch_top1 - reference, 2)} pt"
        rows.append(
            TableRow((f"{baseline.name} (baseline)", "torch", percent(baseline.torch_top1), change, DASH, DASH))
        )
    return Table(("network", "run by", "top-1", "from torch", "output difference", "file"), tuple(rows), names=2)


def network_table(record: RunRecord) -> Table:
    """Size of the derived network beside the baseline's."""
    summary, baseline = record.summary, record.summary.baseline
    runtime = summary.table_runtime
    rows = (
        TableRow(
            (
                record.architecture.name,
                count(summary.macs),
                count(summary.parameters),
                milliseconds(summary.promised_ms),
                percent(summary.torch_top1),
            ),
            strong=True,
        ),
        TableRow(
            (
                f"{baseline.name} (baseline)",
                DASH if baseline.macs is None else count(baseline.macs),
                DASH if baseline.parameters is None else count(baseline.parameters),
                milliseconds(baseline.latency_ms(runtime)),
                percent(baseline.torch_top1),
            )
        ),
    )
    return Table(("network", "MACs", "parameters", f"{runtime_name(runtime)}", "top-1"), rows)


def fixed_costs(record: RunRecord) -> str:
    """What the network costs whatever is chosen, in one line."""
    searched = {position.number for position in record.positions}
    fixed = [
        (place, block.latency_ms)
        for place, block in enumerate(record.prediction.blocks, start=1)
        if place not in searched
    ]
    together = record.prediction.invocation_ms + sum(latency_ms for _, latency_ms in fixed)
    places = ", ".join(str(place) for place, _ in fixed)
    return (
        f"blocks {places} and {record.constant_name} ({milliseconds(record.prediction.invocation_ms)}), "
        f"{milliseconds(together)} together"
    )


def environment_tables(record: RunRecord) -> tuple[tuple[str, Table], ...]:
    """environment.json, one table for each of its topmost entries, then where the latency table comes from."""
    flat: dict[str, list[TableRow]] = {}
    for number_, (path, value) in enumerate(_flattened(record.environment)):
        if number_ == MAX_ENVIRONMENT_ROWS:
            flat.setdefault("left out", []).append(TableRow(("more", f"only {MAX_ENVIRONMENT_ROWS} entries are shown")))
            break
        head, *rest = path
        flat.setdefault(head, []).append(TableRow((".".join(rest) or head, value)))
    facts = record.table.info.facts()
    flat["latency table"] = [TableRow((key, plain_value(value))) for key, value in facts.items()]
    flat["files"] = [TableRow((PurePosixPath(f.file).name, f"sha256 {f.sha256}")) for f in record.manifest.files]
    return tuple((name, Table(("", ""), tuple(rows), names=2)) for name, rows in flat.items())


def _flattened(value: Json, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flattened(inner, (*path, key))
    else:
        yield path or ("value",), plain_value(value)


def plain_value(value: Json) -> str:
    """A value of a JSON document in one line."""
    if isinstance(value, list):
        separator = "; " if any(isinstance(inner, dict) for inner in value) else ", "
        text = separator.join(map(plain_value, value)) or DASH
    elif isinstance(value, dict) and value:
        text = ", ".join(f"{key} {plain_value(inner)}" for key, inner in value.items())
    elif value is None or value == {}:
        text = DASH
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    else:
        text = str(value)
    return text if len(text) <= MAX_VALUE_LENGTH else text[: MAX_VALUE_LENGTH - 1] + "…"
