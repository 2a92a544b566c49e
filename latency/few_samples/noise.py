"""How one reading of a net's latency differs from the net's usual latency: a mixture that knows slow states and strays.

Phones have a second state now and then, hot or on another cluster of cores, in which everything takes a fixed factor
longer; and single readings go astray. With squared errors both pull at every coefficient. Here a reading's logarithm,
less that of the usual latency, is drawn from one of three bells: usual, slowed, stray.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr

from latency.few_samples.nets import FloatArray

# What is believed before any reading, as if it had been seen in PRIOR_READINGS readings.
PRIOR_READINGS = 10.0
PRIOR_SHARES = np.array([0.84, 0.12, 0.04])
PRIOR_SPREAD = 0.05
PRIOR_SLOWDOWN = 0.2

STRAY_CENTRE = 0.25
STRAY_SPREAD = 0.45
SLOWED_SPREAD_RATIO = 1.2  # a hot phone is not only slower but also less steady
SMALLEST_SPREAD = 0.008
SLOWDOWN_RANGE = (0.08, 0.6)
ITERATIONS = 60
# (share of slowed readings, slowdown, spread) to start from; without a slowed state first.
STARTS = ((0.0, 0.2, 0.05), (0.3, 0.2, 0.05), (0.4, 0.15, 0.04), (0.1, 0.25, 0.05))

# The stated latency leaves the usual state's middle only where that gains more than this share of readings.
WORTH_LEAVING_THE_MIDDLE = 0.01


@dataclass(frozen=True, eq=False)
class Noise:
    """Shares, centres and spreads of the three bells (usual, slowed, stray), in natural logarithms of a ratio."""

    shares: FloatArray
    centres: FloatArray
    spreads: FloatArray

    @property
    def slowdown(self) -> float | None:
        """By what factor the slowed state is slower than the usual one; None where none was found."""
        return float(np.exp(self.centres[1] - self.centres[0])) if self.shares[1] > 0 else None

    def log_parts(self, deviation: FloatArray, variance: FloatArray) -> FloatArray:
        """Log of share times density of each bell, at log ratios that are themselves uncertain: (readings, 3)."""
        total = self.spreads**2 + variance[:, None]
        square = (deviation[:, None] - self.centres) ** 2 / total
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.shares) - 0.5 * (np.log(2 * np.pi * total) + square))

    def log_density(self, deviation: FloatArray, variance: FloatArray) -> FloatArray:
        """Log density of each reading."""
        return np.asarray(np.logaddexp.reduce(self.log_parts(deviation, variance), axis=1))

    def responsibilities(self, deviation: FloatArray, variance: FloatArray) -> FloatArray:
        """The probability that each reading came from each bell: (readings, 3)."""
        parts = self.log_parts(deviation, variance)
        return np.asarray(np.exp(parts - np.logaddexp.reduce(parts, axis=1)[:, None]))

    def below(self, deviation: FloatArray, variance: FloatArray) -> FloatArray:
        """The probability of a reading below each log ratio."""
        spread = np.sqrt(self.spreads**2 + variance[:, None])
        return np.asarray(ndtr((deviation[:, None] - self.centres) / spread) @ self.shares)

    def best_shift(self, variance: float, tolerance: float) -> float:
        """The log ratio to state: readings within +-`tolerance` of it are as many as can be.

        Stays as near to the usual state's centre as WORTH_LEAVING_THE_MIDDLE allows.
        """
        shifts = np.linspace(-0.2, 0.3, 101)
        spread_out = np.full(len(shifts), variance)
        within = self.below(shifts - np.log1p(-tolerance), spread_out)
        within -= self.below(shifts - np.log1p(tolerance), spread_out)
        good = shifts[within >= within.max() - WORTH_LEAVING_THE_MIDDLE]
        return float(good[np.argmin(np.abs(good - self.centres[0]))])

    def scaled(self, factor: float) -> "Noise":
        """The same with the usual and the slowed state's spread `factor` times as wide."""
        return replace(self, spreads=self.spreads * np.array([factor, factor, 1.0]))

    def centred(self) -> "Noise":
        """The same with the usual state's centre at 0."""
        return replace(self, centres=self.centres - self.centres[0])


def initial(spread: float) -> Noise:
    """Before any residual is known: one state of this spread, and strays."""
    return Noise(
        np.array([1 - PRIOR_SHARES[2], 0.0, PRIOR_SHARES[2]]),
        np.array([0.0, PRIOR_SLOWDOWN, STRAY_CENTRE]),
        np.array([spread, SLOWED_SPREAD_RATIO * spread, STRAY_SPREAD]),
    )


def fit_noise(deviation: FloatArray, variance: FloatArray) -> Noise:
    """The most probable mixture, given log ratios of readings to predictions that did not know them.

    variance: that of each prediction and of the reading's own step, which are no noise. A slowed state is found only
    where it pays for its parameters (BIC).
    """
    fits = [_maximise(start, deviation, variance) for start in STARTS]
    return max(fits, key=lambda fit: fit[1])[0]


def _maximise(start: tuple[float, float, float], deviation: FloatArray, variance: FloatArray) -> tuple[Noise, float]:
    """Expectation maximisation from one start: the mixture and its log probability, penalised."""
    slowed, slowdown, spread = start
    two_states = slowed > 0
    centre = 0.0
    strays = PRIOR_SHARES[2]
    beliefs = PRIOR_READINGS * PRIOR_SHARES * np.array([1, two_states, 1])
    noise = _mixture(np.array([1 - slowed - strays, slowed, strays]), centre, slowdown, spread)
    ratio = np.array([1.0, SLOWED_SPREAD_RATIO])
    for _ in range(ITERATIONS):
        parts = noise.responsibilities(deviation, variance)
        shares = (parts.sum(axis=0) + beliefs) / (len(deviation) + beliefs.sum())
        weights = parts[:, :2] / (noise.spreads[:2] ** 2 + variance[:, None])
        usual, slow = weights.sum(axis=0)
        pulls = weights.T @ deviation
        if two_states:
            belief = _slowdown_weight(spread)
            system = np.array([[usual + slow, slow], [slow, slow + belief]])
            target = np.array([pulls.sum(), pulls[1] + belief * PRIOR_SLOWDOWN])
            centre, slowdown = np.linalg.solve(system, target)
            slowdown = float(np.clip(slowdown, *SLOWDOWN_RANGE))
        else:
            centre = pulls[0] / usual
        own = noise.spreads[:2] ** 2
        kept = own / (own + variance[:, None])
        square = (kept * (deviation[:, None] - centre - np.array([0, slowdown]))) ** 2 + kept * variance[:, None]
        half = PRIOR_READINGS / 2
        mean_square = ((parts[:, :2] * square / ratio**2).sum() + half * PRIOR_SPREAD**2) / (parts[:, :2].sum() + half)
        spread = max(float(np.sqrt(mean_square)), SMALLEST_SPREAD)
        noise = _mixture(shares, centre, slowdown, spread)
    fitted = noise.log_density(deviation, variance).sum() + (beliefs * np.log(np.maximum(shares, 1e-9))).sum()
    fitted -= PRIOR_READINGS / 2 * (np.log(spread) + 0.5 * (PRIOR_SPREAD / spread) ** 2)
    if two_states:
        fitted -= 0.5 * _slowdown_weight(spread) * (slowdown - PRIOR_SLOWDOWN) ** 2
        fitted -= 1.5 + 0.5 * np.log(len(deviation))
    return noise, float(fitted)


def _slowdown_weight(spread: float) -> float:
    """The precision with which PRIOR_SLOWDOWN is believed: that of a fraction of a reading."""
    return 0.025 * PRIOR_READINGS / spread**2


def _mixture(shares: FloatArray, centre: float, slowdown: float, spread: float) -> Noise:
    centres = np.array([centre, centre + slowdown, centre + STRAY_CENTRE])
    return Noise(shares, centres, np.array([spread, SLOWED_SPREAD_RATIO * spread, STRAY_SPREAD]))
