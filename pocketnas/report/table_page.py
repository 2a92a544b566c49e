"""A latency table as one page: heat map, findings, rows, provenance. Loads nothing, like the report."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from latency.check import Finding
from latency.opspec import OpSpec
from latency.predict import operator_ms
from latency.table import Entry, LatencyTable
from pocketnas.report.figure_heat import FULL, Cell, Row, heat_map, shape_note, shape_of
from pocketnas.report.svg import Figure
from pocketnas.report.tables import Table, TableRow, plain_value
from pocketnas.report.templates import template
from pocketnas.report.text import DASH, count, milliseconds, number, number_or_dash, table_text
from pocketnas_base.errors import InputError
from pocketnas_base.files import write_text

TEMPLATE = "table.html.jinja"
# More is no page that anyone reads; `--json` and `table export` give any number of rows.
MAX_ROWS = 5000
BLOCKS = ("mbconv", "sepconv", "dilconv", "avgpool", "maxpool")
MAX_SHAPES = 1000
MAX_CHOICES = 64


def write_table_page(table: LatencyTable, path: Path, findings: Sequence[Finding], not_checked: str | None) -> None:
    """Write the page, whole or not at all. not_checked: why missing rows were not looked for; None where they were.

    Raises InputError for a table of more rows than a page can show.
    """
    entries = table.entries()
    if len(entries) > MAX_ROWS:
        raise InputError(f"the table of {table.name} has {len(entries)} rows; a page shows at most {MAX_ROWS}")
    info = table.info
    page = template(TEMPLATE).render(
        name=table.name,
        info=info,
        table_text=table_text,
        rows=len(entries),
        heat=heat_figure(table),
        constant="constant" if info.rows == "share" else "empty model",
        constant_ms=milliseconds(table.invocation_ms),
        findings=findings,
        not_checked=not_checked,
        all_rows=_rows(table),
        provenance=Table(
            ("", ""),
            tuple(TableRow((key, plain_value(value))) for key, value in info.facts().items()),
            names=2,
        ),
        tool_version=version("pocketnas"),
    )
    write_text(path, page)


def heat_figure(table: LatencyTable) -> Figure | None:
    """What each block's choices add, one row a shape and place; None for a table without blocks."""
    blocks = [entry for entry in table.entries() if entry.op.kind in BLOCKS]
    blocks += [entry for entry in table.entries() if entry.op.kind == "zero" and entry.place is not None]
    shapes: dict[tuple[int, OpSpec, str], dict[str, Entry]] = {}
    for entry in blocks:
        at = -1 if entry.place is None else entry.place
        shapes.setdefault((at, shape_of(entry.op), entry.op.activation), {})[entry.op.choice] = entry
    columns = list(dict.fromkeys(entry.op.choice for entry in sorted(blocks, key=lambda entry: _order(entry.op))))
    if not columns:
        return None
    if len(shapes) > MAX_SHAPES or len(columns) > MAX_CHOICES:
        raise InputError(
            f"the table of {table.name} has {len(shapes)} shapes and {len(columns)} choices; a page shows at most "
            f"{MAX_SHAPES} and {MAX_CHOICES}"
        )
    costs = {entry.key: operator_ms(table, entry.op, entry.place) for entry in blocks}
    low, high = min(0.0, *costs.values()), max(0.0, *costs.values())
    rows = []
    for (place, shape, activation), cells in sorted(
        shapes.items(), key=lambda item: (item[0][0], -item[0][1].resolution)
    ):
        drawn = [_cell(cells.get(name), costs, low, high) for name in columns]
        channels, _, size = shape_note(shape).partition(", ")
        size += "" if activation == "relu6" else f", {activation}"
        title, note = (f"place {place}", f"{channels}, {size}") if place >= 0 else (channels, size)
        rows.append(Row(title, note, tuple(drawn)))
    return heat_map(columns, rows, (number(low), f"{number(high)} ms"), "What every choice adds to a network", FULL)


def _order(op: OpSpec) -> tuple[bool, bool, int, int, float, str]:
    """Fixed first blocks, then kernel-major, as spaces list their candidates, Zero last."""
    return op.kind == "zero", op.expansion > 1, op.kernel, op.expansion, op.squeeze_excite, op.kind


def _cell(entry: Entry | None, costs: dict[str, float], low: float, high: float) -> Cell | None:
    if entry is None:
        return None
    cost = costs[entry.key]
    text = number(cost, 2 if abs(cost) < 0.1 else 3)
    share = (cost - low) / (high - low or 1.0)
    return Cell(text, share, f"{entry.key}: {milliseconds(cost)}, {count(entry.op.macs)} MACs", outlined=False)


def _rows(table: LatencyTable) -> Table:
    columns = ("operator", "MACs", "adds ms", "latency ms", "at most ms", "median ms", f"p10 {DASH} p90")
    repeated = any(entry.row.copies is not None for entry in table.entries())
    rows = []
    for entry in table.entries():
        row = entry.row
        adds = table.invocation_ms if entry.op.kind == "empty" else operator_ms(table, entry.op, entry.place)
        rows.append(
            TableRow(
                (
                    entry.key,
                    count(entry.op.macs),
                    number(adds),
                    number(row.latency_ms),
                    number_or_dash(row.high_ms),
                    number_or_dash(row.median_ms),
                    DASH
                    if None in (row.p10_ms, row.p90_ms)
                    else f"{number_or_dash(row.p10_ms)} {DASH} {number_or_dash(row.p90_ms)}",
                    DASH if row.samples is None else f"{row.samples:,} / {row.processes or DASH}",
                    *([str(row.copies or DASH)] if repeated else []),
                )
            )
        )
    return Table((*columns, "samples / processes", *(["copies"] if repeated else [])), tuple(rows))
