"""Networks drawn from a window of latency: all of them in it, none preferred."""

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.predict import CostModel
from pocketnas_base.errors import InputError
from search.strategies.window import WindowSampler

COSTS = CostModel(0.5, ((0.1, 0.2, 0.3), (0.1, 0.2, 0.0), (0.4, 0.2), (0.25, 0.15, 0.35, 0.05)))


def inside(costs: CostModel, low_ms: float, high_ms: float) -> list[tuple[int, ...]]:
    everyone = itertools.product(*(range(len(row)) for row in costs.candidate_ms))
    return [choices for choices in everyone if low_ms <= costs.latency_ms(choices) <= high_ms]


def test_every_network_of_the_window_is_drawn_alike() -> None:
    expected = inside(COSTS, 0.99, 1.13)
    sampler = WindowSampler(COSTS, 0.99, 1.13)
    drawn = Counter(sampler.draw(seed) for seed in range(6000))
    assert set(drawn) == set(expected)
    even = 6000 / len(expected)
    # Six standard deviations of a Poisson count.
    assert all(abs(count - even) < 6 * even**0.5 for count in drawn.values())


def test_draws_follow_the_probabilities_within_the_window() -> None:
    p = [[0.7, 0.2, 0.1], [0.2, 0.2, 0.6], [0.5, 0.5], [0.4, 0.3, 0.2, 0.1]]
    weights = {}
    for choices in inside(COSTS, 0.99, 1.13):
        weights[choices] = 1.0
        for row, index in zip(p, choices, strict=True):
            weights[choices] *= row[index]
    sampler = WindowSampler(COSTS, 0.99, 1.13, p)
    drawn = Counter(sampler.draw(seed) for seed in range(6000))
    for choices, weight in weights.items():
        mean = 6000 * weight / sum(weights.values())
        assert abs(drawn[choices] - mean) < 6 * max(1.0, mean) ** 0.5


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(st.lists(st.floats(-0.2, 2.0), min_size=1, max_size=5), min_size=1, max_size=5),
    place=st.floats(0.0, 1.0),
    share=st.floats(0.05, 1.0),
    seed=st.integers(0, 2**62),
)
def test_what_is_drawn_lies_in_the_window_and_is_legal(
    rows: list[list[float]], place: float, share: float, seed: int
) -> None:
    costs = CostModel(0.3, tuple(map(tuple, rows)))
    least, most = (costs.latency_ms([row.index(pick(row)) for row in rows]) for pick in (min, max))
    high = least + place * (most - least) + 1e-6
    low = high - share * (most - least) - 1e-6
    if not inside(costs, low, high):
        return
    choices = WindowSampler(costs, low, high).draw(seed)
    assert all(0 <= index < len(row) for index, row in zip(choices, rows, strict=True))
    assert low <= costs.latency_ms(choices) <= high


def test_the_only_network_of_a_window_is_drawn_though_it_is_at_its_very_top() -> None:
    costs = CostModel(0.0, ((0.0, 1.0),) * 3)
    assert WindowSampler(costs, 2.9, 3.0).draw(0) == (1, 1, 1)


def test_the_slowest_networks_of_a_window_are_drawn_as_often_as_their_number_says_on_hundreds_of_edges() -> None:
    costs = CostModel(0.0, ((0.0, 1.0),) * 650)
    sampler = WindowSampler(costs, 199.5, 204.5)
    drawn = [sum(sampler.draw(seed)) for seed in range(40)]
    assert set(drawn) <= set(range(200, 205))
    # Of n slow edges there are (650 choose n) networks: of 203 and 204 together, four in five of the window's.
    assert sum(slow >= 203 for slow in drawn) >= 24


@pytest.mark.parametrize(("low", "high", "message"), [(0.5, 0.6, "0.6000 ms or less"), (5, 6, "between 5.0000 and 6")])
def test_an_empty_window_is_one_clear_line(low: float, high: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        WindowSampler(COSTS, low, high)
