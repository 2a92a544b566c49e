"""Evolution's operators keep choices legal, and its course follows its rules."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import COSTS, TARGET_MS, problem

from pocketnas_base.errors import InputError
from search.data.dataset import ImageData
from search.strategies.evolution import Births, EvolutionSettings, best_of, cross, mutate

Counts = st.lists(st.integers(1, 7), min_size=1, max_size=21)


@st.composite
def legal(draw: st.DrawFn, counts: list[int]) -> tuple[int, ...]:
    return tuple(draw(st.integers(0, count - 1)) for count in counts)


@given(st.data(), Counts, st.floats(0, 1), st.integers(0, 2**31))
def test_a_mutant_is_legal_and_another(data: st.DataObject, counts: list[int], chance: float, seed: int) -> None:
    choices = data.draw(legal(counts))
    mutant = mutate(choices, counts, chance, np.random.default_rng(seed))
    assert len(mutant) == len(choices)
    assert all(0 <= index < count for index, count in zip(mutant, counts, strict=True))
    assert (mutant != choices) == any(count > 1 for count in counts)


@given(st.data(), Counts, st.integers(0, 2**31))
def test_a_child_of_two_has_every_edge_of_one_of_them(data: st.DataObject, counts: list[int], seed: int) -> None:
    one, other = data.draw(legal(counts)), data.draw(legal(counts))
    child = cross(one, other, np.random.default_rng(seed))
    assert all(index in pair for index, pair in zip(child, zip(one, other, strict=True), strict=True))


def test_mutation_changes_each_edge_as_often_as_said_and_to_every_other_candidate() -> None:
    rng = np.random.default_rng(0)
    mutants = [mutate((2,) * 10, [4] * 10, 0.3, rng) for _ in range(2000)]
    changed = [sum(index != 2 for index in mutant) for mutant in mutants]
    # A tenth of the edges changes for certain, of the others 30 % by chance.
    assert sum(changed) / 2000 == pytest.approx(10 * (0.1 + 0.9 * 0.3), rel=0.05)
    seen = [index for mutant in mutants for index in mutant if index != 2]
    assert all(seen.count(index) / len(seen) == pytest.approx(1 / 3, rel=0.1) for index in (0, 1, 3))


def test_births_stay_within_the_limit_and_repeat_nobody_while_there_are_new_ones(fashion: ImageData) -> None:
    asked = problem(fashion)
    births = Births(asked, EvolutionSettings(evaluations=60, population=10, tournament=4))
    history: list[tuple[tuple[int, ...], float]] = []
    for _ in range(60):
        choices = births.next(history)
        assert COSTS.latency_ms(choices) <= TARGET_MS
        history.append((choices, -sum(choices)))
    assert len({choices for choices, _ in history}) == 60
    assert all(asked.low_ms <= COSTS.latency_ms(choices) for choices, _ in history[:10]), "the first are random ones"


def test_evolution_climbs_where_random_draws_do_not(fashion: ImageData) -> None:
    """A score that is the number of edges at their best candidate: children inherit what their parents had."""
    asked = problem(fashion)
    wanted = (3, 4, 0, 4)
    births = Births(asked, EvolutionSettings(evaluations=60, population=12, tournament=4))
    history: list[tuple[tuple[int, ...], float]] = []
    for _ in range(60):
        choices = births.next(history)
        history.append((choices, float(sum(a == b for a, b in zip(choices, wanted, strict=True)))))
    first, last = ([score for _, score in part] for part in (history[:12], history[-12:]))
    assert sum(last) / 12 > sum(first) / 12 + 0.5
    assert best_of(history)[1] == 4.0


def test_of_equals_the_earliest_is_the_best() -> None:
    assert best_of([((0,), 1.0), ((1,), 2.0), ((2,), 2.0)]) == ((1,), 2.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"population": 9}, "population must be at least 1 and at most the 8"), ({"population": 0}, "population"),
     ({"tournament": 0}, "tournament must be at least 1"), ({"mutation": 1.5}, "mutation must be between 0 and 1"),
     ({"crossover": -0.1}, "crossover must be between 0 and 1")],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EvolutionSettings(**{"evaluations": 8, "population": 4, **changes})  # type: ignore[arg-type]
