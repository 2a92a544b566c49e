"""Predicted latency: the empty model once, and each operator's own share on top."""

from collections.abc import Sequence
from dataclasses import dataclass

from latency.opspec import OpSpec
from latency.table import LatencyTable


@dataclass(frozen=True, slots=True)
class BlockLatency:
    """One operator's share of a network's latency, its own invocation cost taken off; Zero's is 0 where no row says
    otherwise."""

    op: OpSpec
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predicted latency of a network.

    latency_ms: invocation_ms + the sum of the blocks. low_ms, high_ms: it, more or less the rows' uncertainties, each
    taken as independent and added in quadrature; they speak of the rows' noise, not of what a sum leaves out. None
    where the table does not say how uncertain its rows are.
    """

    latency_ms: float
    low_ms: float | None
    high_ms: float | None
    invocation_ms: float
    blocks: tuple[BlockLatency, ...]


def operator_ms(table: LatencyTable, op: OpSpec, place: int | None = None) -> float:
    """What `op` adds to a network at this place of its chain, in ms: its row less the empty model's, or its row where
    rows are shares. 0 for Zero unless the table prices it. InputError without a row."""
    if op.kind == "zero" and not table.prices_zero:
        return 0.0
    row = table.row(op, place)
    return row.latency_ms if table.info.rows == "share" else row.latency_ms - table.invocation_ms


def predict(table: LatencyTable, ops: Sequence[OpSpec]) -> Prediction:
    """Predict the latency of a chain of operators. Raises InputError when the table lacks one of them."""
    blocks = tuple(BlockLatency(op, operator_ms(table, op, place)) for place, op in enumerate(ops))
    total = table.invocation_ms + sum(block.latency_ms for block in blocks)
    noise = _noise_ms(table, ops)
    low, high = (None, None) if noise is None else (total - noise, total + noise)
    return Prediction(total, low, high, table.invocation_ms, blocks)


def _noise_ms(table: LatencyTable, ops: Sequence[OpSpec]) -> float | None:
    squares = 0.0
    for place, op in enumerate(ops):
        if op.kind == "zero" and not table.prices_zero:
            continue
        noise = table.row(op, place).noise_ms
        if noise is None:
            return None
        squares += noise**2
    return float(squares**0.5)


@dataclass(frozen=True, slots=True)
class CostModel:
    """A table seen from a space: expected latency is fixed_ms + sum over edges of sum_i p_i * candidate_ms[edge][i].

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
        fixed_ms=table.invocation_ms
        + sum(operator_ms(table, op, place) for place, op in zip(places, fixed, strict=True)),
        candidate_ms=tuple(
            tuple(operator_ms(table, op, before + number) for op in edge) for number, edge in enumerate(edges)
        ),
    )
