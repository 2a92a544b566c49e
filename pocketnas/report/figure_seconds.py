"""Where the time went: one bar a stage."""

from collections.abc import Mapping

from markupsafe import Markup

from pocketnas.report.svg import Figure, Scale, drawing, label, rectangle
from pocketnas.report.text import clipped, duration

WIDE, NARROW = 524, 360
PITCH, BAR = 24, 12
GUTTER, MARGIN = 92, 84


def seconds_figure(seconds: Mapping[str, float]) -> Figure:
    """Wall time of each stage, in the order they ran."""
    return Figure(_bars(seconds, WIDE), _bars(seconds, NARROW))


def _bars(seconds: Mapping[str, float], width: int) -> Markup:
    x = Scale(0.0, max([*seconds.values(), 1e-9]), GUTTER, width - MARGIN)
    drawn: list[Markup] = []
    for place, (stage, spent) in enumerate(seconds.items()):
        middle = PITCH * (place + 0.5)
        drawn += [
            label(GUTTER - 8, middle + 4, clipped(stage, 14), "t-11", "end"),
            # A stage that took no time to speak of was run all the same.
            rectangle(x.start, middle - BAR / 2, max(1.0, x(spent) - x.start), BAR, "bar other"),
            label(max(x(spent), x.start + 1) + 6, middle + 4, duration(spent), "t-11"),
        ]
    return drawing(width, PITCH * max(1, len(seconds)), "Seconds spent in each stage", *drawn)
