"""From raw samples to a latency and how far it can be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from android_bench.stated import StatedRuns, Statistic

RESAMPLES = 10_000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Summary:
    """The latency of one artifact in one session, in ns.

    median_ns: median over processes of each process's median. ci_low_ns, ci_high_ns: its 95 % percentile bootstrap
    interval over processes. p10_ns, p90_ns: of all samples together; None where a tool prints no samples. samples: how
    many; processes: in how many.
    floor_ns: the lowest of the process medians, drift not corrected: what the artifact takes when nothing else wants
    the machine. Other work only ever adds time, so on a machine shared with others this repeats where the median
    does not; where the device itself slows down (a warm phone) the median is what a user gets.
    floor_high_ns: how far above floor_ns another such session may find it: `floor_bound`. settled: whether that is as
    near as the session's protocol asks for, whatever its other artifacts say (`stopping`); None where the session did
    not ask. statistic: "mean" where a tool states the mean of each process's runs and not their median: then it stands
    for the process in all of the above.
    """

    median_ns: float
    ci_low_ns: float
    ci_high_ns: float
    p10_ns: float | None
    p90_ns: float | None
    samples: int
    processes: int
    floor_ns: float
    floor_high_ns: float
    statistic: Statistic = "median"
    settled: bool | None = None


def floor_bound(medians: Sequence[float] | NDArray[np.float64]) -> float:
    """The 97.5th percentile of the lowest of n process medians over all bootstrap resamples of them, exactly: of n
    draws with replacement at least one is among the k lowest with probability 1 - (1 - k/n)^n, and the k-th lowest is
    the bound for the first k where that is 97.5 % or more."""
    ordered = np.sort(medians)
    ranks = np.arange(1, len(ordered) + 1)
    reached = 1 - (1 - ranks / len(ordered)) ** len(ordered) >= 1 - (1 - CONFIDENCE) / 2
    return float(ordered[int(np.argmax(reached))])


def is_settled(medians: Sequence[float] | NDArray[np.float64], least: float, within: float) -> bool:
    """Whether the lowest of the process medians is known well enough: from `least` or more processes, with an interval
    up to `floor_bound` that is no wider than `within` to either side."""
    return len(medians) >= least and floor_bound(medians) <= _nearness(medians, within)


def undisturbed_share(medians: Sequence[float] | NDArray[np.float64], within: float) -> float | None:
    """The share of one artifact's processes whose median is as near the lowest as `is_settled` asks of them, the lowest
    itself not counted. None of fewer than two."""
    if len(medians) < 2:
        return None
    near = np.count_nonzero(np.asarray(medians) <= _nearness(medians, within))
    return float((near - 1) / (len(medians) - 1))


def _nearness(medians: Sequence[float] | NDArray[np.float64], within: float) -> float:
    """Up to where a process median agrees with the lowest: from there, an interval reaches `within` to either side."""
    return float(min(medians) * (1 + 2 * within))


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
    factors = _factors(drift, len(process_samples))
    corrected = [samples / factor for samples, factor in zip(process_samples, factors, strict=True)]
    together = np.concatenate(corrected)
    p10, p90 = np.percentile(together, [10, 90])
    summary = _over_processes(
        np.array([np.median(samples) for samples in corrected]),
        np.array([np.median(samples) for samples in process_samples]),
        together.size,
        seed,
    )
    return replace(summary, p10_ns=float(p10), p90_ns=float(p90))


def summarise_stated(
    process_runs: Sequence[StatedRuns], drift: Sequence[float] | None = None, seed: int = 0
) -> Summary:
    """`summarise` for a tool that prints no samples: what it states of each process's runs stands for the process.
    Raises ValueError as `summarise` does."""
    if not process_runs:
        raise ValueError("at least one process is needed")
    factors = _factors(drift, len(process_runs))
    typical = np.array([runs.typical_ns for runs in process_runs])
    summary = _over_processes(typical / factors, typical, sum(runs.count for runs in process_runs), seed)
    # One mean among medians makes the whole no median any more.
    mean = any(runs.statistic == "mean" for runs in process_runs)
    return replace(summary, statistic="mean" if mean else "median")


def _factors(drift: Sequence[float] | None, processes: int) -> list[float]:
    factors = [1.0] * processes if drift is None else list(drift)
    if len(factors) != processes or not all(factor > 0 for factor in factors):
        raise ValueError("drift needs one factor above zero per process")
    return factors


def _over_processes(medians: NDArray[np.float64], undisturbed: NDArray[np.float64], samples: int, seed: int) -> Summary:
    """medians: of the processes, drift divided out; undisturbed: as they were measured."""
    chosen = np.random.default_rng(seed).integers(0, len(medians), (RESAMPLES, len(medians)))
    tail = (1 - CONFIDENCE) / 2 * 100
    low, high = np.percentile(np.median(medians[chosen], axis=1), [tail, 100 - tail])
    return Summary(
        median_ns=float(np.median(medians)),
        ci_low_ns=float(low),
        ci_high_ns=float(high),
        p10_ns=None,
        p90_ns=None,
        samples=samples,
        processes=len(medians),
        floor_ns=float(undisturbed.min()),
        floor_high_ns=floor_bound(undisturbed),
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
