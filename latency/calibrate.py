"""Fitting the correction: as much of it as networks left out of the fit bear witness to, and no more."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from latency.correction import (
    Calibration,
    CalibrationNetwork,
    CorrectionKind,
    constant_terms,
    operator_terms,
    other_terms,
    share_terms,
)
from latency.opspec import OpSpec
from latency.predict import operator_ms, sum_ms
from latency.table import LatencyTable
from pocketnas_base.errors import InputError

FloatArray = NDArray[np.float64]

MIN_NETWORKS = 7
"""Two are in every fit. By fewer than the five that are left to be left out, not even a factor is told from chance."""
NETWORKS_PER_TERM = 2
"""A correction with more terms than half of the networks is not tried: it would fit their noise."""
CONFIDENCE = 0.95
SAME_STATE_PERCENT = 2.0
"""A device that runs its operators by so much slower or faster than when its table was taken is taken to be in the same
state; a prediction is known no better than that."""
# How strongly weights are held at those of the simplest correction: the variance of what is left over divided by that
# of what a term adds, both relative to a latency. From hardly at all to all but fixed.
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
# How often one of the corrections may pass for better than the simplest, with nothing to correct.
MISTAKEN = 0.05
# Further networks pay while what the residual adds to a prediction's interval is wider than so many percent to each
# side: they narrow it little by themselves, but richer corrections ask for more of them.
WANTED_PERCENT = 3.0


@dataclass(frozen=True, slots=True)
class MeasuredNetwork:
    """A whole network and its latency on the table's device, stated as the table's rows are."""

    name: str
    ops: tuple[OpSpec, ...]
    latency_ms: float
    high_ms: float | None


@dataclass(frozen=True, slots=True)
class _Fit:
    """left_out_errors: of the networks that are left out by turns, in their order."""

    kind: CorrectionKind
    weights: dict[str, float]
    left_out_errors: FloatArray

    @property
    def residual(self) -> float:
        return float(np.sqrt(np.mean(self.left_out_errors**2)))


def calibrate(
    table: LatencyTable, networks: Sequence[MeasuredNetwork], *, drifts_percent: Sequence[float] = ()
) -> Calibration:
    """The correction of a table's sums that these networks speak for.

    Each kind of correction is a ridge regression of measured latencies, errors relative, on the terms of
    `latency.correction`, drawn towards the plain sum times a factor. It is judged by its errors on networks left out of
    the fit, one by one; the cheapest and the dearest are in every fit, so that what is left out is interpolated, as
    predictions are. Of those that are better than the plain sum, or a factor of it where that is better, by Wilcoxon's
    signed-rank test of the paired errors (Demsar, JMLR 7, 2006, section 3.1.3), one-sided at `MISTAKEN` over all that
    are tried (Bonferroni), the one with the smallest errors is taken. Ranks, because a network that was measured badly
    is missed by every correction, and its square would outweigh what all others say.
    drifts_percent: how much slower than at the table's time the device was in each session; the networks' latencies are
    without it, but where it was more than `SAME_STATE_PERCENT` either way, predictions are known no better.
    Raises InputError for fewer than `MIN_NETWORKS` networks, a table whose rows are not of operators alone, or one that
    lacks an operator.
    """
    if table.info.rows != "alone":
        raise InputError(f"the table of {table.name} is a linear model already; only measured rows are calibrated")
    if len(networks) < MIN_NETWORKS:
        raise InputError(f"a calibration needs at least {MIN_NETWORKS} measured networks, not {len(networks)}")
    for network in networks:
        table.require(network.ops, needed_by=f"network {network.name}")
    most_terms = len(networks) // NETWORKS_PER_TERM
    sums = [sum_ms(table, network.ops) for network in networks]
    by_turns = sorted(set(range(len(networks))) - {int(np.argmin(sums)), int(np.argmax(sums))})
    kinds = [kind for kind in get_args(CorrectionKind) if _terms_of(table, kind) <= most_terms]
    plain, scale, *richer = [_fit(table, networks, kind, by_turns) for kind in kinds]
    simplest = scale if _is_better(scale, plain, MISTAKEN) else plain
    better = [fit for fit in richer if _is_better(fit, simplest, MISTAKEN / len(richer))]
    chosen = min(better, key=lambda fit: fit.residual, default=simplest)
    left_out = dict(zip(by_turns, map(float, chosen.left_out_errors), strict=True))
    return Calibration(
        kind=chosen.kind,
        coefficients=chosen.weights,
        residual_percent=100 * chosen.residual,
        half_width_percent=_scatter_percent(100 * chosen.residual, len(by_turns))
        + max(SAME_STATE_PERCENT, median(map(abs, drifts_percent)) if drifts_percent else 0.0),
        tried={fit.kind: 100 * fit.residual for fit in (plain, scale, *richer)},
        networks=tuple(
            _record(network, plain_ms, left_out.get(number))
            for number, (network, plain_ms) in enumerate(zip(networks, sums, strict=True))
        ),
        drift_percent=median(drifts_percent) if drifts_percent else None,
        date_utc=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def worth_more(calibration: Calibration) -> bool:
    """Whether networks scatter about their predictions by more than `WANTED_PERCENT`."""
    left_out = sum(network.left_out_ms is not None for network in calibration.networks)
    return _scatter_percent(calibration.residual_percent, left_out) > WANTED_PERCENT


def _scatter_percent(residual_percent: float, count: int) -> float:
    """Student's t over errors that were each made on a network left out: the scatter of a prediction is in them, what
    the device does at another time is not."""
    from scipy.stats import t

    return float(t.ppf((1 + CONFIDENCE) / 2, count - 1)) * residual_percent


def _terms_of(table: LatencyTable, kind: CorrectionKind) -> int:
    return len(share_terms(kind, table.rows)) + len(other_terms(kind))


def _is_better(fit: _Fit, than: _Fit, mistaken: float) -> bool:
    from scipy.stats import wilcoxon

    gains = np.abs(than.left_out_errors) - np.abs(fit.left_out_errors)
    # Without a difference anywhere the test has nothing to rank.
    return bool(gains.any() and wilcoxon(gains, alternative="greater").pvalue <= mistaken)


def _fit(
    table: LatencyTable, networks: Sequence[MeasuredNetwork], kind: CorrectionKind, by_turns: Sequence[int]
) -> _Fit:
    measured = np.array([network.latency_ms for network in networks])
    shares, others = share_terms(kind, table.rows), other_terms(kind)
    names = [*shares, *others]
    terms = np.array([_terms(table, network.ops, kind, names) for network in networks]) / measured[:, None]
    plain = np.array([1.0] * len(shares) + [0.0] * len(others))
    if kind == "sum":
        return _Fit(kind, {"sum": 1.0}, terms[by_turns] @ plain - 1)
    everyone = np.arange(len(networks))
    best: tuple[float, float, FloatArray] | None = None
    for penalty in PENALTIES:
        errors = np.array(
            [terms[i] @ _weights(terms[everyone != i], plain, penalty) - 1 for i in by_turns], dtype=np.float64
        )
        score = float(np.mean(errors**2))
        if best is None or score < best[0]:
            best = score, penalty, errors
    assert best is not None
    _, penalty, errors = best
    weights = _weights(terms, plain, penalty)
    return _Fit(kind, dict(zip(names, map(float, weights), strict=True)), errors)


def _weights(terms: FloatArray, plain: FloatArray, penalty: float) -> FloatArray:
    """Ridge regression of 1 on relative terms [networks, terms], each term in units of what it contributes on average.
    plain: the weights of the plain sum. Weights are drawn towards these times the factor that fits best by itself: how
    much slower networks are than their operators is not held against a richer correction."""
    sums = terms @ plain
    prior = plain * float(sums.sum() / (sums @ sums))
    units = np.sqrt(np.mean(terms**2, axis=0))
    units[units == 0] = 1.0  # a term that no network has keeps its prior
    scaled = terms / units
    gram = scaled.T @ scaled + penalty * np.eye(len(prior))
    moved = np.linalg.solve(gram, scaled.T @ (1 - terms @ prior))
    return np.asarray(prior + moved / units)


def _terms(table: LatencyTable, ops: Sequence[OpSpec], kind: CorrectionKind, names: Sequence[str]) -> list[float]:
    total = dict.fromkeys(names, 0.0)
    for part in [
        constant_terms(kind, table.invocation_ms),
        *(operator_terms(kind, op, operator_ms(table, op)) for op in ops),
    ]:
        for name, value in part.items():
            total[name] += value
    return [total[name] for name in names]


def _record(network: MeasuredNetwork, plain_ms: float, left_out_error: float | None) -> CalibrationNetwork:
    return CalibrationNetwork(
        name=network.name,
        ops=tuple(op.key for op in network.ops),
        sum_ms=plain_ms,
        left_out_ms=None if left_out_error is None else network.latency_ms * (1 + left_out_error),
        measured_ms=network.latency_ms,
        high_ms=network.high_ms,
    )
