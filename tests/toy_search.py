"""A space of nine networks, Zero among their candidates, small enough to enumerate everything that can be sampled."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from latency.predict import CostModel
from search.latency_loss import ExpectedLatency, LatencyLoss
from search.paths import ArchitectureParameters
from search.seeds import seeded
from search.space import SearchSpace
from search.supernet import Supernet
from search.updates.update import SearchParts

TOY = SearchSpace.from_dict(
    {
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
    },
    source="toy",
)
COSTS = CostModel(fixed_ms=1.5, candidate_ms=((0.4, 0.9, 0.0), (0.3, 0.7, 0.0)))
TARGET_MS = 2.0
LATENCY_WEIGHT = 0.7
NETWORKS = tuple(itertools.product(range(3), repeat=2))


@dataclass(frozen=True)
class Toy:
    """Supernet and alpha in float64, and one batch."""

    parts: SearchParts
    images: Tensor
    labels: Tensor

    @property
    def alpha(self) -> Tensor:
        return self.parts.alpha

    @property
    def p(self) -> Tensor:
        return self.parts.parameters.probabilities().detach()

    def probability_of(self, network: Sequence[int]) -> float:
        return float(torch.stack([self.p[edge, index] for edge, index in enumerate(network)]).prod())


def make_toy(loss: LatencyLoss | None = None) -> Toy:
    assert [edge.candidates[-1].kind for edge in TOY.edges] == ["zero", "zero"]
    torch.manual_seed(0)
    supernet = Supernet(TOY).double()
    parameters = ArchitectureParameters([3, 3], seeded(0, "alpha")).double()
    with torch.no_grad():
        parameters.alpha += torch.tensor([[0.3, -0.5, 0.9], [0.1, 0.8, -0.7]], dtype=torch.float64)
    images = torch.randn(5, 1, 6, 6, dtype=torch.float64, generator=seeded(0, "images"))
    loss = loss or LatencyLoss("add#linear", TARGET_MS)
    parts = SearchParts(supernet, parameters, COSTS, ExpectedLatency(COSTS), loss)
    return Toy(parts, images, torch.tensor([0, 1, 2, 0, 1]))


def gate_slopes(toy: Toy, shown: Sequence[Sequence[int]]) -> tuple[float, list[Tensor]]:
    """Cross entropy, and its dCE/dg by autograd through explicit gates. shown: per edge the candidates that have one,
    the open one first."""
    supernet = toy.parts.supernet
    gates = [torch.eye(len(candidates), dtype=torch.float64)[0].requires_grad_() for candidates in shown]
    x = toy.images
    for op in supernet.before:
        x = op(x)
    for edge, candidates in enumerate(shown):
        outputs = [supernet.candidate(edge, index)(x) for index in candidates]
        kept = [outputs[0], *(output.detach() for output in outputs[1:])]
        x = torch.stack([gate * output for gate, output in zip(gates[edge], kept, strict=True)]).sum(0)
    for op in supernet.after:
        x = op(x)
    cross_entropy = functional.cross_entropy(x, toy.labels)
    return float(cross_entropy.detach()), list(torch.autograd.grad(cross_entropy, gates))


def loss_slopes(toy: Toy, cross_entropy: float) -> tuple[float, float]:
    """dL/dCE and dL/dE of the toy's loss, differentiated by hand: of CE + w (E - T) / T, and of
    w CE (ln E / ln T)^b."""
    loss = toy.parts.loss
    if loss.kind == "add#linear":
        return 1.0, LATENCY_WEIGHT / loss.target_ms
    assert loss.kind == "mul#log"
    expected_ms = COSTS.fixed_ms + float((toy.p * torch.tensor(COSTS.candidate_ms, dtype=torch.float64)).sum())
    ratio = math.log(expected_ms) / math.log(loss.target_ms)
    of_latency = cross_entropy * loss.beta * ratio ** (loss.beta - 1) / (expected_ms * math.log(loss.target_ms))
    return LATENCY_WEIGHT * ratio**loss.beta, LATENCY_WEIGHT * of_latency


def gradient_by_formula(toy: Toy, shown: Sequence[Sequence[int]]) -> Tensor:
    """Equation 4 to the letter over the candidates shown: for each of them the sum over j of
    (dL/dCE * dCE/dg_j + dL/dE * cost_j) * q_j * (delta_ij - q_i)."""
    update = torch.zeros_like(toy.alpha)
    cross_entropy, gates = gate_slopes(toy, shown)
    of_cross_entropy, of_latency = loss_slopes(toy, cross_entropy)
    for edge, (candidates, slopes) in enumerate(zip(shown, gates, strict=True)):
        weights = toy.alpha.detach()[edge, list(candidates)].exp()
        q = weights / weights.sum()
        for i, j in itertools.product(range(len(candidates)), repeat=2):
            slope = q[j] * (float(i == j) - q[i])
            update[edge, candidates[i]] += of_cross_entropy * slopes[j] * slope
            update[edge, candidates[i]] += of_latency * COSTS.candidate_ms[edge][candidates[j]] * slope
    return update
