"""Networks drawn from a space."""

import numpy as np
import pytest
from sample_tables import measured_table

from latency.opspec import OpSpec
from pocketnas.space_costs import costs_of
from pocketnas_base.errors import InputError
from search.sampling import random_choices, random_networks, spread_networks
from search.space import SearchSpace, load_space

DEMO = load_space("demo")
COSTS = costs_of(measured_table(DEMO), DEMO)


def latencies_of(count: int) -> list[float]:
    costs: dict[OpSpec, float] = {}
    for edge, row in zip(DEMO.edges, COSTS.candidate_ms, strict=True):
        costs.update(zip(edge.candidates, row, strict=True))
    return [sum(costs.get(op, 0.0) for op in net.ops) for net in spread_networks(DEMO, COSTS, count, 0)]


def test_a_longer_list_begins_with_the_shorter_one() -> None:
    long = spread_networks(DEMO, COSTS, 48, 0)
    assert spread_networks(DEMO, COSTS, 12, 0) == long[:12]
    assert len({net.ops for net in long}) == 48
    assert spread_networks(DEMO, COSTS, 12, 1)[2:] != long[2:12]


def test_the_cheapest_and_the_dearest_are_among_them() -> None:
    found = latencies_of(16)
    assert found[0] == pytest.approx(sum(min(row) for row in COSTS.candidate_ms))
    assert found[1] == pytest.approx(sum(max(row) for row in COSTS.candidate_ms))
    assert all(found[0] <= each <= found[1] for each in found)


def test_they_are_spread_over_the_latencies_of_random_ones() -> None:
    random = np.sort([COSTS.latency_ms(each) - COSTS.fixed_ms for each in random_choices(DEMO, 500, 5)])
    ranks = np.sort(np.searchsorted(random, latencies_of(17)[2:]) / 500)
    assert np.abs(ranks - np.arange(1, 16) / 16).max() < 0.06


def test_every_candidate_is_as_probable_as_another() -> None:
    choices = np.array(random_choices(DEMO, 6000, 3))
    for number, edge in enumerate(DEMO.edges):
        shares = np.bincount(choices[:, number], minlength=len(edge.candidates)) / 6000
        assert shares == pytest.approx(1 / len(edge.candidates), abs=0.03)
    assert random_networks(DEMO, 3, 3)[2].ops[2:-2] == tuple(
        edge.candidates[index] for edge, index in zip(DEMO.edges, choices[2], strict=True)
    )


def test_a_space_that_holds_too_few_says_so() -> None:
    plain = {**DEMO.to_dict(), "kernels": [3], "expansions": [3], "zero": False}
    narrow = SearchSpace.from_dict(plain, source="narrow")
    with pytest.raises(InputError, match="holds 1 networks; 6 different ones"):
        spread_networks(narrow, costs_of(measured_table(narrow), narrow), 6, 0)
