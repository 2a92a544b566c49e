"""Predicted against measured: one bar a file, from zero, with the intervals of both."""

from markupsafe import Markup

from pocketnas.report.collect import RunRecord
from pocketnas.report.records import RebenchRow
from pocketnas.report.svg import (
    Figure,
    Scale,
    diamond,
    drawing,
    group,
    label,
    line,
    rectangle,
    text_width,
    tick_text,
    ticks,
    tip,
)
from pocketnas.report.text import APOSTROPHE, clipped, milliseconds, number, runtime_name, signed

WIDE, NARROW = 1072, 360
TOP = 26
BAR = 20
# A slow tenth far out would press everything else against zero: the axis ends here, and the line runs out of it.
LONGEST_TAIL = 1.35


def latency_figure(record: RunRecord) -> Figure:
    """Bars: measured latency. Diamonds: predictions. Dashed: the target."""
    return Figure(_bars(record, wide=True), _bars(record, wide=False))


def ordered_rows(record: RunRecord) -> list[RebenchRow]:
    """The promise first, then the derived net's other files, then the baselines."""
    promise = record.promise
    return sorted(record.rebench, key=lambda row: (row is not promise, row.role != "derived", row.name, row.runtime))


def _bars(record: RunRecord, *, wide: bool) -> Markup:
    rows = ordered_rows(record)
    # A target for another device than the measured one has no place among the bars.
    target = None if record.summary.not_compared else record.summary.target_ms
    width = WIDE if wide else NARROW
    gutter, pitch = (236, 54) if wide else (0, 72)
    margin = 168 if wide else 4
    solid = max([target or 0.0, *(row.high_ms for row in rows), *(row.predicted_high_ms or 0.0 for row in rows)])
    longest = min(max(row.p90_ms for row in rows), solid * LONGEST_TAIL)
    x = Scale(0.0, max(solid, longest) * 1.04, gutter, width - margin)
    bottom = TOP + pitch * len(rows)
    places = ticks(0, x.high, 6 if wide else 4)
    step = places[1] - places[0] if len(places) > 1 else 0.0
    drawn = [line(x(place), TOP, x(place), bottom, "grid") for place in places]
    texts = [tick_text(place, step) for place in places]
    texts[-1] += " ms"
    drawn += [
        label(x(place), bottom + 16, text, "t-small faint", "middle" if x(place) > 10 else None)
        for place, text in zip(places, texts, strict=True)
    ]
    drawn += [_row(record, row, x, TOP + pitch * index, wide=wide) for index, row in enumerate(rows)]
    if target is not None:
        # On a phone the labels stand over the bars, where a line across them would be in the way.
        tops = [TOP + pitch * index for index in range(len(rows))]
        reach = [(TOP - 6, bottom)] if wide else [(top + 34, top + 60) for top in tops]
        drawn += [line(x(target), start, x(target), end, "target") for start, end in reach]
        text = f"target {milliseconds(target)}"
        fits = x(target) - text_width(text, 11) / 2 > 0 and x(target) + text_width(text, 11) / 2 < width
        drawn.append(label(x(target) if fits else width, TOP - 11, text, "t-small", "middle" if fits else "end"))
    return drawing(width, bottom + 22, "Predicted and measured latency of every exported file", *drawn)


def _row(record: RunRecord, row: RebenchRow, x: Scale, top: float, *, wide: bool) -> Markup:
    promise = row is record.promise
    middle = top + 26 if wide else top + 46
    said = f"{runtime_name(row.runtime)} {row.precision}"
    measured = milliseconds(row.latency_ms)
    error = (
        ""
        if row.error_percent is None
        else f"predicted {number(row.predicted_ms or 0.0)} ({signed(row.error_percent)} %)"
    )
    drawn = [
        rectangle(x.start, middle - BAR / 2, x(row.latency_ms) - x.start, BAR, f"bar {_class(row)}"),
        line(x(row.p10_ms), middle, min(x(row.p90_ms), x.end), middle, "tail"),
        line(x(row.latency_ms), middle, x(row.high_ms), middle, "interval"),
        line(x(row.high_ms), middle - 5, x(row.high_ms), middle + 5, "interval-end"),
    ]
    if row.predicted_ms is not None:
        below = middle + BAR / 2 + 7
        if row.predicted_low_ms is not None and row.predicted_high_ms is not None:
            drawn.append(
                line(x(max(0.0, row.predicted_low_ms)), below, x(row.predicted_high_ms), below, "predicted-range")
            )
        drawn.append(diamond(x(row.predicted_ms), below, 5, "predicted"))
    name, role = clipped(row.name, 30), "baseline, " if row.role == "baseline" else ""
    note = f"{role}{said}{f', the table{APOSTROPHE}s runtime' if promise else ''}"
    if wide:
        drawn += [
            label(x.start - 12, middle - 2, name, "t-label", "end"),
            label(x.start - 12, middle + 13, note, "t-small " + ("accent" if promise else "faint"), "end"),
            label(WIDE, middle - 2 if error else middle + 5, measured, "t-number", "end"),
        ]
        if error:
            drawn.append(label(WIDE, middle + 13, error, "t-small faint", "end"))
    else:
        drawn += [
            label(0, top + 14, name, "t-label"),
            label(NARROW, top + 14, measured, "t-number", "end"),
            label(
                0,
                top + 29,
                note if not promise else f"{said}, the table{APOSTROPHE}s runtime",
                "t-small " + ("accent" if promise else "faint"),
            ),
            label(NARROW, top + 29, error, "t-small faint", "end"),
        ]
    about = (
        f"{row.file}\n{measured}, at most {number(row.high_ms)}, median {number(row.median_ms)}, "
        f"10th to 90th percentile {number(row.p10_ms)} to {number(row.p90_ms)}"
    )
    return group(tip(about), *drawn)


def _class(row: RebenchRow) -> str:
    return "own" if row.role == "derived" else "other"
