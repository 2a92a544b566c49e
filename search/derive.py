"""From probabilities to one architecture."""

from collections.abc import Sequence

import numpy as np

from latency.predict import CostModel
from pocketnas_base.errors import InputError

BINS = 4000


def most_probable_within(
    probabilities: Sequence[Sequence[float]], costs: CostModel, low_ms: float, high_ms: float
) -> list[int]:
    """The most probable choices, sum of log p, among all whose predicted latency lies in [low_ms, high_ms].

    probabilities: one row an edge, parallel to costs.candidate_ms. Argmax on every edge ignores the target once the
    edges are undecided; this is argmax with the target kept. Dynamic programming over latency in `BINS` steps; rounding
    is upward, so high_ms is never exceeded. Raises InputError when no architecture lies in the interval.
    """
    # A candidate may cost less than nothing, by a reading's noise or as a weight of a linear model, whose constant then
    # takes more than the whole net does. Each edge's costs are counted from its cheapest candidate.
    floors = [min(row) for row in costs.candidate_ms]
    least_ms = costs.fixed_ms + sum(floors)
    if high_ms < least_ms:
        raise InputError(
            f"no architecture of this space is predicted to take {high_ms:.4f} ms or less: the cheapest takes "
            f"{least_ms:.4f} ms, the fixed operators alone {costs.fixed_ms:.4f} ms"
        )
    width = (high_ms - least_ms) / BINS or 1.0
    steps = [
        np.ceil((np.array(row) - floor) / width).astype(np.int64)
        for row, floor in zip(costs.candidate_ms, floors, strict=True)
    ]
    budget = BINS
    score = np.full(budget + 1, -np.inf)
    score[0] = 0.0
    picks: list[np.ndarray] = []
    for row, needed in zip(probabilities, steps, strict=True):
        logs = np.log(np.maximum(np.array(row), 1e-30))
        options = np.full((len(row), budget + 1), -np.inf)
        for index, step in enumerate(needed):
            if step <= budget:
                options[index, step:] = score[: budget + 1 - step] + logs[index]
        picks.append(options.argmax(axis=0))
        score = options.max(axis=0)

    for place in np.argsort(-score, kind="stable"):
        if not np.isfinite(score[place]):
            break
        choices = _walk_back(picks, steps, int(place))
        if low_ms <= costs.latency_ms(choices) <= high_ms:
            return choices
    raise InputError(f"no architecture of this space is predicted to take between {low_ms:.4f} and {high_ms:.4f} ms")


def _walk_back(picks: Sequence[np.ndarray], steps: Sequence[np.ndarray], place: int) -> list[int]:
    choices: list[int] = []
    for pick, needed in zip(reversed(picks), reversed(steps), strict=True):
        index = int(pick[place])
        choices.append(index)
        place -= int(needed[index])
    return choices[::-1]
