"""Small multiples over steps: how the search and the trainings went."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pocketnas.report.collect import RunRecord
from pocketnas.report.records import CurvePoint
from pocketnas.report.svg import (
    Figure,
    Scale,
    diamond,
    drawing,
    label,
    line,
    polyline,
    rectangle,
    text_width,
    tick_text,
    ticks,
)
from pocketnas.report.text import milliseconds, number

WIDE, NARROW = 341, 360
HEIGHT = 196
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 34, 26
MOST_POINTS = 400
# Below this a mean hides more than noise.
SMOOTHED_FROM = 40
WINDOWS_PER_CURVE = 16

Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Series:
    """One line. class_: `own` (accent), `other` (grey), `held` (dashed accent). noisy: a mean is drawn over it."""

    points: Points
    class_: str
    noisy: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One small graph. level: a horizontal dashed line and its name. marker: a diamond at the right end."""

    title: str
    series: tuple[Series, ...]
    said: str = ""
    warmup_steps: int = 0
    level: tuple[float, str] | None = None
    marker: float | None = None
    span: tuple[float | None, float | None] = (None, None)


def search_figures(record: RunRecord) -> list[Figure]:
    """Cross entropy, accuracy, expected latency, entropy; then what steered them."""
    curve, search = record.search.curve, record.search
    if not curve:
        return []
    warm = search.warmup_steps
    held_loss = Series(_series(curve, lambda p: p.arch_loss), "held", noisy=True)
    held_accuracy = Series(_series(curve, lambda p: _hundredfold(p.arch_accuracy)), "held", noisy=True)
    loss = Series(_series(curve, lambda p: p.loss), "own", noisy=True)
    accuracy = Series(_series(curve, lambda p: _hundredfold(p.accuracy)), "own", noisy=True)
    expected = Series(_series(curve, lambda p: p.expected_ms), "own")
    entropy = Series(_series(curve, lambda p: p.entropy), "own")
    weight = Series(_series(curve, lambda p: p.latency_weight), "own")
    rate = Series(_series(curve, lambda p: p.learning_rate), "own")
    reward = Series(_series(curve, lambda p: p.reward), "held", noisy=True)
    baseline = Series(_series(curve, lambda p: p.reward_baseline), "own")
    panels = [
        Panel("Cross entropy", (loss, held_loss), _last(loss), warm),
        Panel("Accuracy of a sampled path, %", (accuracy, held_accuracy), _last(accuracy), warm, span=(None, 100.0)),
        Panel(
            "Expected latency, ms",
            (expected,),
            _last(expected),
            warm,
            level=(search.target_ms, "target"),
            marker=search.predicted_ms,
        ),
        Panel("Entropy of the paths, 1 = undecided", (entropy,), _last(entropy), warm, span=(0.0, 1.0)),
        Panel("Weight of latency in the loss", (weight,), _last(weight), warm, span=(0.0, None)),
        Panel("Reward of sampled networks, and its baseline", (baseline, reward), _last(baseline), warm),
        Panel("Learning rate of the weights", (rate,), "", warm, span=(0.0, None)),
    ]
    return [_figure(panel) for panel in panels if any(series.points for series in panel.series)]


def training_figures(record: RunRecord) -> list[Figure]:
    """The derived network beside the baseline, by the same recipe."""

    def panel(title: str, read: Callable[[CurvePoint], float | None], *, noisy: bool, top: float | None) -> Panel:
        networks = sorted(record.training.networks, key=lambda network: network.role == "derived")
        series = tuple(
            Series(_series(network.curve, read), "own" if network.role == "derived" else "other", noisy)
            for network in networks
        )
        return Panel(title, series, span=(0.0 if not noisy else None, top))

    panels = [
        panel("Cross entropy", lambda p: p.loss, noisy=True, top=None),
        panel("Training accuracy, %", lambda p: _hundredfold(p.accuracy), noisy=True, top=100.0),
        panel("Learning rate", lambda p: p.learning_rate, noisy=False, top=None),
    ]
    return [_figure(each) for each in panels if any(series.points for series in each.series)]


def _hundredfold(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _series(curve: Sequence[CurvePoint], read: Callable[[CurvePoint], float | None]) -> Points:
    found = [(float(point.step), value) for point in curve if (value := read(point)) is not None]
    if len(found) <= MOST_POINTS:
        return found
    size = -(-len(found) // MOST_POINTS)
    parts = [found[start : start + size] for start in range(0, len(found), size)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts]


def _last(series: Series) -> str:
    points = running_mean(series.points) if series.noisy else series.points
    return number(points[-1][1]) if points else ""


def running_mean(points: Points) -> Points:
    """Mean of steps and of values over a window, shorter towards the ends.

    Both are averaged so that a slope keeps its place where the window is lopsided: the line stops short of the ends.
    """
    if len(points) < SMOOTHED_FROM:
        return points
    reach = max(1, len(points) // WINDOWS_PER_CURVE // 2)
    means = []
    for index in range(len(points)):
        part = points[max(0, index - reach) : index + reach + 1]
        means.append((sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)))
    return means


def _figure(panel: Panel) -> Figure:
    return Figure(_panel(panel, WIDE), _panel(panel, NARROW))


def _panel(panel: Panel, width: int) -> Markup:
    everything = [point for series in panel.series for point in series.points]
    x = Scale(min(0.0, everything[0][0]), max(px for px, _ in everything), LEFT, width - RIGHT)
    y = Scale(*_span(panel, [py for _, py in everything]), HEIGHT - BOTTOM, TOP)
    places = ticks(y.low, y.high, 4)
    step = places[1] - places[0] if len(places) > 1 else 0.0
    drawn = [label(0, 14, panel.title, "t-label")]
    if panel.said:
        drawn.append(label(width - RIGHT, 14, panel.said, "t-number", "end"))
    if panel.warmup_steps:
        edge = min(x(panel.warmup_steps), x.end)
        drawn.append(rectangle(x.start, TOP, edge - x.start, HEIGHT - TOP - BOTTOM, "warmup"))
        if edge - x.start > text_width("warm-up", 10) + 8:
            drawn.append(label(x.start, TOP - 4, "warm-up", "t-10 faint"))
    for place in places:
        drawn.append(line(x.start, y(place), x.end, y(place), "grid"))
        drawn.append(label(x.start - 6, y(place) + 4, tick_text(place, step), "t-10 faint", "end"))
    steps = ticks(x.low, x.high, 4)
    for place in steps:
        near_end = x(place) > x.end - 12
        drawn.append(
            label(
                x.end if near_end else x(place),
                HEIGHT - 10,
                f"{place:.0f}",
                "t-10 faint",
                "end" if near_end else "middle",
            )
        )
    for series in panel.series:
        smooth = series.noisy and len(series.points) >= SMOOTHED_FROM
        if smooth:
            drawn.append(polyline(_placed(series.points, x, y), f"curve raw {series.class_}"))
        drawn.append(polyline(_placed(running_mean(series.points) if smooth else series.points, x, y),
                              f"curve {series.class_}"))  # fmt: skip
    if panel.level:
        level, name = panel.level
        drawn.append(line(x.start, y(level), x.end, y(level), "target"))
        drawn.append(label(x.start + 5, y(level) - 5, f"{name} {milliseconds(level)}", "t-10"))
    if panel.marker is not None:
        drawn.append(diamond(x.end, y(panel.marker), 4.5, "predicted"))
    return drawing(width, HEIGHT, panel.title, *drawn)


def _span(panel: Panel, values: list[float]) -> tuple[float, float]:
    seen = [*values, *([panel.level[0]] if panel.level else []), *([panel.marker] if panel.marker is not None else [])]
    low, high = min(seen), max(seen)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    wanted_low, wanted_high = panel.span
    return (low - room if wanted_low is None else min(wanted_low, low)), (
        high + room if wanted_high is None else max(wanted_high, high)
    )


def _placed(points: Points, x: Scale, y: Scale) -> Points:
    return [(x(px), y(py)) for px, py in points]
