"""Robust Bayesian regression on groups of features: how far each group may matter is learned from the readings.

latency = typical + sum of coefficient x feature, in ms, because the operators of a net run one after another; a reading
is off by a factor, because noise grows with the time it has to come. Coefficients of a group share one prior variance,
chosen with the noise's scale by the evidence (type-II maximum likelihood; MacKay, Neural Computation 4, 1992, on groups
as in automatic relevance determination). So coarse groups are used from ten nets on, and fine ones when there is enough
to tell them apart. Readings are weighed by the states of `noise`, judged by predictions that did not know them
(leave-one-out, in closed form), so that no reading vouches for itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from latency.few_samples.nets import FloatArray, IntArray
from latency.few_samples.noise import Noise, fit_noise, initial

ROUNDS = 7
STEPS = 25
FIRST_SPREAD = 0.1
COARSEST_STEP_MS = 1.0  # that a few readings are all multiples of more is chance
# No net is predicted below this share of the median of the nets measured.
SMALLEST_SHARE = 0.15
SMALLEST_UNEXPLAINED = 1e-3


@dataclass(frozen=True, slots=True)
class Belief:
    """Prior standard deviations, as a share of the median latency: `intercept` of the constant; `default` of what a
    group explains, or its own in `groups`. All but the constant's are known to a factor of e**`log_spread` only, and
    the noise's scale to e**`log_noise`."""

    intercept: float = 1.0
    default: float = 0.2
    groups: Mapping[str, float] | None = None
    log_spread: float = 1.5
    log_noise: float = 0.7

    def of(self, group: str) -> float:
        return (self.groups or {}).get(group, self.default)


@dataclass(frozen=True, eq=False)
class Design:
    """Turns groups of features into columns: centred on the nets measured, and of total variance 1 per group."""

    names: tuple[str, ...]
    centres: tuple[FloatArray, ...]
    scales: tuple[float, ...]

    @classmethod
    def of(cls, groups: Mapping[str, FloatArray]) -> "Design":
        """The design in which `groups` has zero mean and total variance 1; what never varies explains nothing."""
        names = tuple(groups)
        spreads = [float(np.sqrt(groups[name].var(axis=0).sum())) for name in names]
        scales = tuple(1 / spread if spread > 1e-9 else 0.0 for spread in spreads)
        return cls(names, tuple(groups[name].mean(axis=0) for name in names), scales)

    def columns(self, groups: Mapping[str, FloatArray], intercept: float) -> FloatArray:
        """(nets, 1 + features)."""
        parts = [np.full((len(groups[self.names[0]]), 1), intercept)]
        for name, centre, scale in zip(self.names, self.centres, self.scales, strict=True):
            parts.append((groups[name] - centre) * scale)
        return np.hstack(parts)

    @property
    def owner(self) -> IntArray:
        """Which group each column belongs to; the intercept is of none and comes last in number."""
        widths = [len(centre) for centre in self.centres]
        return np.concatenate([[len(widths)], np.repeat(np.arange(len(widths)), widths)]).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Regression:
    """A fitted regression; latencies are shares of `median_ms`.

    covariance_root: its product with its own transpose is the coefficients' posterior covariance.
    fit_quality: sum over the nets measured of the log density of each reading under a prediction that did not know it.
    typical_variance: of a prediction's logarithm, for a net like those measured, the reading's step included.
    """

    median_ms: float
    step: float
    design: Design
    belief: Belief
    coefficients: FloatArray
    covariance_root: FloatArray
    noise: Noise
    fit_quality: float
    typical_variance: float

    def predict(self, groups: Mapping[str, FloatArray], offset: FloatArray | None) -> tuple[FloatArray, FloatArray]:
        """The usual latency in ms, and the variance of a reading's logarithm that is not noise: two arrays (nets,)."""
        columns = self.design.columns(groups, self.belief.intercept)
        share = np.maximum(columns @ self.coefficients + (0.0 if offset is None else offset), SMALLEST_SHARE)
        variance = ((columns @ self.covariance_root) ** 2).sum(axis=1) + self.step**2
        return share * self.median_ms, variance / share**2


def regress(
    groups: Mapping[str, FloatArray], latencies_ms: FloatArray, belief: Belief, offset: FloatArray | None = None
) -> Regression:
    """Fit. offset: what is believed before the fit, as shares of the median; else a constant is."""
    median = float(np.median(latencies_ms))
    target = latencies_ms / median
    step = reading_step_ms(latencies_ms) / median / np.sqrt(12)
    design = Design.of(groups)
    columns, owner = design.columns(groups, belief.intercept), design.owner
    start = np.zeros(len(target)) if offset is None else offset
    evidence = _Evidence(owner, belief, design.names)
    known = unknown = np.ones(len(target)) if offset is None else np.maximum(offset, SMALLEST_SHARE)
    unknown_variance = np.zeros(len(target))
    noise = initial(FIRST_SPREAD)
    parts = np.tile([1.0, 0.0, 0.0], (len(target), 1))
    for turn in range(ROUNDS):
        if turn > 0:
            deviation, variance = np.log(target / unknown), (unknown_variance + step**2) / unknown**2
            noise = fit_noise(deviation, variance)
            parts = noise.responsibilities(deviation, variance)
            noise = noise.centred()
        # Each reading, its states' factors divided out, is one normal reading of the usual latency.
        factors = np.exp(noise.centres)
        precisions = parts / (noise.spreads**2 * known[:, None] ** 2 + step**2)
        weight = precisions.sum(axis=1)
        reading = (precisions * target[:, None] / factors).sum(axis=1) / weight
        scale = evidence.maximise(columns, weight, reading - start, first=turn == 0)
        weight = weight / scale
        if turn == 0:
            noise = noise.scaled(np.sqrt(scale))
        coefficients, root = evidence.posterior(columns, weight, reading - start)
        fitted = columns @ coefficients + start
        variance_known = ((columns @ root) ** 2).sum(axis=1)
        unexplained = np.maximum(1 - weight * variance_known, SMALLEST_UNEXPLAINED)
        known = np.maximum(fitted, SMALLEST_SHARE)
        unknown = np.maximum(reading - (reading - fitted) / unexplained, SMALLEST_SHARE)
        unknown_variance = variance_known / unexplained
    deviation, variance = np.log(target / unknown), (unknown_variance + step**2) / unknown**2
    noise = fit_noise(deviation, variance)
    return Regression(
        median_ms=median,
        step=step,
        design=design,
        belief=belief,
        coefficients=coefficients,
        covariance_root=root,
        noise=noise.centred(),
        fit_quality=float(noise.log_density(deviation, variance).sum()),
        typical_variance=float(variance.mean()),
    )


def reading_step_ms(latencies_ms: FloatArray) -> float:
    """The clock's step, which divides all readings: 1 microsecond to COARSEST_STEP_MS; 0 if all are alike."""
    microseconds = np.rint(latencies_ms * 1000).astype(np.int64)
    if (microseconds == microseconds[0]).all():
        return 0.0
    return min(float(np.gcd.reduce(microseconds)) / 1000, COARSEST_STEP_MS)


class _Evidence:
    """Prior variances of the groups and the scale of the noise: logarithms `state`, kept from round to round."""

    def __init__(self, owner: IntArray, belief: Belief, names: tuple[str, ...]) -> None:
        self.owner, self.belief, self.groups = owner, belief, len(names)
        # The intercept's variance stands in its column; the noise's scale is 1 unless the readings say otherwise.
        self.expected = np.array([2 * np.log(belief.of(name)) for name in names] + [0.0, 0.0])
        self.spread = np.array([belief.log_spread] * self.groups + [0.01, belief.log_noise])
        self.state = self.expected.copy()

    def maximise(self, columns: FloatArray, weight: FloatArray, target: FloatArray, *, first: bool) -> float:
        """Move to the most probable variances, given readings of these weights. Returns the noise's scale.

        first: nothing is known of the noise yet, so its scale is free.
        """
        gram = columns.T @ (columns * weight[:, None])
        pull = columns.T @ (weight * target)
        total = float((weight * target**2).sum())
        spread = self.spread.copy()
        if first:
            spread[-1] = 2.0

        def loss(state: FloatArray) -> tuple[float, FloatArray]:
            """Negative log evidence and prior, and its gradient."""
            noise = np.exp(state[-1])
            root = np.sqrt(np.exp(state[:-1])[self.owner] / noise)
            factor, solved, inverse = _solve(gram, pull, root)
            misfit = total - (root * pull) @ solved
            value = np.log(np.diag(factor)).sum() + 0.5 * (len(target) * state[-1] + misfit / noise)
            unlearned = 1 - np.diag(inverse)
            slopes = np.bincount(self.owner, unlearned - solved**2 / noise, minlength=self.groups + 1)
            slope_noise = len(target) - unlearned.sum() - (misfit - solved @ solved) / noise
            away = (state - self.expected) / spread
            gradient = 0.5 * np.append(slopes, slope_noise) + away / spread
            return float(value + 0.5 * away @ away), gradient

        self.state[-1] = 0.0
        bounds = [(-25.0, 8.0)] * (self.groups + 1) + [(-6.0, 6.0)]
        found = minimize(loss, self.state, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS})
        self.state = np.asarray(found.x)
        return float(np.exp(self.state[-1]))

    def posterior(self, columns: FloatArray, weight: FloatArray, target: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean of the coefficients, and a root of their covariance, at the current variances."""
        root = np.sqrt(np.exp(self.state[:-1])[self.owner])
        gram = columns.T @ (columns * weight[:, None])
        factor, solved, _ = _solve(gram, columns.T @ (weight * target), root)
        return root * solved, root[:, None] * solve_triangular(factor, np.eye(len(root)), lower=True).T


def _solve(gram: FloatArray, pull: FloatArray, root: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of A = I + R gram R: its lower Cholesky factor, A^-1 R pull, and A^-1."""
    system = root[:, None] * gram * root + np.eye(len(root))
    factor = cholesky(system, lower=True, check_finite=False)
    inverse = cho_solve((factor, True), np.eye(len(root)), check_finite=False)
    return factor, inverse @ (root * pull), inverse
