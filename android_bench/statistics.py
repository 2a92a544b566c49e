"""From raw samples to a latency and how far it can be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Summary:
    """The latency of one artifact in one session, in ns.

    median_ns: median over processes of each process's median. ci_low_ns, ci_high_ns: its 95 % percentile bootstrap
    interval over processes. p10_ns, p90_ns: of all samples together. samples: how many; processes: in how many.
    floor_ns: the lowest of the process medians, drift not corrected: what the artifact takes when nothing else wants
    the machine. Other work only ever adds time, so on a machine shared with others this repeats where the median
    does not; where the device itself slows down (a warm phone) the median is what a user gets.
    floor_high_ns: how far above floor_ns another such session may find it: the 97.5th percentile of the lowest
    process median over the same resamples.
    """

    median_ns: float
    ci_low_ns: float
    ci_high_ns: float
    p10_ns: float
    p90_ns: float
    samples: int
    processes: int
    floor_ns: float
    floor_high_ns: float


def summarise(
    process_samples: Sequence[NDArray[np.int64]], drift: Sequence[float] | None = None, seed: int = 0
) -> Summary:
    """Summarise one artifact's samples, one array of ns per process.

    drift: one factor per process, from `drift_factors`, that its samples are divided by. The interval is the
    percentile bootstrap (Efron and Tibshirani 1993, section 13.3) over process medians with `RESAMPLES` resamples; with
    one process it is that process's median alone. Raises ValueError for no process, an empty one, or a factor that is
    not above zero.
    """
    if not process_samples or any(len(samples) == 0 for samples in process_samples):
        raise ValueError("every process needs at least one sample")
    factors = [1.0] * len(process_samples) if drift is None else list(drift)
    if len(factors) != len(process_samples) or not all(factor > 0 for factor in factors):
        raise ValueError("drift needs one factor above zero per process")
    corrected = [samples / factor for samples, factor in zip(process_samples, factors, strict=True)]
    medians = np.array([np.median(samples) for samples in corrected])
    chosen = np.random.default_rng(seed).integers(0, len(medians), (RESAMPLES, len(medians)))
    tail = (1 - CONFIDENCE) / 2 * 100
    low, high = np.percentile(np.median(medians[chosen], axis=1), [tail, 100 - tail])
    together = np.concatenate(corrected)
    undisturbed = np.array([np.median(samples) for samples in process_samples])
    p10, p90 = np.percentile(together, [10, 90])
    return Summary(
        median_ns=float(np.median(medians)),
        ci_low_ns=float(low),
        ci_high_ns=float(high),
        p10_ns=float(p10),
        p90_ns=float(p90),
        samples=together.size,
        processes=len(medians),
        floor_ns=float(undisturbed.min()),
        floor_high_ns=float(np.percentile(undisturbed[chosen].min(axis=1), 100 - tail)),
    )


def drift_factors(
    times_ns: Sequence[int],
    sentinel_times_ns: Sequence[int],
    sentinel_medians_ns: Sequence[float],
    overall_median_ns: float,
) -> NDArray[np.float64]:
    """How much slower than usual the device was at each of `times_ns`: 1.05 is 5 % slower.

    The sentinel's median is interpolated linearly in time between the readings around each moment (held flat outside
    them) and divided by its median over the whole session. Sentinel times ascend; all clocks are one device's.
    """
    return np.asarray(np.interp(times_ns, sentinel_times_ns, sentinel_medians_ns) / overall_median_ns)
