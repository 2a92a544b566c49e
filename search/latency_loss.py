"""Latency in the loss: how cross entropy and expected latency become one number to minimise."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from latency.predict import CostModel
from pocketnas_base.errors import InputError
from search.choices import LossKind
from search.paths import PathPair, pair_probabilities


class ExpectedLatency:
    """E[latency] = fixed + sum over edges of sum_i p_i * cost_i (ProxylessNAS, equation 2). Zero's cost is 0 by a
    measured table; a linear model may give it another."""

    def __init__(self, costs: CostModel) -> None:
        widest = max(len(row) for row in costs.candidate_ms)
        rows = [[*row, *([0.0] * (widest - len(row)))] for row in costs.candidate_ms]
        self.candidate_ms = torch.tensor(rows, dtype=torch.float64)
        self.fixed_ms = costs.fixed_ms

    def of(self, probabilities: Tensor) -> Tensor:
        """Expected latency in ms, a scalar differentiable in p [edges, candidates]."""
        return self.fixed_ms + (probabilities * self.candidate_ms.to(probabilities)).sum()

    def of_pair(self, alpha: Tensor, probabilities: Tensor, pair: PathPair) -> Tensor:
        """The same value, but its gradient reaches only the two sampled alphas of each edge, through their q.

        The value is that of all candidates (what the net is expected to cost); the gradient is the one the two-path
        update can apply, on the same footing as the gates' gradient: sum_j cost_j * q_j * (delta_ij - q_i).
        """
        costs = self.candidate_ms.to(alpha).gather(1, pair.both.to(alpha.device))
        within_pairs = (pair_probabilities(alpha, pair) * costs).sum()
        return self.of(probabilities.detach()) + within_pairs - within_pairs.detach()


@dataclass(frozen=True, slots=True)
class LatencyLoss:
    """How expected latency E is weighed against a target T, both in ms.

    add#linear: CE + weight * (E - T) / T. mul#log: weight * CE * (ln E / ln T) ** beta (both in the paper's released
    code; mul#log is defined only for times above 1 ms). none: CE alone.
    """

    kind: LossKind
    target_ms: float
    beta: float = 0.6

    def __post_init__(self) -> None:
        if self.kind not in ("add#linear", "mul#log", "none"):
            raise InputError(f"unknown latency loss {self.kind!r}; known: add#linear, mul#log, none")
        if not (math.isfinite(self.target_ms) and self.target_ms > 0):
            raise InputError(f"the target must be a latency above 0 ms, not {self.target_ms}")
        if self.kind == "mul#log" and self.target_ms <= 1:
            raise InputError(
                f"loss mul#log takes logarithms of milliseconds and needs a target above 1 ms, not {self.target_ms:g}; "
                "use add#linear"
            )

    def combine(self, cross_entropy: Tensor, expected_ms: Tensor, weight: float) -> Tensor:
        """The loss, a scalar differentiable in both tensors."""
        match self.kind:
            case "add#linear":
                return cross_entropy + weight * (expected_ms - self.target_ms) / self.target_ms
            case "mul#log":
                ratio = expected_ms.clamp_min(1.0 + 1e-6).log() / math.log(self.target_ms)
                return weight * cross_entropy * ratio**self.beta
            case _:
                return cross_entropy
