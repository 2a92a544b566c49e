"""From samples to a latency."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from android_bench.statistics import drift_factors, summarise


def test_median_is_taken_over_processes_not_over_samples() -> None:
    summary = summarise([np.array([10] * 1000), np.array([20, 20, 99]), np.array([30])])
    assert summary.median_ns == 20
    assert (summary.samples, summary.processes) == (1004, 3)


def test_interval_matches_every_resample_enumerated() -> None:
    medians = [10.0, 11.0, 13.0, 17.0, 29.0]
    every = [np.median(chosen) for chosen in itertools.product(medians, repeat=5)]
    low, high = np.percentile(every, [2.5, 97.5])
    summary = summarise([np.array([int(median)]) for median in medians])
    assert (summary.ci_low_ns, summary.ci_high_ns) == (low, high)


def test_one_process_has_no_spread_between_processes() -> None:
    summary = summarise([np.array([1, 2, 3])])
    assert (summary.ci_low_ns, summary.median_ns, summary.ci_high_ns) == (2, 2, 2)
    assert summary.p10_ns == pytest.approx(1.2)
    assert summary.p90_ns == pytest.approx(2.8)


def test_same_seed_gives_the_same_interval() -> None:
    samples = list(np.random.default_rng(0).integers(100, 200, (7, 50)))
    assert summarise(samples, seed=3) == summarise(samples, seed=3)


def test_drift_is_divided_out_of_every_number_but_the_floor() -> None:
    steady = [np.array([100, 110, 120]), np.array([90, 100, 110])]
    drifted = [steady[0] * 2, steady[1] * 3]
    expected, corrected = summarise(steady), summarise(drifted, [2.0, 3.0])
    assert (corrected.floor_ns, corrected.floor_high_ns) == (220, 300)
    undisturbed = replace(corrected, floor_ns=expected.floor_ns, floor_high_ns=expected.floor_high_ns)
    assert undisturbed == expected


def test_floor_is_the_median_of_the_fastest_process() -> None:
    assert summarise([np.array([30, 31, 1]), np.array([20, 21, 900])], [1.0, 2.0]).floor_ns == 21


@pytest.mark.parametrize(
    ("samples", "drift"), [([], None), ([[]], None), ([[1]], [1.0, 1.0]), ([[1]], [0.0]), ([[1]], [float("nan")])]
)
def test_nothing_is_summarised_from_nonsense(samples: list[list[int]], drift: list[float] | None) -> None:
    with pytest.raises(ValueError, match="process"):
        summarise([np.array(taken) for taken in samples], drift)


def test_drift_is_interpolated_between_the_readings_around_a_moment() -> None:
    factors = drift_factors([0, 100, 150, 200, 500], [100, 200], [10.0, 20.0], 10.0)
    np.testing.assert_allclose(factors, [1.0, 1.0, 1.5, 2.0, 2.0])
