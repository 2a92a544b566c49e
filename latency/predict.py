"""Predicted latency: the empty model once, and each operator's own share on top."""

from collections.abc import Sequence
from dataclasses import dataclass

from latency.opspec import OpSpec
from latency.table import LatencyTable


@dataclass(frozen=True, slots=True)
class BlockLatency:
    """One operator's share of a network's latency, its own invocation cost taken off; Zero's is 0."""

    op: OpSpec
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predicted latency of a network.

    latency_ms: invocation_ms + the sum of the blocks. low_ms, high_ms: it, more or less the rows' uncertainties, each
    taken as independent and added in quadrature; they speak of the rows' noise, not of what a sum leaves out.
    """

    latency_ms: float
    low_ms: float
    high_ms: float
    invocation_ms: float
    blocks: tuple[BlockLatency, ...]


def operator_ms(table: LatencyTable, op: OpSpec) -> float:
    """What `op` adds to a network, in ms: its row less the empty model's; 0 for Zero. InputError without a row."""
    return 0.0 if op.kind == "zero" else table.row(op).latency_ms - table.invocation_ms


def predict(table: LatencyTable, ops: Sequence[OpSpec]) -> Prediction:
    """Predict the latency of a chain of operators. Raises InputError when the table lacks one of them."""
    blocks = tuple(BlockLatency(op, operator_ms(table, op)) for op in ops)
    total = table.invocation_ms + sum(block.latency_ms for block in blocks)
    rows = [table.row(op) for op in ops if op.kind != "zero"]
    noise = sum((row.high_ms - row.latency_ms) ** 2 for row in rows) ** 0.5
    return Prediction(total, total - noise, total + noise, table.invocation_ms, blocks)


@dataclass(frozen=True, slots=True)
class CostModel:
    """A table seen from a space: expected latency is fixed_ms + sum over edges of sum_i p_i * candidate_ms[edge][i]."""

    fixed_ms: float
    candidate_ms: tuple[tuple[float, ...], ...]

    def latency_ms(self, choices: Sequence[int]) -> float:
        """Predicted latency of the architecture with candidate `choices[i]` at edge i."""
        return self.fixed_ms + sum(costs[index] for costs, index in zip(self.candidate_ms, choices, strict=True))


def cost_model(
    table: LatencyTable, fixed: Sequence[OpSpec], edges: Sequence[Sequence[OpSpec]], *, space: str
) -> CostModel:
    """The costs of a space's fixed operators and of every candidate. Raises InputError when a row is missing."""
    table.require([*fixed, *(op for edge in edges for op in edge)], needed_by=f"space {space}")
    return CostModel(
        fixed_ms=table.invocation_ms + sum(operator_ms(table, op) for op in fixed),
        candidate_ms=tuple(tuple(operator_ms(table, op) for op in edge) for edge in edges),
    )
