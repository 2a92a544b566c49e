"""What a handful of seeds says: means, ratios and differences, with bootstrap intervals over the seeds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

RESAMPLES = 10_000
LEVEL_PERCENT = 95.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure over seeds. low, high: 95 % percentile bootstrap interval; None with a single seed, which says nothing
    of others."""

    value: float
    low: float | None
    high: float | None

    def to_dict(self) -> dict[str, float | None]:
        """Plain numbers by field."""
        return {"value": self.value, "low": self.low, "high": self.high}


def mean_of(values: Sequence[float]) -> Estimate:
    """The mean over seeds."""
    return _estimate([values], lambda drawn: drawn[0].mean(axis=-1))


def ratio_of(numerators: Sequence[float], denominators: Sequence[float]) -> Estimate:
    """Ratio of means; both sequences stand for the same seeds, which are drawn together."""
    return _estimate([numerators, denominators], lambda drawn: drawn[0].mean(axis=-1) / drawn[1].mean(axis=-1))


def difference_of(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Difference of means, seed by seed."""
    return _estimate([ours, theirs], lambda drawn: (drawn[0] - drawn[1]).mean(axis=-1))


def _estimate(columns: Sequence[Sequence[float]], figure: "Callable[[Floats], Floats]") -> Estimate:
    """columns: parallel over seeds. Seeds are drawn with replacement, the same for every column."""
    import numpy as np

    seeds = np.array(columns, dtype=np.float64)
    count = seeds.shape[1]
    value = float(figure(seeds))
    if count < 2:
        return Estimate(value, None, None)
    drawn = np.random.default_rng(0).integers(count, size=(RESAMPLES, count))
    outside = (100 - LEVEL_PERCENT) / 2
    low, high = np.percentile(figure(seeds[:, drawn]), [outside, 100 - outside])
    return Estimate(value, float(low), float(high))
