"""Sampling paths, what is left as it was by a step along two of them, and the latency they are expected to have."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from toy_search import COSTS, NETWORKS, Toy, make_toy

from search.latency_loss import ExpectedLatency
from search.network import channels_last
from search.paths import ArchitectureParameters, pair_probabilities, rescale_pair, sample_pair, sample_path
from search.ranks import Ranks
from search.seeds import seeded
from search.spread import spread

PAIRS = tuple(itertools.permutations(range(3), 2))


@pytest.fixture
def toy() -> Toy:
    return make_toy()


def probability_of(pair: tuple[int, int], p: Tensor) -> Tensor:
    """Chance that two draws without replacement bring up this unordered pair and its first one is made active."""
    a, b = pair
    drawn = p[a] * p[b] / (1 - p[a]) + p[b] * p[a] / (1 - p[b])
    return drawn * p[a] / (p[a] + p[b])


def test_pairs_are_drawn_with_the_probability_the_formula_assumes() -> None:
    p = torch.tensor([[0.5, 0.2, 0.3]], dtype=torch.float64).expand(40_000, 3)
    pair = sample_pair(p, seeded(1, "pairs"))
    for a, b in PAIRS:
        observed = float(((pair.active == a) & (pair.inactive == b)).double().mean())
        expected = float(probability_of((a, b), p[0]))
        assert observed == pytest.approx(expected, abs=5 * (expected / 40_000) ** 0.5)


def test_paths_are_drawn_with_their_probability() -> None:
    p = torch.tensor([[0.7, 0.1, 0.2]]).expand(20_000, 3)
    drawn = torch.tensor(sample_path(p, seeded(2, "paths")))
    assert torch.bincount(drawn, minlength=3).double().div(20_000).tolist() == pytest.approx([0.7, 0.1, 0.2], abs=0.015)


def test_rescaling_leaves_the_probability_of_unsampled_candidates_unchanged() -> None:
    parameters = ArchitectureParameters([7, 7, 6], seeded(3, "alpha")).double()
    optimizer = torch.optim.Adam(parameters.parameters(), lr=0.1, betas=(0.0, 0.999))
    for step in range(20):
        before, p = parameters.alpha.detach().clone(), parameters.probabilities().detach()
        pair = sample_pair(p, seeded(3, f"pair {step}"))
        optimizer.zero_grad()
        (pair_probabilities(parameters.alpha, pair) * torch.tensor([1.0, -2.0])).sum().backward()
        optimizer.step()
        rescale_pair(parameters.alpha, before, pair)
        unsampled = torch.ones_like(p, dtype=torch.bool).scatter_(1, pair.both, False)
        after = parameters.probabilities().detach()
        torch.testing.assert_close(after[unsampled], p[unsampled], rtol=1e-12, atol=0)
        assert not torch.allclose(after.gather(1, pair.both), p.gather(1, pair.both), rtol=1e-3)


def test_expected_latency_is_the_mean_over_sampled_networks(toy: Toy) -> None:
    expected = float(ExpectedLatency(COSTS).of(toy.p))
    draws = seeded(6, "paths")
    sampled = [COSTS.latency_ms(sample_path(toy.p, draws)) for _ in range(4000)]
    spread = torch.tensor(sampled).std().item() / len(sampled) ** 0.5
    assert sum(sampled) / len(sampled) == pytest.approx(expected, abs=4 * spread)
    assert expected == pytest.approx(sum(toy.probability_of(net) * COSTS.latency_ms(net) for net in NETWORKS))


def test_the_gradient_of_expected_latency_is_its_formula_zero_included(toy: Toy) -> None:
    parts, p = toy.parts, toy.p
    (found,) = torch.autograd.grad(parts.expected.of(parts.parameters.probabilities()), toy.alpha)
    for edge, index in itertools.product(range(2), range(3)):
        costs = COSTS.candidate_ms[edge]
        mean = sum(float(p[edge, j]) * costs[j] for j in range(3))
        assert float(found[edge, index]) == pytest.approx(float(p[edge, index]) * (costs[index] - mean), rel=1e-12)


def test_expected_latency_is_the_mean_over_all_networks() -> None:
    parameters = ArchitectureParameters([3, 3], seeded(4, "alpha")).double()
    with torch.no_grad():
        parameters.alpha += torch.tensor([[0.0, 1.0, -1.0], [2.0, 0.0, 0.5]])
    p = parameters.probabilities().detach()
    mean = sum(float(p[0, i] * p[1, j]) * COSTS.latency_ms([i, j]) for i, j in itertools.product(range(3), range(3)))
    assert float(ExpectedLatency(COSTS).of(p)) == pytest.approx(mean, rel=1e-12)


def test_an_edge_with_one_candidate_never_moves() -> None:
    parameters = ArchitectureParameters([1, 3], seeded(5, "alpha")).double()
    before = parameters.alpha.detach().clone()
    pair = sample_pair(parameters.probabilities(), seeded(5, "pair"))
    assert int(pair.active[0]) == int(pair.inactive[0]) == 0
    with torch.no_grad():
        parameters.alpha[1, pair.active[1]] += 0.5
    rescale_pair(parameters.alpha, before, pair)
    assert parameters.alpha[0].tolist() == before[0].tolist()


def test_the_supernet_runs_one_path_and_leaves_the_other_weights_without_gradient(toy: Toy) -> None:
    supernet = toy.parts.supernet
    functional.cross_entropy(supernet(toy.images, [1, 2]), toy.labels).backward()
    with_gradient = {
        (edge, index)
        for edge, index in itertools.product(range(2), range(3))
        if any(parameter.grad is not None for parameter in supernet.candidate(edge, index).parameters())
    }
    assert with_gradient == {(0, 1)}, "edge 1 ran Zero, which has no weights"


@pytest.mark.parametrize("moved", [False, True], ids=["as built", "spread and converted"])
def test_weights_are_frozen_for_a_while_and_trainable_again_whatever_happens(toy: Toy, moved: bool) -> None:
    supernet = toy.parts.supernet
    if moved:
        supernet = spread(channels_last(supernet).float(), Ranks(0, 2))
    with supernet.weights_frozen():
        assert not any(parameter.requires_grad for parameter in supernet.parameters())
    with pytest.raises(ZeroDivisionError), supernet.weights_frozen():
        raise ZeroDivisionError
    assert all(parameter.requires_grad for parameter in supernet.parameters())
