"""From probabilities to one architecture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latency.predict import CostModel
from pocketnas_base.errors import InputError

TOLERANCE = 0.02
"""How far from its target, as a share of it, a derived architecture is predicted to be at most."""

ENUMERATED = 100_000
"""Spaces of at most so many architectures are looked through one by one."""

BINS = (4_000, 64_000)
"""Steps of latency that larger spaces are cut into: the finer ones where the coarser ones find nothing."""

Floats = NDArray[np.float64]


def derive_at(
    probabilities: Sequence[Sequence[float]], costs: CostModel, target_ms: float, max_ms: float | None = None
) -> list[int]:
    """The most probable choices predicted to be at the target: at most 2 % below it, and where no architecture is, at
    most 2 % above; never above max_ms.

    Raises InputError when there is none; `target_window` says so beforehand.
    """
    at_most = target_ms if max_ms is None else min(target_ms, max_ms)
    if (chosen := _most_probable(probabilities, costs, (1 - TOLERANCE) * target_ms, at_most)) is not None:
        return chosen
    above = (1 + TOLERANCE) * target_ms if max_ms is None else min((1 + TOLERANCE) * target_ms, max_ms)
    return most_probable_within(probabilities, costs, (1 - TOLERANCE) * target_ms, above)


def check_target(costs: CostModel, target_ms: float, max_ms: float | None = None) -> None:
    """Before a search: is there an architecture that `derive_at` could end in? Raises InputError where none is."""
    if max_ms is not None and max_ms < (1 - TOLERANCE) * target_ms:
        raise InputError(
            f"search: nothing at the target of {target_ms:.4g} ms takes {max_ms:.4g} ms (max_ms) or less; "
            "lower the target, or raise max_ms"
        )
    cheapest_ms, dearest_ms = latency_range(costs)
    if not (1 - TOLERANCE) * target_ms <= dearest_ms or not cheapest_ms <= (1 + TOLERANCE) * target_ms:
        raise InputError(
            f"search: the target of {target_ms:.4g} ms cannot be met: architectures of this space are predicted to "
            f"take {cheapest_ms:.4g} to {dearest_ms:.4g} ms"
        )
    derive_at([[1 / len(row)] * len(row) for row in costs.candidate_ms], costs, target_ms, max_ms)


def latency_range(costs: CostModel) -> tuple[float, float]:
    """Predicted latency of the cheapest and of the dearest architecture, in ms."""
    cheapest = [row.index(min(row)) for row in costs.candidate_ms]
    dearest = [row.index(max(row)) for row in costs.candidate_ms]
    return costs.latency_ms(cheapest), costs.latency_ms(dearest)


def most_probable_within(
    probabilities: Sequence[Sequence[float]], costs: CostModel, low_ms: float, high_ms: float
) -> list[int]:
    """The most probable choices, sum of log p, among all whose predicted latency lies in [low_ms, high_ms].

    probabilities: one row an edge, parallel to costs.candidate_ms. Argmax on every edge ignores the target once the
    edges are undecided; this is argmax with the target kept. Small spaces are enumerated; in others, where two partial
    architectures take nearly the same time, the less probable is given up (dynamic programming over latency), so that
    at the interval's very edges a slightly better one may be missed. Raises InputError when none lies in it.
    """
    if (chosen := _most_probable(probabilities, costs, low_ms, high_ms)) is not None:
        return chosen
    cheapest_ms, dearest_ms = latency_range(costs)
    if high_ms < cheapest_ms:
        raise InputError(
            f"no architecture of this space is predicted to take {high_ms:.4f} ms or less: the cheapest takes "
            f"{cheapest_ms:.4f} ms, the fixed operators alone {costs.fixed_ms:.4f} ms"
        )
    raise InputError(
        f"no architecture of this space is predicted to take between {low_ms:.4f} and {high_ms:.4f} ms; "
        f"all take between {cheapest_ms:.4f} and {dearest_ms:.4f} ms"
    )


@dataclass(frozen=True, slots=True)
class _Partial:
    """Partial architectures after some edges, one an entry: what they take above the least, their log p, and how each
    came about: which of the partial ones before it, and the candidate added."""

    excess_ms: Floats
    score: Floats
    before: NDArray[np.int64]
    choice: NDArray[np.int64]

    def take(self, entries: NDArray[np.int64] | NDArray[np.bool_]) -> "_Partial":
        return _Partial(self.excess_ms[entries], self.score[entries], self.before[entries], self.choice[entries])


def _most_probable(
    probabilities: Sequence[Sequence[float]], costs: CostModel, low_ms: float, high_ms: float
) -> list[int] | None:
    small = math.prod(len(row) for row in costs.candidate_ms) <= ENUMERATED
    for bins in (None,) if small else BINS:
        steps = _grow(probabilities, costs, low_ms, high_ms, bins)
        for entry in np.argsort(-steps[-1].score, kind="stable"):
            choices = _walk_back(steps, int(entry))
            if low_ms <= costs.latency_ms(choices) <= high_ms:
                return choices
    return None


def _grow(
    probabilities: Sequence[Sequence[float]], costs: CostModel, low_ms: float, high_ms: float, bins: int | None
) -> list[_Partial]:
    """Edge by edge every partial architecture from which [low_ms, high_ms] can be reached; of those in one of `bins`
    steps of latency the most probable alone."""
    # A candidate may cost less than nothing, by a reading's noise or as a weight of a linear model, whose constant then
    # takes more than the whole net does. Each edge's costs are counted from its cheapest candidate.
    above = [np.array(row) - min(row) for row in costs.candidate_ms]
    least_ms = costs.fixed_ms + sum(min(row) for row in costs.candidate_ms)
    slack = 1e-9 * max(abs(high_ms), abs(least_ms), 1e-9)
    budget_ms, owed_ms = high_ms - least_ms + slack, low_ms - least_ms - slack
    to_come_ms = sum(float(row.max()) for row in above)
    nothing = np.zeros(1, dtype=np.int64)
    steps = [_Partial(np.zeros(1), np.zeros(1), nothing, nothing)]
    for row, own_ms in zip(probabilities, above, strict=True):
        last, count = steps[-1], len(own_ms)
        to_come_ms -= float(own_ms.max())
        logs = np.log(np.maximum(np.array(row), 1e-30))
        grown = _Partial(
            (last.excess_ms[:, None] + own_ms).ravel(),
            (last.score[:, None] + logs).ravel(),
            np.repeat(np.arange(len(last.score)), count),
            np.tile(np.arange(count), len(last.score)),
        )
        grown = grown.take((grown.excess_ms <= budget_ms) & (grown.excess_ms + to_come_ms >= owed_ms))
        if bins is not None:
            places = np.floor(grown.excess_ms / (budget_ms / bins))
            best_first = np.lexsort((-grown.score, places))
            _, firsts = np.unique(places[best_first], return_index=True)
            grown = grown.take(best_first[firsts])
        steps.append(grown)
    return steps


def _walk_back(steps: Sequence[_Partial], entry: int) -> list[int]:
    choices: list[int] = []
    for step in reversed(steps[1:]):
        choices.append(int(step.choice[entry]))
        entry = int(step.before[entry])
    return choices[::-1]
