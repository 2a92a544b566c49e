"""Where probabilities start: at the target, and as even as that allows."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.predict import CostModel
from search.start import at_target

COSTS = st.floats(1e-3, 1.0)
EDGES = st.lists(st.lists(COSTS, min_size=1, max_size=7).map(tuple), min_size=1, max_size=8).map(tuple)


def expected_ms(costs: CostModel, rows: list[list[float]]) -> float:
    return costs.fixed_ms + sum(
        p * ms for row, own in zip(rows, costs.candidate_ms, strict=True) for p, ms in zip(row, own, strict=True)
    )


@pytest.mark.parametrize("target_ms", [1.0, 1.4, 2.2])
def test_probabilities_start_at_the_target_and_as_even_as_that_allows(target_ms: float) -> None:
    costs = CostModel(0.3, ((0.1, 0.4, 0.9), (0.2, 0.5), (0.0, 0.3, 0.6, 1.2)))
    rows = at_target(costs, target_ms)
    assert expected_ms(costs, rows) == pytest.approx(target_ms, rel=1e-6)
    slopes = {
        round((math.log(row[0]) - math.log(row[k])) / (own[k] - own[0]), 6)
        for row, own in zip(rows, costs.candidate_ms, strict=True)
        for k in range(1, len(row))
    }
    assert len(slopes) == 1, "one slope of log p over cost for all edges"


def test_a_target_beyond_every_network_starts_at_the_nearest() -> None:
    costs = CostModel(0.3, ((0.1, 0.4, 0.9), (0.2, 0.5)))
    assert at_target(costs, 50.0)[0][2] > 0.99
    assert at_target(costs, 0.1)[0][0] > 0.99


@given(EDGES, st.floats(0.01, 0.99))
def test_a_target_between_the_cheapest_and_the_dearest_network_is_met(
    edges: tuple[tuple[float, ...], ...], share: float
) -> None:
    costs = CostModel(0.1, edges)
    cheapest, dearest = (0.1 + sum(map(end, edges)) for end in (min, max))
    target_ms = cheapest + share * (dearest - cheapest)
    rows = at_target(costs, target_ms)
    assert expected_ms(costs, rows) == pytest.approx(target_ms, rel=1e-6)
    assert all(math.isclose(sum(row), 1) for row in rows)


def test_a_target_is_met_where_some_candidates_cost_fifty_times_what_others_do() -> None:
    costs = CostModel(0.005, ((0.005, 0.007, 0.012, 0.118, 0.235), (0.009, 0.015, 0.237, 0.481, 0.0)))
    rows = at_target(costs, 0.014)
    assert expected_ms(costs, rows) == pytest.approx(0.014, rel=1e-6)
    assert rows[0][0] > rows[0][1] > rows[0][2] > 0.01, "those that are affordable are not given up"
