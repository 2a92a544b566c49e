"""Fronts of accuracy and latency: who is beaten by nobody, and what lies between two measured points."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pocketnas_base.errors import InputError


@dataclass(frozen=True, slots=True)
class Point:
    """A network on the plane. accuracy: top-1 in percent."""

    name: str
    latency_ms: float
    accuracy: float


def pareto(points: Iterable[Point]) -> list[Point]:
    """The points that no other beats, by latency: none is as fast and more accurate, or faster and as accurate."""
    front: list[Point] = []
    for point in sorted(points, key=lambda each: (each.latency_ms, -each.accuracy)):
        if not front or point.accuracy > front[-1].accuracy:
            front.append(point)
    return front


def accuracy_at(points: Sequence[Point], latency_ms: float) -> float | None:
    """Accuracy of the front at a latency: linear in ln latency between the two neighbours; None outside the points.

    Widths of a family are steps of a factor, and accuracy grows about evenly with the logarithm of latency.
    """
    front = pareto(points)
    if not front or not front[0].latency_ms <= latency_ms <= max(point.latency_ms for point in points):
        return None
    for low, high in itertools.pairwise(front):
        if latency_ms <= high.latency_ms:
            share = math.log(latency_ms / low.latency_ms) / math.log(high.latency_ms / low.latency_ms)
            return low.accuracy + share * (high.accuracy - low.accuracy)
    # Slower points that are no better: the front's last does for them.
    return front[-1].accuracy


def latency_at(points: Sequence[Point], accuracy: float) -> float | None:
    """Latency at which the front reaches an accuracy, the inverse of `accuracy_at`; None outside the front."""
    front = pareto(points)
    if not front or not front[0].accuracy <= accuracy <= front[-1].accuracy:
        return None
    for low, high in itertools.pairwise(front):
        if accuracy <= high.accuracy:
            share = (accuracy - low.accuracy) / (high.accuracy - low.accuracy)
            return float(low.latency_ms * (high.latency_ms / low.latency_ms) ** share)
    return front[-1].latency_ms


def around(latencies_ms: Sequence[float], target_ms: float) -> tuple[int, int]:
    """The two of a family between which a target lies, as indices: the slowest that meets it and the fastest that does
    not. Raises InputError when the target lies outside the family."""
    below = [index for index, ms in enumerate(latencies_ms) if ms <= target_ms]
    above = [index for index, ms in enumerate(latencies_ms) if ms > target_ms]
    if not below or not above:
        which, most = ("fastest", min(latencies_ms)) if not below else ("slowest", max(latencies_ms))
        raise InputError(
            f"the target of {target_ms:.4f} ms lies outside the family, whose {which} takes {most:.4f} ms; give more "
            "baseline.multipliers"
        )
    return max(below, key=lambda index: latencies_ms[index]), min(above, key=lambda index: latencies_ms[index])
