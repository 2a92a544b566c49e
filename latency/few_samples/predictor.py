"""Fit a predictor to the measured latencies of a few whole nets, with or without phones measured before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from latency.few_samples.nets import FloatArray, Nets
from latency.few_samples.regression import Belief, Regression, regress
from latency.rows import MAX_PLAUSIBLE_MS
from pocketnas_base.errors import InputError

MIN_NETS, MAX_NETS_MEASURED = 5, 20_000
MAX_SOURCES = 100

ALONE = Belief()
# A phone that resembles a known one: what differs is small, and so is what must be learned.
RESEMBLING = Belief(intercept=0.1, default=0.02, groups={"source": 0.1}, log_spread=1.0)
# The probability, before any reading, that the phone resembles none of the known ones; the rest is shared evenly by the
# ways a phone may run nets, and within a way by the known phones.
RESEMBLES_NONE = 0.1
# Known phones that explain the readings about as well are averaged, which cancels part of their own errors: what the
# readings say between them counts this much. It counts in full between ways, whose mistakes would not cancel.
SAY_BETWEEN_PHONES = 0.3
# Explanations less probable than this are dropped.
NEGLIGIBLE = 0.005
BISECTIONS = 40


@dataclass(frozen=True, eq=False)
class Predictions:
    """One entry per net, in ms. Readings fall between low_ms and high_ms with the probability asked for."""

    latency_ms: FloatArray
    low_ms: FloatArray
    high_ms: FloatArray


@dataclass(frozen=True, eq=False)
class Resemblance:
    """A known phone as a first guess. number: its place among the sources. way: how nets are taken to be run, an index
    of `Nets.ways`; None where there is but one way."""

    number: int
    source: "FewSamplePredictor"
    way: int | None

    def usual_ms(self, nets: Nets) -> FloatArray:
        """The known phone's usual latency of `nets`, run this way."""
        return self.source.usual_ms(nets if self.way is None else nets.ways[self.way])


@dataclass(frozen=True, eq=False)
class Explanation:
    """One way to explain the readings, and how probable it is: from the features alone, or from a known phone first."""

    probability: float
    regression: Regression
    resemblance: Resemblance | None = None
    source_median_ms: float = 1.0

    def usual(self, nets: Nets) -> tuple[FloatArray, FloatArray]:
        """Usual latency in ms, and the variance of a reading's logarithm that is not noise."""
        if self.resemblance is None:
            return self.regression.predict(nets.groups, None)
        guess = self.resemblance.usual_ms(nets) / self.source_median_ms
        return self.regression.predict(_with_source(nets.groups, guess), guess)


@dataclass(frozen=True, eq=False)
class FewSamplePredictor:
    """Predicts a phone's latency of any net of a space.

    shift: the stated latency's log ratio to the usual one, chosen from the readings' own spread so that as many
      readings as can be fall within the tolerance of `fit`. ways: how many of `Nets.ways` the explanations need.
    """

    space: str
    widths: Mapping[str, int]
    ways: int
    explanations: tuple[Explanation, ...]
    shift: float

    def predict(self, nets: Nets, *, coverage: float = 0.9) -> Predictions:
        """Latency and an interval that holds the share `coverage` of single readings.

        The interval speaks of readings, the noise of the phone included; it need not lie evenly around the latency.
        Raises InputError for nets of another space or other features, and a coverage that is not between 0 and 1.
        """
        if not 0 < coverage < 1:
            raise InputError(f"coverage must lie between 0 and 1, not {coverage!r}")
        found = self._usual(nets)
        centre = np.log(self._mean(found))
        low, high = (self._quantile(found, share) for share in ((1 - coverage) / 2, (1 + coverage) / 2))
        return Predictions(np.exp(centre + self.shift), np.exp(low), np.exp(high))

    def usual_ms(self, nets: Nets) -> FloatArray:
        """The latency in the phone's usual state, in ms, whatever its noise."""
        return self._mean(self._usual(nets))

    def resemblances(self) -> list[tuple[int | None, float]]:
        """What explains the readings, most probable first: the number of the source, None for none of them."""
        totals: dict[int | None, float] = {}
        for item in self.explanations:
            key = None if item.resemblance is None else item.resemblance.number
            totals[key] = totals.get(key, 0.0) + item.probability
        return sorted(totals.items(), key=lambda pair: -pair[1])

    def _usual(self, nets: Nets) -> list[tuple[FloatArray, FloatArray]]:
        if nets.space != self.space or _widths(nets) != self.widths or len(nets.ways) < self.ways:
            raise InputError(f"the predictor knows nets of {self.space} as it was fitted; these of {nets.space} differ")
        return [item.usual(nets) for item in self.explanations]

    def _mean(self, found: Sequence[tuple[FloatArray, FloatArray]]) -> FloatArray:
        parts = [item.probability * usual for item, (usual, _) in zip(self.explanations, found, strict=True)]
        return np.asarray(np.sum(parts, axis=0))

    def _quantile(self, found: Sequence[tuple[FloatArray, FloatArray]], share: float) -> FloatArray:
        """The logarithm below which the share of readings falls, by bisection: (nets,)."""
        logs = [np.log(usual) for usual, _ in found]
        low, high = np.min(logs, axis=0) - 3.0, np.max(logs, axis=0) + 3.0
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            below = np.zeros(len(middle))
            for item, log, (_, variance) in zip(self.explanations, logs, found, strict=True):
                below += item.probability * item.regression.noise.below(middle - log, variance)
            low, high = np.where(below < share, middle, low), np.where(below < share, high, middle)
        return np.asarray((low + high) / 2)


def fit(
    nets: Nets,
    latencies_ms: Sequence[float] | FloatArray,
    *,
    sources: Sequence[FewSamplePredictor] = (),
    tolerance: float = 0.10,
) -> FewSamplePredictor:
    """Fit a predictor to one reading per net, in ms; a net measured twice may be given twice.

    sources: predictors of phones measured before, on nets of the same space. Which of them the phone resembles, and
      whether any, is decided from the readings; with many readings the sources lose their say.
    tolerance: the latency stated is the one within +-tolerance of which most readings fall. 0.10 suits a phone with two
      states; less keeps closer to the usual state.
    Raises InputError for fewer than MIN_NETS nets, for a latency that is not a plausible time, and for sources of
    another space.
    """
    readings = _checked(nets, latencies_ms)
    if not 0 < tolerance < 0.5:
        raise InputError(f"tolerance must lie between 0 and 0.5, not {tolerance!r}")
    if len(sources) > MAX_SOURCES:
        raise InputError(f"{len(sources)} sources; at most {MAX_SOURCES} can be weighed")
    candidates = [
        Resemblance(number, source, way)
        for number, source in enumerate(sources)
        for way in (range(len(nets.ways)) if nets.ways else (None,))
    ]
    found = [Explanation(1.0, regress(nets.groups, readings, ALONE))]
    found += [_resembling(nets, readings, candidate) for candidate in candidates]
    explanations = _weighed(found)
    ways = len(nets.ways) if candidates else 0
    shift = sum(
        item.probability * item.regression.noise.best_shift(item.regression.typical_variance, tolerance)
        for item in explanations
    )
    return FewSamplePredictor(nets.space, _widths(nets), ways, explanations, shift)


def _checked(nets: Nets, latencies_ms: Sequence[float] | FloatArray) -> FloatArray:
    try:
        readings = np.asarray(latencies_ms, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("latencies must be numbers of milliseconds, one per net") from None
    if readings.shape != (len(nets),):
        raise InputError(f"{len(nets)} nets, but latencies of shape {readings.shape}; give one per net")
    if not MIN_NETS <= len(nets) <= MAX_NETS_MEASURED:
        raise InputError(f"{len(nets)} measured nets; a predictor needs {MIN_NETS} to {MAX_NETS_MEASURED}")
    bad = np.flatnonzero(~((readings > 0) & (readings <= MAX_PLAUSIBLE_MS)))
    if len(bad):
        raise InputError(f"net {bad[0]}: latency {readings[bad[0]]} ms; a time is a number of milliseconds above 0")
    return readings


def _resembling(nets: Nets, readings: FloatArray, resemblance: Resemblance) -> Explanation:
    """The readings as a known phone's latencies, their scale and slope refitted, and small differences on top."""
    guess_ms = resemblance.usual_ms(nets)
    median = float(np.median(guess_ms))
    guess = guess_ms / median
    regression = regress(_with_source(nets.groups, guess), readings, RESEMBLING, guess)
    return Explanation(1.0, regression, resemblance, median)


def _with_source(groups: Mapping[str, FloatArray], guess: FloatArray) -> dict[str, FloatArray]:
    return {**groups, "source": guess[:, None]}


def _weighed(found: Sequence[Explanation]) -> tuple[Explanation, ...]:
    """Probabilities by how well each explanation predicts readings that it did not know; the negligible left out."""
    quality = np.array([item.regression.fit_quality for item in found])
    ways = [item.resemblance.way if item.resemblance else None for item in found[1:]]
    members = [1 + np.flatnonzero([way == one for way in ways]) for one in dict.fromkeys(ways)]
    scores = [np.logaddexp.reduce(quality[of]) - np.log(len(of)) + _log_share(len(members)) for of in members]
    top = _normalised(np.array([quality[0] + np.log(RESEMBLES_NONE), *scores]))
    probability = np.full(len(found), top[0])
    for of, share in zip(members, top[1:], strict=True):
        probability[of] = share * _normalised(SAY_BETWEEN_PHONES * quality[of])
    kept = probability >= NEGLIGIBLE
    probability /= probability[kept].sum()
    return tuple(replace(item, probability=float(probability[i])) for i, item in enumerate(found) if kept[i])


def _log_share(ways: int) -> float:
    return float(np.log((1 - RESEMBLES_NONE) / ways))


def _normalised(logs: FloatArray) -> FloatArray:
    weights = np.exp(logs - logs.max())
    return np.asarray(weights / weights.sum())


def _widths(nets: Nets) -> dict[str, int]:
    return {name: columns.shape[1] for name, columns in nets.groups.items()}
