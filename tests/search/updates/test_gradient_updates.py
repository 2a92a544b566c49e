"""The updates by gradient against their defining formula, everything that can be sampled enumerated."""

import itertools
from collections.abc import Sequence
from unittest.mock import patch

import pytest
import torch
from torch import Tensor
from toy_search import LATENCY_WEIGHT, NETWORKS, TOY, Toy, gradient_by_formula, make_toy

from latency.predict import CostModel
from search.latency_loss import ExpectedLatency, LatencyLoss
from search.paths import ArchitectureParameters, PathPair, sample_path
from search.seeds import seeded
from search.space import SearchSpace
from search.supernet import Supernet
from search.updates.all_paths import AllPaths
from search.updates.one_path import OnePath
from search.updates.two_path import TwoPath
from search.updates.update import SearchParts, Update

PAIRS = tuple(itertools.permutations(range(3), 2))
LOSSES = [LatencyLoss("add#linear", 2.0), LatencyLoss("mul#log", 2.0, beta=0.6), LatencyLoss("none", 2.0)]
WITH_LATENCY = pytest.mark.parametrize("loss", LOSSES[:2], ids=lambda loss: loss.kind)
MODES = {"two-path": TwoPath, "one-path": OnePath, "all-paths": AllPaths}


@pytest.fixture
def toy() -> Toy:
    return make_toy()


def gradient(toy: Toy, update: Update, seed: int = 0) -> Tensor:
    toy.parts.parameters.zero_grad()
    with toy.parts.supernet.weights_frozen():
        update.backward(toy.images, toy.labels, LATENCY_WEIGHT, seeded(seed, "draw"))
    assert toy.alpha.grad is not None
    return toy.alpha.grad.clone()


def probability_of(pair: tuple[int, int], p: Tensor) -> Tensor:
    """Chance that two draws without replacement bring up this unordered pair and its first one is made active."""
    a, b = pair
    drawn = p[a] * p[b] / (1 - p[a]) + p[b] * p[a] / (1 - p[b])
    return drawn * p[a] / (p[a] + p[b])


@WITH_LATENCY
def test_the_expected_two_path_update_equals_its_formula_over_every_pair_zero_included(loss: LatencyLoss) -> None:
    toy = make_toy(loss)
    formula, implemented, total = torch.zeros_like(toy.p), torch.zeros_like(toy.p), 0.0
    for pairs in itertools.product(PAIRS, PAIRS):
        weight = float(probability_of(pairs[0], toy.p[0]) * probability_of(pairs[1], toy.p[1]))
        pair = PathPair(torch.tensor([a for a, _ in pairs]), torch.tensor([b for _, b in pairs]))
        with patch("search.updates.two_path.sample_pair", lambda *_, pair=pair: pair):
            implemented += weight * gradient(toy, TwoPath(toy.parts))
        formula += weight * gradient_by_formula(toy, pairs)
        total += weight

    assert total == pytest.approx(1.0, abs=1e-12)
    torch.testing.assert_close(implemented, formula, rtol=1e-10, atol=1e-13)
    assert formula[:, 2].abs().min() > 1e-4, "Zero must be moved like any other operator"


@WITH_LATENCY
@pytest.mark.parametrize("mode", ["one-path", "all-paths"])
def test_the_expected_update_over_all_candidates_equals_its_formula_over_every_path_zero_included(
    mode: str, loss: LatencyLoss
) -> None:
    toy = make_toy(loss)
    module = mode.replace("-", "_")
    formula, implemented, total = torch.zeros_like(toy.p), torch.zeros_like(toy.p), 0.0
    for network in NETWORKS:
        weight = toy.probability_of(network)
        with patch(f"search.updates.{module}.sample_path", lambda *_, path=network: list(path)):
            implemented += weight * gradient(toy, MODES[mode](toy.parts))
        shown = [[active, *(index for index in range(3) if index != active)] for active in network]
        formula += weight * gradient_by_formula(toy, shown)
        total += weight

    assert total == pytest.approx(1.0, abs=1e-12)
    torch.testing.assert_close(implemented, formula, rtol=1e-10, atol=1e-13)
    assert formula[:, 2].abs().min() > 1e-4, "Zero must be moved like any other operator"


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.kind)
@pytest.mark.parametrize("seed", range(6))
def test_recomputing_the_other_candidates_gives_what_running_all_of_them_gives(loss: LatencyLoss, seed: int) -> None:
    toy = make_toy(loss)
    found = [gradient(toy, update(toy.parts), seed) for update in (OnePath, AllPaths)]
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-14)
    assert found[0].abs().min() > 1e-6


def test_recomputing_keeps_no_other_candidates_graph(toy: Toy) -> None:
    """What one_path holds until the way back is one path: of the other candidates' tensors not one."""

    def saved_bytes(update: Update) -> int:
        total = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal total
            total += tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            gradient(toy, update)
        return total

    path = sample_path(toy.p, seeded(0, "draw"))
    assert path != [2, 2], "a path of which something is to be kept"
    one, every = saved_bytes(OnePath(toy.parts)), saved_bytes(AllPaths(toy.parts))
    assert one < every


@pytest.mark.parametrize("mode", MODES)
def test_weights_get_no_gradient_and_batch_norm_goes_on_as_in_training(toy: Toy, mode: str) -> None:
    supernet = toy.parts.supernet
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    gradient(toy, MODES[mode](toy.parts))
    assert all(parameter.grad is None and parameter.requires_grad for parameter in supernet.parameters())
    changed = {name for name, value in supernet.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.endswith(("running_mean", "running_var", "num_batches_tracked")) for name in changed)


@pytest.mark.parametrize("mode", MODES)
def test_the_draws_decide_the_update_and_nothing_else(toy: Toy, mode: str) -> None:
    def grads(seeds: Sequence[int]) -> list[Tensor]:
        return [gradient(toy, MODES[mode](toy.parts), seed) for seed in seeds]

    torch.manual_seed(1)
    first = grads(range(4))
    torch.manual_seed(2)
    assert all(torch.equal(one, other) for one, other in zip(first, grads(range(4)), strict=True))
    assert any(not torch.equal(first[0], other) for other in first[1:])


def test_an_edge_with_one_candidate_has_no_gradient_in_any_mode() -> None:
    single = SearchSpace.from_dict({**TOY.to_dict(), "expansions": [2], "zero": False}, source="single")
    costs = CostModel(1.0, ((0.5,), (0.5,)))
    torch.manual_seed(0)
    parameters = ArchitectureParameters([1, 1], seeded(0, "alpha")).double()
    parts = SearchParts(
        Supernet(single).double(), parameters, costs, ExpectedLatency(costs), LatencyLoss("add#linear", 2.0)
    )
    toy = make_toy()
    for mode in ("one-path", "all-paths"):
        found = gradient(Toy(parts, toy.images, toy.labels), MODES[mode](parts))
        assert found.tolist() == [[0.0], [0.0]]
