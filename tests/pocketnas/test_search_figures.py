"""What is said over seeds: means, ratios and bounds, held against figures worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketnas.searches.standing import Spent, cost_ratio, latency_ratio, points_above
from pocketnas.searches.statistics import difference_of, mean_of, ratio_of
from search.strategies.front import Point

FAMILY = [Point("x0.5", 1.0, 70.0), Point("x0.7", 2.0, 74.0), Point("x1.0", 4.0, 78.0)]


def winner(latency_ms: float, accuracy: float) -> Point:
    return Point("winner", latency_ms, accuracy)


@given(st.lists(st.floats(1, 100), min_size=2, max_size=6))
def test_an_interval_lies_within_the_seeds_and_holds_the_mean(values: list[float]) -> None:
    found = mean_of(values)
    assert found.low is not None
    assert found.high is not None
    assert min(values) - 1e-9 <= found.low <= found.value + 1e-9
    assert found.value - 1e-9 <= found.high <= max(values) + 1e-9


def test_equal_seeds_leave_no_doubt_and_one_seed_says_nothing_of_it() -> None:
    assert mean_of([3.0, 3.0, 3.0]).low == mean_of([3.0, 3.0, 3.0]).high == 3.0
    assert mean_of([3.0]).low is None


def test_seeds_are_drawn_together() -> None:
    """What is common to a seed drops out of a ratio and of a difference."""
    ratio = ratio_of([2.0, 20.0, 200.0], [1.0, 10.0, 100.0])
    assert (ratio.value, ratio.low, ratio.high) == (2.0, 2.0, 2.0)
    difference = difference_of([2.0, 21.0, 200.5], [1.0, 20.0, 199.5])
    assert (difference.value, difference.low, difference.high) == (1.0, 1.0, 1.0)


def test_a_ratio_is_one_of_means_with_an_interval_that_seeds_spread() -> None:
    ratio = ratio_of([1.0, 3.0], [1.0, 1.0])
    assert (ratio.value, ratio.low, ratio.high) == (2.0, 1.0, 3.0)


def test_points_above_are_taken_at_the_winners_latency() -> None:
    found = points_above([winner(2.0, 75.0), winner(2.0**0.5, 75.0)], [FAMILY, FAMILY])
    assert found is not None
    assert found.value == pytest.approx((1.0 + 3.0) / 2)
    assert points_above([winner(0.5, 75.0)], [FAMILY]) is None
    assert points_above([winner(2.0, 75.0), winner(5.0, 75.0)], [FAMILY, FAMILY]) is None


def test_times_as_fast_is_taken_at_the_winners_accuracy() -> None:
    even = latency_ratio([winner(1.0, 74.0), winner(2.0, 76.0)], [FAMILY, FAMILY])
    assert even.ratio.value == pytest.approx((2.0 + 8.0**0.5) / 3.0)
    assert (even.at_least, even.at_most) == (0, 0)
    ahead = latency_ratio([winner(2.0, 80.0)], [FAMILY])
    assert (ahead.ratio.value, ahead.at_least, ahead.at_most) == (2.0, 1, 0)
    assert ahead.text == "2.00 (at least in 1 of the seeds)"
    behind = latency_ratio([winner(2.0, 60.0), winner(2.0, 74.0)], [FAMILY, FAMILY])
    assert (behind.ratio.value, behind.at_least, behind.at_most) == (0.75, 0, 1)


def test_a_rivals_cost_is_counted_until_it_is_as_good() -> None:
    ours = [Spent(10.0, 100.0, 0, 80.0), Spent(10.0, 100.0, 0, 90.0)]
    first = [Spent(50.0, 500.0, 1, 70.0), Spent(150.0, 1500.0, 3, 80.0), Spent(400.0, 4000.0, 8, 85.0)]
    never = [Spent(50.0, 500.0, 1, 70.0), Spent(400.0, 4000.0, 8, 85.0)]
    found = cost_ratio([first, never], ours)
    assert found.ratio.value == pytest.approx((150 + 400) / 20)
    assert found.at_least == 1
    assert cost_ratio([first, never], ours, "images").ratio.value == pytest.approx((1500 + 4000) / 200)
