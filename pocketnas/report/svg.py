"""Hand-written SVG: elements whose text and attributes are always escaped, scales, ticks.

Colours are classes, not values, so that one drawing serves light and dark mode; text stays text.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

# A sans-serif's mean advance in em; labels are fitted with it, since no font can be measured here.
MEAN_ADVANCE = 0.56

Attribute = str | float | None


@dataclass(frozen=True, slots=True)
class Figure:
    """The same drawing for a desktop's and for a phone's width; style sheets show one of them."""

    wide: Markup
    narrow: Markup


def element(tag: str, *children: Markup | str, **attributes: Attribute) -> Markup:
    """An element. `class_` is class, `font_size` font-size; None leaves an attribute out; numbers to 0.01 units."""
    parts = [f"<{tag}"]
    for name, value in attributes.items():
        if value is not None:
            text = value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
            parts.append(f' {name.rstrip("_").replace("_", "-")}="{escape(text)}"')
    if not children:
        return Markup("".join(parts) + "/>")
    return Markup("".join(parts) + ">" + "".join(escape(child) for child in children) + f"</{tag}>")


def drawing(width: float, height: float, title: str, *children: Markup) -> Markup:
    """A whole picture; `title` is what a screen reader says."""
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=math.ceil(width),
        height=math.ceil(height),
        role="img",
        aria_label=title,
    )


def label(x: float, y: float, text: str, class_: str = "", anchor: str | None = None) -> Markup:
    """Text with its baseline at y. anchor: `middle` or `end`; None starts at x."""
    return element("text", text, x=x, y=y, class_=class_ or None, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def rectangle(x: float, y: float, width: float, height: float, class_: str | None, **more: Attribute) -> Markup:
    """A rectangle; a negative extent is drawn as none."""
    return element("rect", x=x, y=y, width=max(0.0, width), height=max(0.0, height), class_=class_, **more)


def tip(text: str) -> Markup:
    """What a pointer resting on the parent shows."""
    return element("title", text)


def group(*children: Markup) -> Markup:
    """Elements that share a tip."""
    return element("g", *children)


def diamond(x: float, y: float, radius: float, class_: str) -> Markup:
    """The mark of a prediction, here and everywhere."""
    path = f"M{x:.2f} {y - radius:.2f}L{x + radius:.2f} {y:.2f}L{x:.2f} {y + radius:.2f}L{x - radius:.2f} {y:.2f}Z"
    return element("path", d=path, class_=class_)


def polyline(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    """A line through points."""
    return element("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), class_=class_)


def text_width(text: str, size_px: float) -> float:
    """About how wide `text` is drawn, in px."""
    return len(text) * size_px * MEAN_ADVANCE


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from data [low, high] to px [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        return self.start + (self.end - self.start) * ((value - self.low) / span if span else 0.5)


def ticks(low: float, high: float, about: int) -> list[float]:
    """About `about` round numbers (1, 2, 2.5 or 5 times a power of ten) within [low, high]."""
    if not high > low:
        return [low]
    raw = (high - low) / max(1, about)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_text(value: float, step: float) -> str:
    """A tick's label with as many decimals as its step needs."""
    decimals = 0 if step <= 0 else max(0, -math.floor(math.log10(step) + 1e-9))
    if decimals and abs(step * 10**decimals - round(step * 10**decimals)) > 1e-6:
        decimals += 1
    return f"{value:.{decimals}f}"
