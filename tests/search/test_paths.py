"""The two-path update against its defining formula, worked out by brute force."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from latency.predict import CostModel
from search.latency_loss import ExpectedLatency, LatencyLoss
from search.paths import (
    ArchitectureParameters,
    PathPair,
    pair_probabilities,
    rescale_pair,
    sample_pair,
    sample_path,
)
from search.seeds import seeded
from search.space import SearchSpace
from search.supernet import Supernet

TOY = {
    "name": "toy",
    "resolution": 6,
    "image_channels": 1,
    "classes": 3,
    "kernels": [3],
    "expansions": [2, 3],
    "zero": True,
    "stem": {"width": 4, "kernel": 3, "stride": 1},
    "first": {"width": 4, "kernel": 3, "expansion": 1},
    "stages": [{"width": 4, "cells": 2, "stride": 1}],
    "head": {"width": 8},
}
COSTS = CostModel(fixed_ms=1.5, candidate_ms=((0.4, 0.9, 0.0), (0.3, 0.7, 0.0)))
PAIRS = tuple(itertools.permutations(range(3), 2))


@pytest.fixture
def toy() -> tuple[Supernet, ArchitectureParameters, Tensor, Tensor]:
    torch.manual_seed(0)
    space = SearchSpace.from_dict(TOY, source="toy")
    assert [edge.candidates[-1].kind for edge in space.edges] == ["zero", "zero"]
    supernet = Supernet(space).double()
    parameters = ArchitectureParameters([3, 3], seeded(0, "alpha")).double()
    with torch.no_grad():
        parameters.alpha += torch.tensor([[0.3, -0.5, 0.9], [0.1, 0.8, -0.7]], dtype=torch.float64)
    images = torch.randn(5, 1, 6, 6, dtype=torch.float64, generator=seeded(0, "images"))
    return supernet, parameters, images, torch.tensor([0, 1, 2, 0, 1])


def probability_of(pair: tuple[int, int], p: Tensor) -> Tensor:
    """Chance that two draws without replacement bring up this unordered pair and its first one is made active."""
    a, b = pair
    drawn = p[a] * p[b] / (1 - p[a]) + p[b] * p[a] / (1 - p[b])
    return drawn * p[a] / (p[a] + p[b])


def defining_update(
    supernet: Supernet, alpha: Tensor, images: Tensor, labels: Tensor, pairs: list[tuple[int, int]], loss: LatencyLoss
) -> Tensor:
    """Equation 4 to the letter: explicit gates, dL/dg by autograd, the sum over j; latency by its derivative."""
    gates = [torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True) for _ in pairs]
    x = images
    for op in supernet.before:
        x = op(x)
    for edge, (active, inactive) in enumerate(pairs):
        outputs = supernet.candidate(edge, active)(x), supernet.candidate(edge, inactive)(x).detach()
        x = gates[edge][0] * outputs[0] + gates[edge][1] * outputs[1]
    for op in supernet.after:
        x = op(x)
    gate_gradients = torch.autograd.grad(functional.cross_entropy(x, labels), gates)

    update = torch.zeros_like(alpha)
    for edge, pair in enumerate(pairs):
        weights = alpha[edge, list(pair)].exp()
        q = weights / weights.sum()
        for i, j in itertools.product(range(2), range(2)):
            slope = q[j] * (float(i == j) - q[i])
            cost = COSTS.candidate_ms[edge][pair[j]]
            update[edge, pair[i]] += gate_gradients[edge][j] * slope
            update[edge, pair[i]] += 0.7 * cost / loss.target_ms * slope
    return update


def implemented_update(
    supernet: Supernet,
    parameters: ArchitectureParameters,
    images: Tensor,
    labels: Tensor,
    pairs: list[tuple[int, int]],
    loss: LatencyLoss,
) -> Tensor:
    pair = PathPair(torch.tensor([a for a, _ in pairs]), torch.tensor([b for _, b in pairs]))
    parameters.zero_grad()
    cross_entropy = functional.cross_entropy(supernet.forward_pair(images, pair, parameters.alpha), labels)
    expected = ExpectedLatency(COSTS).of_pair(parameters.alpha, parameters.probabilities(), pair)
    loss.combine(cross_entropy, expected, 0.7).backward()
    assert parameters.alpha.grad is not None
    return parameters.alpha.grad.clone()


def test_expected_update_equals_its_formula_over_every_pair_of_paths_zero_included(
    toy: tuple[Supernet, ArchitectureParameters, Tensor, Tensor],
) -> None:
    supernet, parameters, images, labels = toy
    loss = LatencyLoss("add#linear", target_ms=2.0)
    p = parameters.probabilities().detach()
    formula, implemented, total = torch.zeros_like(p), torch.zeros_like(p), 0.0
    for pairs in itertools.product(PAIRS, PAIRS):
        weight = probability_of(pairs[0], p[0]) * probability_of(pairs[1], p[1])
        alpha = parameters.alpha.detach()
        formula += weight * defining_update(supernet, alpha, images, labels, list(pairs), loss)
        implemented += weight * implemented_update(supernet, parameters, images, labels, list(pairs), loss)
        total += float(weight)

    assert total == pytest.approx(1.0, abs=1e-12)
    torch.testing.assert_close(implemented, formula, rtol=1e-10, atol=1e-13)
    assert formula[:, 2].abs().min() > 1e-4, "Zero must be moved like any other operator"


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


def test_expected_latency_is_the_mean_over_sampled_networks() -> None:
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


def test_the_supernet_runs_one_path_and_leaves_the_other_weights_without_gradient(
    toy: tuple[Supernet, ArchitectureParameters, Tensor, Tensor],
) -> None:
    supernet, _, images, labels = toy
    functional.cross_entropy(supernet(images, [1, 2]), labels).backward()
    with_gradient = {
        (edge, index)
        for edge, index in itertools.product(range(2), range(3))
        if any(parameter.grad is not None for parameter in supernet.candidate(edge, index).parameters())
    }
    assert with_gradient == {(0, 1)}, "edge 1 ran Zero, which has no weights"
