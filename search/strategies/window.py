"""Architectures drawn at random among those whose predicted latency lies in a window."""

from collections.abc import Sequence

import numpy as np

from latency.predict import CostModel
from pocketnas_base.errors import InputError

BINS = 4000
TRIES = 1000

Rows = Sequence[Sequence[float]]


class WindowSampler:
    """Draws choices from prod_e p_e(choice), given that the predicted latency lies in [low_ms, high_ms].

    Where the window is narrow or far out, drawing until one fits would take forever: of evenly drawn networks of the
    published mobile space less than one in a hundred meets its published target. Forward sums of probability over
    latency, in `BINS` steps rounded upward, then backward draws give the conditional distribution up to that rounding;
    the window itself is kept exactly.
    Raises InputError when no architecture lies in the window.
    """

    def __init__(self, costs: CostModel, low_ms: float, high_ms: float, probabilities: Rows | None = None) -> None:
        """probabilities: one row an edge, parallel to costs.candidate_ms; None draws every candidate evenly."""
        if probabilities is None:
            probabilities = [[1 / len(row)] * len(row) for row in costs.candidate_ms]
        self._costs, self._low_ms, self._high_ms = costs, low_ms, high_ms
        self._probabilities = [np.array(row) for row in probabilities]
        floors = [min(row) for row in costs.candidate_ms]
        least_ms = costs.fixed_ms + sum(floors)
        if high_ms < least_ms:
            raise InputError(
                f"no architecture of this space is predicted to take {high_ms:.4f} ms or less: the cheapest takes "
                f"{least_ms:.4f} ms"
            )
        width = (high_ms - least_ms) / BINS or 1.0
        self._steps = [
            np.ceil((np.array(row) - floor) / width).astype(np.int64)
            for row, floor in zip(costs.candidate_ms, floors, strict=True)
        ]
        # Rounding is upward: whatever lies above low_ms lies in this bin or a later one.
        self._first = max(0, int(np.floor((low_ms - least_ms) / width)))
        self._sums = [np.zeros(BINS + 1)]
        self._sums[0][0] = 1.0
        for row, needed in zip(self._probabilities, self._steps, strict=True):
            total = np.zeros(BINS + 1)
            for share, step in zip(row, needed, strict=True):
                if step <= BINS:
                    total[step:] += share * self._sums[-1][: BINS + 1 - step]
            self._sums.append(total)
        if not self._sums[-1][self._first :].sum() > 0:
            raise self._empty()

    def draw(self, seed: int) -> tuple[int, ...]:
        """One architecture as choices per edge: a function of the seed alone."""
        rng = np.random.default_rng(seed)
        weights = self._sums[-1][self._first :]
        for _ in range(TRIES):
            place = self._first + int(rng.choice(len(weights), p=weights / weights.sum()))
            choices = self._walk_back(place, rng)
            if self._low_ms <= self._costs.latency_ms(choices) <= self._high_ms:
                return choices
        raise self._empty()

    def _walk_back(self, place: int, rng: np.random.Generator) -> tuple[int, ...]:
        choices: list[int] = []
        for row, needed, before in zip(
            reversed(self._probabilities), reversed(self._steps), reversed(self._sums[:-1]), strict=True
        ):
            shares = np.array(
                [p * before[place - step] if step <= place else 0.0 for p, step in zip(row, needed, strict=True)]
            )
            index = int(rng.choice(len(row), p=shares / shares.sum()))
            choices.append(index)
            place -= int(needed[index])
        return tuple(reversed(choices))

    def _empty(self) -> InputError:
        return InputError(
            f"no architecture of this space is predicted to take between {self._low_ms:.4f} and "
            f"{self._high_ms:.4f} ms; ask for another target"
        )
