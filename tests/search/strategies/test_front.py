"""Fronts: nobody on one is beaten, and what lies between two points."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketnas_base.errors import InputError
from search.strategies.front import Point, accuracy_at, around, latency_at, pareto

Points = st.lists(
    st.builds(Point, st.just("net"), st.floats(0.1, 100), st.floats(1, 99)), min_size=1, max_size=12
)  # fmt: skip


def beats(one: Point, other: Point) -> bool:
    as_good = one.latency_ms <= other.latency_ms and one.accuracy >= other.accuracy
    return as_good and (one.latency_ms, one.accuracy) != (other.latency_ms, other.accuracy)


@given(Points)
def test_nobody_on_the_front_is_beaten_and_everybody_else_is(points: list[Point]) -> None:
    front = pareto(points)
    assert front
    for point in points:
        beaten = any(beats(other, point) for other in points)
        assert beaten != (point in front)


@given(Points, st.floats(0, 1))
def test_latency_at_the_accuracy_at_a_latency_is_that_latency(points: list[Point], place: float) -> None:
    front = pareto(points)
    first, last = front[0], front[-1]
    latency_ms = min(max(first.latency_ms + place * (last.latency_ms - first.latency_ms), first.latency_ms),
                     last.latency_ms)  # fmt: skip
    accuracy = accuracy_at(points, latency_ms)
    assert accuracy is not None
    assert first.accuracy <= accuracy <= last.accuracy + 1e-9
    back = latency_at(points, min(accuracy, last.accuracy))
    assert back is not None
    again = accuracy_at(points, min(max(back, first.latency_ms), last.latency_ms))
    assert again == pytest.approx(accuracy, abs=1e-6)


def test_between_two_points_accuracy_grows_with_the_logarithm_of_latency() -> None:
    points = [Point("slow", 4.0, 80.0), Point("fast", 1.0, 70.0), Point("beaten", 3.0, 60.0)]
    assert accuracy_at(points, 2.0) == pytest.approx(75.0)
    assert latency_at(points, 75.0) == pytest.approx(2.0)
    assert accuracy_at(points, 0.9) is None
    assert accuracy_at(points, 4.1) is None
    assert latency_at(points, 69.0) is None
    assert latency_at(points, 81.0) is None
    assert accuracy_at([], 1.0) is None


def test_a_slower_point_that_is_no_better_leaves_the_front_flat() -> None:
    points = [Point("fast", 1.0, 70.0), Point("slow", 4.0, 70.0)]
    assert accuracy_at(points, 3.0) == 70.0
    assert accuracy_at(points, 4.1) is None


def test_a_target_stands_between_two_of_a_family() -> None:
    assert around([3.0, 1.0, 2.0], 1.5) == (1, 2)
    assert around([3.0, 1.0, 2.0], 2.0) == (2, 0)
    with pytest.raises(InputError, match=r"0.5000 ms lies outside the family, whose fastest takes 1.0000 ms"):
        around([3.0, 1.0, 2.0], 0.5)
    with pytest.raises(InputError, match=r"whose slowest takes 3.0000 ms; give more baseline.multipliers"):
        around([3.0, 1.0, 2.0], 3.0)
