"""A front: accuracy over latency, one dot a network, a line along those that none beats."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pocketnas.report.svg import (
    Figure,
    Scale,
    drawing,
    element,
    group,
    label,
    line,
    polyline,
    text_width,
    tick_text,
    ticks,
    tip,
)
from pocketnas.report.text import milliseconds, percent

WIDE, NARROW = 1072, 360
HEIGHT, TOP, BOTTOM, LEFT, RIGHT = 300, 22, 34, 52, 30


@dataclass(frozen=True, slots=True)
class Dot:
    """One network. accuracy: percent."""

    name: str
    target_ms: float
    latency_ms: float
    accuracy: float
    on_front: bool


def front_figure(dots: Sequence[Dot], title: str) -> Figure:
    """Filled: on the front. Grey: beaten. Dashed: the targets, each a limit for its network."""
    return Figure(_plane(dots, title, WIDE), _plane(dots, title, NARROW))


def _plane(dots: Sequence[Dot], title: str, width: int) -> Markup:
    times = [ms for dot in dots for ms in (dot.latency_ms, dot.target_ms)]
    heights = [dot.accuracy for dot in dots]
    reach, room = (0.08 * (max(times) - min(times)) or 0.1 * max(times)), 0.12 * (max(heights) - min(heights)) or 1.0
    x = Scale(max(0.0, min(times) - reach), max(times) + reach, LEFT, width - RIGHT)
    y = Scale(max(0.0, min(heights) - room), min(100.0, max(heights) + room), HEIGHT - BOTTOM, TOP)
    drawn = [*_grid(x, y, 6 if width == WIDE else 4)]
    drawn += [line(x(dot.target_ms), y.end, x(dot.target_ms), y.start, "target") for dot in dots]
    best = sorted((dot for dot in dots if dot.on_front), key=lambda dot: dot.latency_ms)
    if len(best) > 1:
        drawn.append(polyline([(x(dot.latency_ms), y(dot.accuracy)) for dot in best], "curve own"))
    drawn += [_dot(dot, x, y) for dot in sorted(dots, key=lambda dot: dot.on_front)]
    return drawing(width, HEIGHT, title, *drawn)


def _grid(x: Scale, y: Scale, about: int) -> list[Markup]:
    drawn = [label(0, TOP - 10, "top-1 %", "t-small faint")]
    marks = ticks(y.low, y.high, 5)
    step = marks[1] - marks[0] if len(marks) > 1 else 0.0
    for mark in marks:
        drawn += [
            line(x.start, y(mark), x.end, y(mark), "grid"),
            label(x.start - 8, y(mark) + 4, tick_text(mark, step), "t-small faint", "end"),
        ]
    places = ticks(x.low, x.high, about)
    step = places[1] - places[0] if len(places) > 1 else 0.0
    for place in places:
        text = tick_text(place, step) + (" ms" if place == places[-1] else "")
        drawn.append(label(x(place), HEIGHT - BOTTOM + 20, text, "t-small faint", "middle"))
    return drawn


def _dot(dot: Dot, x: Scale, y: Scale) -> Markup:
    across, up = x(dot.latency_ms), y(dot.accuracy)
    of_target = f"{milliseconds(dot.latency_ms)} for a target of {milliseconds(dot.target_ms)}"
    about = f"{dot.name}\n{of_target}, {percent(dot.accuracy)}"
    said = f"{dot.accuracy:.2f}"
    # To the left: a network lies at its limit's left, and the front rises to the right.
    fits = across - text_width(said, 11) > x.start
    return group(
        tip(about),
        element("circle", cx=across, cy=up, r=5, class_="dot-own" if dot.on_front else "dot-sum"),
        label(across, up - 10, said, "t-small", "end" if fits else None),
    )
