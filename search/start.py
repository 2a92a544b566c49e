"""Where probabilities start: evenly, or as evenly as the target allows."""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from latency.predict import CostModel

MOST_TILT = 20.0
"""No candidate is less than e-20 as probable as its edge's most probable one: never drawn, but not lost for good."""


@torch.no_grad()
def start_at_target(alpha: Tensor, costs: CostModel, target_ms: float) -> None:
    """Add to alpha [edges, candidates] the logarithms of `at_target`'s probabilities, each edge's with mean 0."""
    for edge, row in enumerate(at_target(costs, target_ms)):
        logs = torch.tensor(row, dtype=torch.float64).log()
        alpha[edge, : len(row)] += (logs - logs.mean()).to(alpha)


def at_target(costs: CostModel, target_ms: float) -> list[list[float]]:
    """The most even distribution whose expected latency is the target: p_i proportional to exp(-t * cost_i), one t for
    all edges. Evenly drawn networks may be far from the target, and what is learned of those is of little use at it.

    Where even the cheapest or the dearest candidates alone do not reach the target, the nearest such distribution.
    """

    def tilted(slope: float) -> list[list[float]]:
        rows = []
        for row in costs.candidate_ms:
            logs = -slope * np.array(row)
            shares = np.exp(np.maximum(logs - logs.max(), -MOST_TILT))
            rows.append([float(share) for share in shares / shares.sum()])
        return rows

    def expected_ms(rows: list[list[float]]) -> float:
        return costs.fixed_ms + sum(
            p * ms for row, own in zip(rows, costs.candidate_ms, strict=True) for p, ms in zip(row, own, strict=True)
        )

    gaps = [dearer - cheaper for row in costs.candidate_ms for cheaper, dearer in pairwise(sorted(set(row)))]
    # Steeper than this every candidate but the cheapest, or the dearest, is as rare as can be.
    steepest = MOST_TILT / min(gaps, default=1.0)
    low, high = -steepest, steepest
    for _ in range(100):
        middle = (low + high) / 2
        if expected_ms(tilted(middle)) > target_ms:
            low = middle
        else:
            high = middle
    return tilted((low + high) / 2)
