"""Two heat maps over the searched positions: what each candidate costs, and how likely the search made it."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from latency.opspec import OpSpec
from pocketnas.report.collect import Position, RunRecord
from pocketnas.report.palette import cividis, ink_on_cividis
from pocketnas.report.svg import Figure, drawing, group, label, rectangle, text_width, tip
from pocketnas.report.text import DASH, candidate_lines, clipped, milliseconds, number

HALF, FULL, NARROW = 524, 1072, 360
MOST_BESIDE = 8
HEADER, CELL, GAP = 40, 34, 4
SCALE_STEPS = 48
SCALE_WIDTH = 160


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of a heat map. share: its place on the colour scale. outlined: the derived net stands here."""

    text: str
    share: float
    tip: str
    outlined: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One row; a column without a candidate has no cell."""

    title: str
    note: str
    cells: tuple[Cell | None, ...]


def side_by_side(record: RunRecord) -> bool:
    """Whether both maps fit beside each other."""
    return len(_columns(record)) <= MOST_BESIDE


def table_figure(record: RunRecord) -> Figure:
    """Milliseconds that each candidate adds; positions of one shape share a row, since they share operators."""
    columns = _columns(record)
    shapes: dict[tuple[OpSpec, tuple[float | None, ...]], list[Position]] = {}
    for position in record.positions:
        shapes.setdefault((shape_of(position.op), position.candidate_ms), []).append(position)
    known = [cost for p in record.positions for cost in p.candidate_ms if cost is not None]
    low, high = min([0.0, *known]), max([0.0, *known])
    rows = []
    for (shape, _), positions in shapes.items():
        cells: list[Cell | None] = []
        for column in columns:
            holders = [p for p in positions if column in p.candidates]
            cost = holders[0].candidate_ms[holders[0].candidates.index(column)] if holders else None
            if cost is None:
                cells.append(None)
                continue
            here = [p for p in holders if p.candidates[p.chosen] == column]
            said = f"{shape.in_channels} to {shape.out_channels} channels at {shape.resolution} px, {column}: "
            said += milliseconds(cost) + "".join(f"\nchosen at block {p.number}, {p.name}" for p in here)
            text = number(cost, 2 if abs(cost) < 0.1 else 3)
            cells.append(Cell(text, (cost - low) / (high - low or 1.0), said, bool(here)))
        numbers = _ranges([position.number for position in positions])
        rows.append(
            Row(f"block {numbers}" if len(positions) == 1 else f"blocks {numbers}", shape_note(shape), tuple(cells))
        )
    return _both(record, rows, (number(low), f"{number(high)} ms"), "Latency of every candidate at every position")


def probability_figure(record: RunRecord) -> Figure:
    """The probability of each candidate at the end of the search."""
    columns = _columns(record)
    rows = []
    for position in record.positions:
        of = dict(zip(position.candidates, position.probabilities, strict=True))
        chosen = position.candidates[position.chosen]
        cells = [
            Cell(f"{of[name]:.2f}", of[name], f"{position.name}, {name}: {of[name]:.4f}", name == chosen)
            if name in of
            else None
            for name in columns
        ]
        rows.append(Row(f"block {position.number}", clipped(position.name, 20), tuple(cells)))
    return _both(record, rows, ("0", "probability 1"), "Probability of every candidate at every position")


def _ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers in few characters: `4, 6-8`, with a proper dash."""
    runs: list[list[int]] = []
    for each in numbers:
        if runs and each == runs[-1][-1] + 1:
            runs[-1].append(each)
        else:
            runs.append([each])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}{DASH}{run[-1]}" for run in runs)


def shape_of(op: OpSpec) -> OpSpec:
    """The position's shape, whatever stands there: two positions are one row when only the choice differs."""
    return OpSpec("mbconv", op.in_channels, op.out_channels, 1, 1, op.stride, op.resolution)


def shape_note(op: OpSpec) -> str:
    stride = f", stride {op.stride}" if op.stride > 1 else ""
    return f"{op.in_channels}→{op.out_channels} ch, {op.resolution} px{stride}"


def _columns(record: RunRecord) -> tuple[str, ...]:
    """Every candidate's name once, in the order of the space, Zero last."""
    names = dict.fromkeys(name for position in record.positions for name in position.candidates)
    return (*(name for name in names if name != "zero"), *(name for name in names if name == "zero"))


def _both(record: RunRecord, rows: Sequence[Row], ends: tuple[str, str], title: str) -> Figure:
    columns = _columns(record)
    wide = HALF if side_by_side(record) else FULL
    return heat_map(columns, rows, ends, title, wide)


def heat_map(columns: Sequence[str], rows: Sequence[Row], ends: tuple[str, str], title: str, width: int) -> Figure:
    """A map of cells under their columns; `ends` are written at the ends of its colour scale."""
    return Figure(_map(columns, rows, ends, title, width, 128), _map(columns, rows, ends, title, NARROW, 84))


def _map(
    columns: Sequence[str], rows: Sequence[Row], ends: tuple[str, str], title: str, width: int, gutter: int
) -> Markup:
    pitch = (width - gutter - 3) / len(columns)
    size = 11 if pitch >= 44 else 10
    drawn = []
    for index, name in enumerate(columns):
        centre = gutter + pitch * (index + 0.5)
        first, second = (clipped(text, max(2, int(pitch / (10 * 0.58)))) for text in candidate_lines(name))
        drawn.append(label(centre, 14 if second else 27, first, f"t-{size}", "middle"))
        drawn.append(label(centre, 27, second, f"t-{size}", "middle"))
    for place, row in enumerate(rows):
        top = HEADER + CELL * place
        drawn.append(label(0, top + 14, clipped(row.title, int(gutter / 6.2)), "t-11"))
        drawn.append(label(0, top + 27, _shortened(row.note, gutter), "t-10 faint"))
        drawn += [_cell(cell, gutter + pitch * index, top, pitch, size) for index, cell in enumerate(row.cells)]
    bottom = HEADER + CELL * len(rows)
    drawn.append(_colour_scale(ends, gutter, bottom + 14))
    return drawing(width, bottom + 32, title, *drawn)


def _shortened(note: str, gutter: int) -> str:
    """The part of a note that fits: whole parts between commas first, then letters."""
    parts = note.split(", ")
    while len(parts) > 1 and text_width(", ".join(parts), 10) > gutter:
        parts.pop()
    return clipped(", ".join(parts), int(gutter / 5.4))


def _cell(cell: Cell | None, left: float, top: float, pitch: float, size: int) -> Markup:
    if cell is None:
        return label(left + pitch / 2, top + CELL / 2 + 4, "·", "t-11 faint", "middle")
    x, y, w, h = left + GAP / 2, top + GAP / 2, pitch - GAP, CELL - GAP
    drawn = [tip(cell.tip), rectangle(x, y, w, h, None, fill=cividis(cell.share), rx=2)]
    if text_width(cell.text, size) <= w:
        drawn.append(label(x + w / 2, y + h / 2 + 4, cell.text, f"t-{size} {ink_on_cividis(cell.share)}", "middle"))
    if cell.outlined:
        drawn.append(rectangle(x - 1.25, y - 1.25, w + 2.5, h + 2.5, "chosen", rx=3.5))
    return group(*drawn)


def _colour_scale(ends: tuple[str, str], left: float, top: float) -> Markup:
    low, high = ends
    start = left + text_width(low, 11) + 6
    pitch = SCALE_WIDTH / SCALE_STEPS
    steps = [
        rectangle(
            start + pitch * index,
            top,
            pitch + 0.6,
            10,
            None,
            fill=cividis(index / (SCALE_STEPS - 1)),
            shape_rendering="crispEdges",
        )
        for index in range(SCALE_STEPS)
    ]
    return group(
        label(left + 2, top + 9, low, "t-11 faint"),
        *steps,
        label(start + SCALE_WIDTH + 6, top + 9, high, "t-11 faint"),
    )
