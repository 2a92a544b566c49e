"""Two tables beside each other: the figures of a known pair, and what cannot be compared."""

import random
from dataclasses import replace

import pytest
from sample_tables import measured_table, row, table_info

from latency.diff import diff_tables, rank_correlation
from latency.library import load_table
from latency.opspec import EMPTY, OpSpec
from latency.provenance import TableInfo, TableSource
from latency.table import LatencyTable, TableRow
from pocketnas_base.errors import InputError
from search.space import load_space

DEMO = load_space("demo")
OPS = [op for op in DEMO.op_specs() if op != EMPTY]


def table_of(times: dict[OpSpec, float], **info: object) -> LatencyTable:
    return LatencyTable(table_info(DEMO).model_copy(update=info), {op: row(ms) for op, ms in times.items()})


def shares_of(times: dict[OpSpec, float]) -> LatencyTable:
    source = TableSource(format="proxylessnas", text="a test", times="mean")
    info = TableInfo.imported(source, rows="share", tool_version="0")
    return LatencyTable(info, {op: TableRow(ms, None, None, None, None, None, None) for op, ms in times.items()})


def test_a_table_agrees_with_itself() -> None:
    table = measured_table(DEMO)
    found = diff_tables(table, table)
    assert (found.median_ratio, found.p5_ratio, found.p95_ratio) == (1.0, 1.0, 1.0)
    assert (found.within, found.within_of_median, found.rank_correlation) == (1.0, 1.0, 1.0)
    assert found.provenance == found.only_first == found.only_second == found.not_compared == ()


def test_the_figures_of_a_known_pair() -> None:
    ops = OPS[:5]
    first = table_of(dict(zip(ops, [1.0, 2.0, 3.0, 4.0, 5.0], strict=True)))
    second = table_of(dict(zip(ops, [1.02, 2.0, 3.3, 3.96, 10.0], strict=True)))
    found = diff_tables(first, second)
    assert sorted(found_row.ratio for found_row in found.rows) == pytest.approx([0.99, 1.0, 1.02, 1.1, 2.0])
    assert found.median_ratio == pytest.approx(1.02)
    assert found.p5_ratio == pytest.approx(0.99 + 0.2 * 0.01)
    assert found.p95_ratio == pytest.approx(1.1 + 0.8 * 0.9)
    assert found.within == pytest.approx(3 / 5)
    assert found.rank_correlation == pytest.approx(1.0)
    assert [moved.key for moved in found.rows[:2]] == [ops[4].key, ops[2].key], "the one that moved most comes first"


def test_a_device_that_is_faster_as_a_whole_is_divided_out() -> None:
    table = measured_table(DEMO)
    faster = LatencyTable(table.info, {op: row(each.latency_ms / 2) for op, each in table.rows.items()})
    found = diff_tables(table, faster)
    assert (found.within, found.within_of_median) == (0.0, 1.0)
    assert found.median_ratio == pytest.approx(0.5)


def test_what_only_one_has_and_what_differs_in_provenance_is_named() -> None:
    first = table_of({OPS[0]: 1.0, OPS[1]: 2.0})
    second = table_of({OPS[1]: 2.0, OPS[2]: 3.0}, device="R58M", threads=4)
    found = diff_tables(first, second)
    assert (found.only_first, found.only_second) == ((OPS[0].key,), (OPS[2].key,))
    assert [(each.field, each.first, each.second) for each in found.provenance] == [
        ("device", "local", "R58M"),
        ("threads", 1, 4),
    ]
    assert found.rank_correlation is None, "one value has no rank"


def test_tables_without_a_common_row_are_refused() -> None:
    with pytest.raises(InputError, match="have no operator in common that both give a time for") as caught:
        diff_tables(table_of({OPS[0]: 1.0}), table_of({OPS[1]: 1.0}))
    assert len(str(caught.value).splitlines()) == 1


def test_shares_are_compared_with_what_operators_add() -> None:
    measured = table_of({EMPTY: 0.5, OPS[0]: 1.5, OPS[1]: 2.5})
    found = diff_tables(measured, shares_of({OPS[0]: 1.0, OPS[1]: 1.0}))
    assert found.of_shares
    assert {moved.key: (moved.first_ms, moved.second_ms) for moved in found.rows} == {
        OPS[0].key: (1.0, 1.0),
        OPS[1].key: (2.0, 1.0),
    }
    assert found.only_first == (EMPTY.key,)


def test_a_share_that_is_no_time_is_left_out_and_named() -> None:
    measured = table_of({EMPTY: 0.5, OPS[0]: 1.5, OPS[1]: 0.4})
    found = diff_tables(measured, shares_of({OPS[0]: 1.0, OPS[1]: 1.0}))
    assert found.not_compared == (OPS[1].key,)
    assert len(found.rows) == 1


def test_rows_that_one_table_took_from_several_copies_are_named() -> None:
    first = table_of({EMPTY: 0.5, OPS[0]: 1.5, OPS[1]: 2.5})
    repeated = {op: replace(row, copies=8) if op in OPS[:1] else row for op, row in first.rows.items()}
    second = LatencyTable(first.info, repeated)
    assert diff_tables(first, second).measured_otherwise == (OPS[0].key,)
    assert diff_tables(second, first).measured_otherwise == (OPS[0].key,)
    assert diff_tables(second, second).measured_otherwise == ()


def test_weights_of_a_linear_model_are_refused() -> None:
    mobile = load_space("mobile")
    for pair in ((load_table("pixel1"), measured_table(mobile)), (measured_table(mobile), load_table("pixel1"))):
        with pytest.raises(InputError, match="holds weights of a linear model, which are no times"):
            diff_tables(*pair)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1, 2, 3], [10, 20, 30], 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0),
        ([1, 2, 3, 4], [1, 3, 2, 4], 0.8),
        ([1, 1, 2], [1, 2, 3], 0.8660254037844387),
        ([1, 1], [1, 2], None),
    ],
)
def test_rank_correlation(first: list[float], second: list[float], expected: float | None) -> None:
    assert rank_correlation(first, second) == (None if expected is None else pytest.approx(expected))


def test_rank_correlation_is_that_of_pandas() -> None:
    import pandas as pd

    drawn = random.Random(0)
    first = [drawn.choice([1.0, 2.0, 3.0]) + (drawn.random() if drawn.random() < 0.5 else 0) for _ in range(200)]
    second = [value + drawn.gauss(0, 0.5) for value in first]
    assert rank_correlation(first, second) == pytest.approx(
        pd.Series(first).rank().corr(pd.Series(second).rank()), rel=1e-12
    )


def test_rows_of_one_place_are_compared_with_the_same_place() -> None:
    base = measured_table(DEMO)
    info = base.info.model_copy(update={"rows": "share", "source": TableSource(format="csv", text="a", times="mean")})
    one = TableRow(1.0, None, None, None, None, None, None)
    placed = {(2, OPS[0]): one, (3, OPS[0]): replace(one, latency_ms=2.0)}
    table = LatencyTable(info, {}, placed)
    found = diff_tables(table, table)
    assert {moved.key for moved in found.rows} == {f"{OPS[0].key}@2", f"{OPS[0].key}@3"}
