"""Predicted latency: one invocation, each operator's own share on top, and what whole networks say of such sums."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from latency.opspec import EMPTY, OpSpec
from latency.table import LatencyTable

Interval = Literal["networks", "rows"]


@dataclass(frozen=True, slots=True)
class BlockLatency:
    """One operator's share of a network's latency, its own invocation cost taken off; Zero's is 0 where no row says
    otherwise."""

    op: OpSpec
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predicted latency of a network.

    latency_ms: invocation_ms + the sum of the blocks, each corrected by the table's calibration where it has one.
    sum_ms: the plain sum of the rows. low_ms, high_ms: the 95 % interval; None where the table does not say how
    uncertain its rows are. interval: what it rests on: `networks`, the errors on measured networks that were left out
    of the calibration; or `rows`, only the rows' noise, which does not speak of what a sum leaves out: rows are taken
    as independent and added in quadrature, each as often as it stands in the sum.
    """

    latency_ms: float
    low_ms: float | None
    high_ms: float | None
    invocation_ms: float
    blocks: tuple[BlockLatency, ...]
    sum_ms: float
    interval: Interval | None


def operator_ms(table: LatencyTable, op: OpSpec, place: int | None = None) -> float:
    """What `op` adds to a sum of rows at this place of its chain, in ms: its row less the empty model's, or its row
    where rows are shares; no calibration in it. 0 for Zero unless the table prices it. InputError without a row."""
    if op.kind == "zero" and not table.prices_zero:
        return 0.0
    row = table.row(op, place)
    return row.latency_ms if table.info.rows == "share" else row.latency_ms - table.invocation_ms


def sum_ms(table: LatencyTable, ops: Sequence[OpSpec]) -> float:
    """The plain sum of a chain's rows, in ms: one invocation and what each operator adds to it, nothing corrected."""
    return table.invocation_ms + sum(operator_ms(table, op, place) for place, op in enumerate(ops))


def predicted_ms(table: LatencyTable, op: OpSpec, place: int | None = None) -> float:
    """What `op` is predicted to add to a network, in ms: `operator_ms`, corrected by the table's calibration."""
    own_ms, calibration = operator_ms(table, op, place), table.info.calibration
    return own_ms if calibration is None else calibration.operator_ms(op, own_ms)


def constant_ms(table: LatencyTable) -> float:
    """What a network is predicted to cost before any operator runs, in ms."""
    calibration = table.info.calibration
    return table.invocation_ms if calibration is None else calibration.constant_ms(table.invocation_ms)


def predict(table: LatencyTable, ops: Sequence[OpSpec]) -> Prediction:
    """Predict the latency of a chain of operators. Raises InputError when the table lacks one of them."""
    constant = constant_ms(table)
    blocks = tuple(BlockLatency(op, predicted_ms(table, op, place)) for place, op in enumerate(ops))
    total = constant + sum(block.latency_ms for block in blocks)
    plain = sum_ms(table, ops)
    calibration = table.info.calibration
    if calibration is not None:
        half = total * calibration.half_width_percent / 100
        return Prediction(total, total - half, total + half, constant, blocks, plain, "networks")
    noise = _noise_ms(table, ops)
    if noise is None:
        return Prediction(total, None, None, constant, blocks, plain, None)
    return Prediction(total, total - noise, total + noise, constant, blocks, plain, "rows")


def _noise_ms(table: LatencyTable, ops: Sequence[OpSpec]) -> float | None:
    """None where one of the rows does not state its noise. The empty model's row stands in the sum as an invocation,
    and is taken off every operator that was measured as a model of its own."""
    times: Counter[tuple[int | None, OpSpec]] = Counter()
    for place, op in enumerate(ops):
        if op.kind == "zero" and not table.prices_zero:
            continue
        times[place if (place, op) in table.placed else None, op] += 1
    noises = [(count, table.row(op, place).noise_ms) for (place, op), count in times.items()]
    if EMPTY in table.rows:
        alone = table.info.rows == "alone"
        taken_off = sum(n for (at, op), n in times.items() if alone and table.row(op, at).copies is None)
        noises += [(1 - taken_off, table.rows[EMPTY].noise_ms)] if taken_off != 1 else []
    known = [count * noise for count, noise in noises if noise is not None]
    return math.hypot(*known) if len(known) == len(noises) else None


@dataclass(frozen=True, slots=True)
class CostModel:
    """A table seen from a space, calibration included: expected latency is fixed_ms + sum over edges of
    sum_i p_i * candidate_ms[edge][i]. It is linear in the choices, as every prediction is: what the search takes for
    the latency of a network is what `predict` says of it.

    A cost may be negative: a reading's noise below the empty model's, or a weight of a linear model.
    """

    fixed_ms: float
    candidate_ms: tuple[tuple[float, ...], ...]

    def latency_ms(self, choices: Sequence[int]) -> float:
        """Predicted latency of the architecture with candidate `choices[i]` at edge i."""
        return self.fixed_ms + sum(costs[index] for costs, index in zip(self.candidate_ms, choices, strict=True))


def cost_model(
    table: LatencyTable,
    fixed: Sequence[OpSpec],
    edges: Sequence[Sequence[OpSpec]],
    *,
    space: str,
    before: int = 0,
) -> CostModel:
    """The costs of a space's fixed operators and of every candidate. Raises InputError when a row is missing.

    before: how many of `fixed` stand before the edges; only a table with rows of single places asks.
    """
    after = before + len(edges)
    places = [*range(before), *range(after, after + len(fixed) - before)]
    chosen = [(before + number, op) for number, edge in enumerate(edges) for op in edge]
    table.require_at([*zip(places, fixed, strict=True), *chosen], needed_by=f"space {space}")
    return CostModel(
        fixed_ms=constant_ms(table)
        + sum(predicted_ms(table, op, place) for place, op in zip(places, fixed, strict=True)),
        candidate_ms=tuple(
            tuple(predicted_ms(table, op, before + number) for op in edge) for number, edge in enumerate(edges)
        ),
    )
