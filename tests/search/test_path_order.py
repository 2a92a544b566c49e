"""Which path a weight step trains: by probability, or every candidate in its turn."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search.path_order import FairPaths, SampledPaths, uniform_probabilities, warmup_order
from search.paths import sample_path
from search.seeds import seeded
from search.space import load_space

DEMO = load_space("demo")
EVEN = uniform_probabilities(DEMO)


@given(st.integers(0, 60), st.integers(0, 2**31), st.booleans())
def test_after_any_number_of_steps_every_candidate_was_trained_equally_often_but_for_one(
    steps: int, seed: int, zero: bool
) -> None:
    order = FairPaths(DEMO, seed, zero=zero)
    paths = [order.path(number, EVEN) for number in range(steps)]
    for edge, space_edge in enumerate(DEMO.edges):
        counts = Counter(path[edge] for path in paths)
        due = [index for index, op in enumerate(space_edge.candidates) if zero or op.kind != "zero"]
        assert set(counts) <= set(due)
        assert max(counts[index] for index in due) - min(counts[index] for index in due) <= 1


def test_every_lap_has_an_order_of_its_own_on_every_edge() -> None:
    order = FairPaths(DEMO, 0, zero=True)
    most = max(len(edge.candidates) for edge in DEMO.edges)
    like_it = [edge for edge, found in enumerate(DEMO.edges) if len(found.candidates) == most]
    paths = [order.path(number, EVEN) for number in range(6 * most)]
    laps = {tuple(path[edge] for path in paths[lap * most : (lap + 1) * most]) for lap in range(6) for edge in like_it}
    assert len(laps) > 0.9 * 6 * len(like_it)


def test_a_fair_path_depends_on_seed_and_number_alone() -> None:
    wanted = [FairPaths(DEMO, 3, zero=True).path(number, EVEN) for number in range(20)]
    later = FairPaths(DEMO, 3, zero=True)
    skewed = EVEN.clone().pow(8)
    assert [later.path(number, skewed) for number in reversed(range(20))][::-1] == wanted
    assert [FairPaths(DEMO, 4, zero=True).path(number, EVEN) for number in range(20)] != wanted


def test_a_lap_s_order_is_drawn_once_and_is_its_own_permutation(monkeypatch: pytest.MonkeyPatch) -> None:
    order, drawn = FairPaths(DEMO, 3, zero=True), []

    def watched(seed: int, purpose: str) -> torch.Generator:
        drawn.append(purpose)
        return seeded(seed, purpose)

    monkeypatch.setattr("search.path_order.seeded", watched)
    paths = [order.path(number, EVEN) for number in range(21)]
    assert len(drawn) == len(set(drawn)), "a lap was drawn anew"
    for edge, space_edge in enumerate(DEMO.edges):
        count = len(space_edge.candidates)
        for number, path in enumerate(paths):
            lap, place = divmod(number, count)
            assert path[edge] == torch.randperm(count, generator=seeded(3, f"fair {edge} {lap}"))[place]


def test_the_papers_way_draws_from_the_probabilities() -> None:
    decided = torch.zeros_like(EVEN)
    decided[:, 1] = 1
    assert SampledPaths(0).path(5, decided) == [1] * len(DEMO.edges)
    assert SampledPaths(7).path(5, EVEN) == sample_path(EVEN, seeded(7, "path 5"))


@pytest.mark.parametrize(("kind", "zeros"), [("sampled", True), ("fair", True), ("fair-without-zero", False)])
def test_orders_by_name(kind: str, zeros: bool) -> None:
    order = warmup_order(kind, DEMO, 0)  # type: ignore[arg-type]
    trained = {
        DEMO.edges[edge].candidates[index].kind
        for number in range(50)
        for edge, index in enumerate(order.path(number, EVEN))
    }
    assert trained == ({"mbconv", "zero"} if zeros else {"mbconv"})


def test_uniform_probabilities_are_those_of_the_candidates_each_edge_has() -> None:
    assert EVEN.sum(1).tolist() == pytest.approx([1.0] * len(DEMO.edges))
    assert {len(edge.candidates) for edge in DEMO.edges} == {6, 7}
    for row, edge in zip(EVEN, DEMO.edges, strict=True):
        assert int((row > 0).sum()) == len(edge.candidates)
