"""Prediction: the empty model once, each operator's own share on top, nothing assumed."""

import itertools
import random
from dataclasses import replace

import pytest
from sample_tables import table_info

from latency.opspec import EMPTY, OpSpec, zero
from latency.predict import CostModel, cost_model, operator_ms, predict
from latency.table import LatencyTable, TableRow
from pocketnas_base.errors import InputError
from search.architecture import assemble
from search.space import SearchSpace, load_space

INVOCATION_MS = 0.25
DEMO = load_space("demo")


def table_with(rows: dict[OpSpec, TableRow], space: SearchSpace = DEMO) -> LatencyTable:
    info = table_info(space)
    return LatencyTable(info, rows)


def row(latency_ms: float, high_ms: float | None = None) -> TableRow:
    high_ms = latency_ms * 1.02 if high_ms is None else high_ms
    return TableRow(latency_ms, high_ms, latency_ms, 0.9 * latency_ms, 1.2 * latency_ms, 600, 20)


@pytest.fixture
def table() -> LatencyTable:
    """Whole numbers of 1/1024 ms: sums of them are exact."""
    drawn = random.Random(0)
    rows = {op: row(INVOCATION_MS + drawn.randint(1, 4096) / 1024) for op in DEMO.op_specs()}
    return table_with({**rows, EMPTY: row(INVOCATION_MS)})


@pytest.mark.parametrize("seed", range(5))
def test_a_prediction_is_one_invocation_and_each_operators_own_share(table: LatencyTable, seed: int) -> None:
    drawn = random.Random(seed)
    choices = [drawn.randrange(len(edge.candidates)) for edge in DEMO.edges]
    ops = assemble(DEMO, choices, "net").ops
    prediction = predict(table, ops)
    shares = [0.0 if op.kind == "zero" else table.rows[op].latency_ms - INVOCATION_MS for op in ops]
    assert prediction.invocation_ms == INVOCATION_MS
    assert prediction.latency_ms == INVOCATION_MS + sum(shares)
    assert [block.op for block in prediction.blocks] == list(ops)
    assert [block.latency_ms for block in prediction.blocks] == shares


def test_zero_costs_nothing_and_needs_no_row(table: LatencyTable) -> None:
    left_out = zero(24, 7)
    assert left_out not in table.rows
    assert operator_ms(table, left_out) == 0.0
    ops = list(DEMO.before)
    assert predict(table, [*ops, left_out]).latency_ms == predict(table, ops).latency_ms


def test_an_operator_that_occurs_twice_counts_twice(table: LatencyTable) -> None:
    op = DEMO.edges[1].candidates[0]
    assert predict(table, [op, op]).latency_ms == INVOCATION_MS + 2 * operator_ms(table, op)


def test_no_operator_is_the_empty_model(table: LatencyTable) -> None:
    prediction = predict(table, [])
    assert prediction.latency_ms == INVOCATION_MS
    assert (prediction.low_ms, prediction.high_ms) == pytest.approx((0.98 * INVOCATION_MS, 1.02 * INVOCATION_MS))


FIRST, SECOND = DEMO.edges[1].candidates[:2]


@pytest.mark.parametrize(
    ("ops", "empty_noise", "noise"),
    [
        ([FIRST], 0.1, 0.3),
        ([FIRST, SECOND, zero(16, 14)], 0.0, 0.5),
        # One row's error is the same each time that the row is used.
        ([FIRST, FIRST], 0.0, 0.6),
        ([FIRST, SECOND, SECOND], 0.0, (0.3**2 + 0.8**2) ** 0.5),
        # An invocation on top, and the empty model taken off three operators.
        ([FIRST, SECOND, SECOND], 0.5, (0.3**2 + 0.8**2 + 1.0**2) ** 0.5),
    ],
)
def test_uncertainties_of_rows_add_in_quadrature(ops: list[OpSpec], empty_noise: float, noise: float) -> None:
    empty = row(INVOCATION_MS, high_ms=INVOCATION_MS + empty_noise)
    noisy = table_with({EMPTY: empty, FIRST: row(1.0, high_ms=1.3), SECOND: row(2.0, high_ms=2.4)})
    prediction = predict(noisy, ops)
    assert prediction.low_ms is not None
    assert prediction.high_ms is not None
    assert prediction.high_ms - prediction.latency_ms == pytest.approx(noise)
    assert prediction.latency_ms - prediction.low_ms == pytest.approx(noise)


def test_an_operator_taken_from_several_copies_holds_nothing_of_the_empty_model() -> None:
    """Its row is an invocation and what one more copy adds: what is wrong with the invocation falls out."""
    short = replace(row(0.3, high_ms=0.34), copies=8)
    noisy = table_with({EMPTY: row(INVOCATION_MS, high_ms=INVOCATION_MS + 0.03), FIRST: short})
    prediction = predict(noisy, [FIRST])
    assert prediction.high_ms - prediction.latency_ms == pytest.approx(0.05)


def test_a_missing_row_is_an_error_that_names_it_never_a_default(table: LatencyTable) -> None:
    absent = DEMO.edges[2].candidates[3]
    holed = table_with({op: row for op, row in table.rows.items() if op != absent})
    ops = assemble(DEMO, [0, 0, 3, *[0] * (len(DEMO.edges) - 3)], "net").ops
    for ask in (
        lambda: predict(holed, ops),
        lambda: operator_ms(holed, absent),
        lambda: holed.require(ops, needed_by="architecture net"),
        lambda: cost_model(holed, [], [edge.candidates for edge in DEMO.edges], space="demo"),
    ):
        with pytest.raises(InputError, match=absent.key) as caught:
            ask()
        assert "\n" not in str(caught.value)
        assert "build" in str(caught.value)


def test_a_table_of_another_space_says_how_much_it_lacks(table: LatencyTable) -> None:
    mobile = load_space("mobile")
    with pytest.raises(InputError, match=r"does not cover space mobile: \d+ operators have no row") as caught:
        cost_model(table, mobile.before, [edge.candidates for edge in mobile.edges], space="mobile")
    assert "\n" not in str(caught.value)


def test_the_cost_model_agrees_with_the_prediction(table: LatencyTable) -> None:
    fixed = (*DEMO.before, *DEMO.after)
    costs = cost_model(table, fixed, [edge.candidates for edge in DEMO.edges], space="demo")
    assert costs.fixed_ms == predict(table, fixed).latency_ms
    drawn = random.Random(1)
    for _ in range(20):
        choices = [drawn.randrange(len(edge.candidates)) for edge in DEMO.edges]
        assert costs.latency_ms(choices) == predict(table, assemble(DEMO, choices, "net").ops).latency_ms
    zeros = [len(edge.candidates) - 1 for edge in DEMO.edges if edge.candidates[-1].kind == "zero"]
    assert zeros
    assert all(
        costs.candidate_ms[number][-1] == 0.0
        for number, edge in enumerate(DEMO.edges)
        if edge.candidates[-1].kind == "zero"
    )


def test_choices_must_be_one_per_edge() -> None:
    costs = CostModel(1.0, ((0.25, 0.5), (2.0, 4.0)))
    choices = itertools.product(range(2), repeat=2)
    assert [costs.latency_ms(pair) for pair in choices] == [3.25, 5.25, 3.5, 5.5]
    with pytest.raises(ValueError, match="argument"):
        costs.latency_ms([0])
