"""Deriving an architecture at a target, against enumeration of the whole space."""

import itertools

import numpy as np
import pytest

from latency.predict import CostModel
from pocketnas_base.errors import InputError
from search.derive import most_probable_within


def random_problem(seed: int) -> tuple[list[list[float]], CostModel]:
    rng = np.random.default_rng(seed)
    costs = tuple(tuple(float(c) for c in rng.uniform(-0.02, 1, 4)) for _ in range(5))
    return rng.dirichlet(np.ones(4), 5).tolist(), CostModel(0.5, costs)


@pytest.mark.parametrize("seed", range(8))
def test_it_is_the_most_probable_of_all_architectures_in_the_interval(seed: int) -> None:
    probabilities, costs = random_problem(seed)
    low, high = 2.4, 2.7
    found = most_probable_within(probabilities, costs, low, high)

    def log_probability(choices: tuple[int, ...] | list[int]) -> float:
        return float(sum(np.log(row[i]) for row, i in zip(probabilities, choices, strict=True)))

    inside = [c for c in itertools.product(range(4), repeat=5) if low <= costs.latency_ms(c) <= high]
    best = max(map(log_probability, inside))
    assert low <= costs.latency_ms(found) <= high
    # Latency is cut into steps: at the interval's very edges a better one may be missed, hardly more.
    assert log_probability(found) >= best - 0.05


def test_an_interval_that_holds_nothing_is_refused_by_name() -> None:
    probabilities, costs = random_problem(0)
    with pytest.raises(InputError, match=r"between 90\.0000 and 91\.0000 ms"):
        most_probable_within(probabilities, costs, 90.0, 91.0)
    with pytest.raises(InputError, match="fixed operators alone"):
        most_probable_within(probabilities, costs, 0.1, 0.2)
