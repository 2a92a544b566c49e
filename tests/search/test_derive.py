"""Deriving an architecture at a target, against enumeration of the whole space."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from latency.library import load_table
from latency.predict import CostModel
from pocketnas.space_costs import costs_of
from pocketnas_base.errors import InputError
from search.derive import TOLERANCE, check_target, derive_at, latency_range, most_probable_within
from search.space import load_space


def random_problem(seed: int) -> tuple[list[list[float]], CostModel]:
    rng = np.random.default_rng(seed)
    costs = tuple(tuple(float(c) for c in rng.uniform(-0.02, 1, 4)) for _ in range(5))
    return rng.dirichlet(np.ones(4), 5).tolist(), CostModel(0.5, costs)


def log_probability(probabilities: list[list[float]], choices: tuple[int, ...] | list[int]) -> float:
    return float(sum(np.log(row[i]) for row, i in zip(probabilities, choices, strict=True)))


def best_within(probabilities: list[list[float]], costs: CostModel, low_ms: float, high_ms: float) -> float | None:
    """log p of the most probable of all architectures in the interval, by looking at each."""
    inside = [c for c in itertools.product(range(4), repeat=5) if low_ms <= costs.latency_ms(c) <= high_ms]
    return max((log_probability(probabilities, c) for c in inside), default=None)


@pytest.mark.parametrize("enumerated", [100_000, 0], ids=["enumerated", "by dynamic programming"])
@pytest.mark.parametrize("seed", range(8))
def test_it_is_the_most_probable_of_all_architectures_in_the_interval(
    seed: int, enumerated: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.derive.ENUMERATED", enumerated)
    probabilities, costs = random_problem(seed)
    low, high = 2.4, 2.7
    found = most_probable_within(probabilities, costs, low, high)
    assert low <= costs.latency_ms(found) <= high
    best = best_within(probabilities, costs, low, high)
    assert best is not None
    # Where steps of latency are merged, a better one may be missed at the interval's very edges, hardly more.
    assert log_probability(probabilities, found) >= best - (1e-9 if enumerated else 0.05)


@given(st.integers(0, 10_000), st.floats(0.2, 6), st.none() | st.floats(0.95, 1.05))
def test_what_is_derived_is_at_the_target_and_never_above_the_limit(seed: int, target_ms: float, limit: float) -> None:
    """And where nothing can be derived, that was said before the search: probabilities have no say in it."""
    probabilities, costs = random_problem(seed)
    max_ms = None if limit is None else limit * target_ms
    try:
        check_target(costs, target_ms, max_ms)
    except InputError:
        high_ms = min((1 + TOLERANCE) * target_ms, math.inf if max_ms is None else max_ms)
        assert best_within(probabilities, costs, (1 - TOLERANCE) * target_ms, high_ms) is None
        return
    found_ms = costs.latency_ms(derive_at(probabilities, costs, target_ms, max_ms))
    assert abs(found_ms / target_ms - 1) <= TOLERANCE + 1e-12
    assert max_ms is None or found_ms <= max_ms
    if best_within(probabilities, costs, (1 - TOLERANCE) * target_ms, min(target_ms, max_ms or target_ms)) is not None:
        assert found_ms <= target_ms, "above the target only where nothing at it is below"


def test_above_the_target_only_where_nothing_is_below_it_and_the_limit_allows_it() -> None:
    costs = CostModel(1.0, ((0.5, 1.01, 4.0),))
    even = [[1 / 3] * 3]
    assert derive_at(even, costs, 2.0) == [1]
    with pytest.raises(InputError, match=r"between 1\.9600 and 2\.0000 ms; all take between 1\.5000 and 5\.0000 ms"):
        derive_at(even, costs, 2.0, max_ms=2.0)


@pytest.mark.parametrize(
    ("target_ms", "max_ms", "message"),
    [
        (2.0, 1.9, r"nothing at the target of 2 ms takes 1\.9 ms \(max_ms\) or less; lower the target, or raise"),
        (0.9, None, r"the target of 0\.9 ms cannot be met: .* take 1\.5 to 5 ms"),
        (6.0, None, r"the target of 6 ms cannot be met: .* take 1\.5 to 5 ms"),
        (3.0, None, r"predicted to take between 2\.9400 and 3\.0600 ms; all take between 1\.5000 and 5\.0000 ms"),
    ],
)
def test_a_target_that_cannot_be_met_is_refused_beforehand(
    target_ms: float, max_ms: float | None, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        check_target(CostModel(1.0, ((0.5, 1.01, 4.0),)), target_ms, max_ms)
    assert len(str(caught.value).splitlines()) == 1


@given(st.floats(0, 1), st.integers(0, 1000))
def test_every_target_of_a_large_space_is_met(share: float, seed: int) -> None:
    """The published space of 10^17 networks, probabilities as decided as a search's end or not at all."""
    space = load_space("mobile")
    costs = costs_of(load_table("pixel1"), space)
    cheapest_ms, dearest_ms = latency_range(costs)
    target_ms = 1.01 * cheapest_ms + share * (dearest_ms - 1.01 * cheapest_ms)
    assume(target_ms > 0)
    check_target(costs, target_ms)
    drawn = np.random.default_rng(seed)
    rows = [drawn.dirichlet([0.05] * len(row)).tolist() for row in costs.candidate_ms]
    found_ms = costs.latency_ms(derive_at(rows, costs, target_ms, target_ms))
    assert (1 - TOLERANCE) * target_ms <= found_ms <= target_ms


def test_an_interval_that_holds_nothing_is_refused_by_name() -> None:
    probabilities, costs = random_problem(0)
    with pytest.raises(InputError, match=r"between 90\.0000 and 91\.0000 ms"):
        most_probable_within(probabilities, costs, 90.0, 91.0)
    with pytest.raises(InputError, match="fixed operators alone"):
        most_probable_within(probabilities, costs, 0.1, 0.2)
