"""Architectures drawn at random among those whose predicted latency lies in a window."""

import math
from collections.abc import Sequence

import numpy as np

from latency.predict import CostModel
from pocketnas_base.errors import InputError

BINS, BINS_AN_EDGE = 4000, 25
"""Steps of latency between the cheapest network and the window's top: so many at least, and so many for each edge."""

TRIES = 1000
GOLDEN = (5**0.5 - 1) / 2
"""Its multiples, whole parts left out, fill 0 to 1 evenly."""

Rows = Sequence[Sequence[float]]


class WindowSampler:
    """Draws choices from prod_e p_e(choice), given that the predicted latency lies in [low_ms, high_ms].

    Where the window is narrow or far out, drawing until one fits would take forever: of evenly drawn networks of the
    published mobile space less than one in a hundred meets its published target. Forward sums of probability over
    latency in steps, then backward draws from the window and from as much beside it as rounding may have moved across
    its ends; what turns out to lie beside it is thrown away.
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
        edges = len(floors)
        bins = max(BINS, BINS_AN_EDGE * edges)
        width = (high_ms - least_ms) / bins or 1.0
        # A cost is off by less than a step, its standard deviation is half a step at most: this is four of a sum's.
        margin = math.ceil(2 * edges**0.5) + 2
        size = bins + margin + 1
        # Rounded up on some edges and down on others: the same cost on many of them would add up its error otherwise.
        shifts = [edge * GOLDEN % 1 for edge in range(edges)]
        self._steps = [
            np.clip(np.floor((np.array(row) - floor) / width + shift), 0, size).astype(np.int64)
            for row, floor, shift in zip(costs.candidate_ms, floors, shifts, strict=True)
        ]
        self._first = max(0, int(np.floor((low_ms - least_ms) / width)) - margin)
        self._sums = [np.zeros(size)]
        self._sums[0][0] = 1.0
        for row, needed in zip(self._probabilities, self._steps, strict=True):
            total = np.zeros(size)
            for share, step in zip(row, needed, strict=True):
                if step < size:
                    total[step:] += share * self._sums[-1][: size - step]
            self._sums.append(total)
        if not self._sums[-1][self._first :].sum() > 0:
            raise self._empty()
        self.draw(0)  # all that is left may lie beside the window: said now, not after a supernet's training

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
