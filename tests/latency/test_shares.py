"""Tables of shares beside measured ones: what may be unknown, what adds up, and what no file may say."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sample_tables import measured_table, table_info

from latency.opspec import EMPTY, OpSpec, zero
from latency.predict import cost_model, operator_ms, predict
from latency.provenance import TableInfo, TableSource
from latency.table import METADATA_KEY, LatencyTable, TableRow
from pocketnas_base.errors import InputError
from search.architecture import assemble
from search.space import load_space

DEMO = load_space("demo")
SOURCE = TableSource(format="csv", text="a test", licence="MIT", times="mean")
SHARES = TableInfo.imported(SOURCE, rows="share", tool_version="0.1.0")
FIRST, SECOND = DEMO.edges[1].candidates[:2]
LEFT_OUT = zero(16, 14)


def share(ms: float, high_ms: float | None = None) -> TableRow:
    return TableRow(ms, high_ms, None, None, None, None, None)


def saved(path: Path, table: LatencyTable) -> Path:
    table.save(path)
    return path


def changed(path: Path, **columns: Any) -> Path:
    """The same file with other values in its first row, or with further columns."""
    table = pq.read_table(path)
    records = table.to_pylist()
    for name, value in columns.items():
        for number, record in enumerate(records):
            record[name] = value if number == 0 else record.get(name)
    pq.write_table(pa.Table.from_pylist(records).replace_schema_metadata(table.schema.metadata), path)
    return path


def test_shares_add_up_on_top_of_the_constant() -> None:
    table = LatencyTable(SHARES, {EMPTY: share(8.0), FIRST: share(0.5), SECOND: share(-0.25)})
    assert table.invocation_ms == 8.0
    assert predict(table, [FIRST, SECOND, FIRST]).latency_ms == 8.75
    assert operator_ms(table, SECOND) == -0.25


def test_without_a_constant_they_add_up_alone_and_zero_is_free() -> None:
    table = LatencyTable(SHARES, {FIRST: share(0.5)})
    assert predict(table, [FIRST, LEFT_OUT]).latency_ms == 0.5
    assert not table.prices_zero


def test_where_zero_has_a_row_anywhere_it_needs_one_everywhere() -> None:
    table = LatencyTable(SHARES, {FIRST: share(0.5), LEFT_OUT: share(0.125)})
    assert predict(table, [FIRST, LEFT_OUT]).latency_ms == 0.625
    with pytest.raises(InputError, match="has no row for zero_s1_24-24_r7"):
        predict(table, [FIRST, zero(24, 7)])
    with pytest.raises(InputError, match="1 operators have no row, zero_s1_24-24_r7 first"):
        table.require([FIRST, zero(24, 7)], needed_by="a net")


def test_a_row_of_a_place_comes_before_one_of_any_place() -> None:
    table = LatencyTable(SHARES, {FIRST: share(1.0)}, {(1, FIRST): share(2.0)})
    assert [operator_ms(table, FIRST, place) for place in (None, 0, 1)] == [1.0, 1.0, 2.0]
    assert predict(table, [FIRST, FIRST, FIRST]).latency_ms == 4.0
    assert [entry.key for entry in table.entries()] == [FIRST.key, f"{FIRST.key}@1"]


def test_a_cost_model_counts_places_from_the_image_on() -> None:
    before, edges, after = DEMO.before, [edge.candidates for edge in DEMO.edges], DEMO.after
    rows = {
        (place, op): share(float(place) + 0.01 * number)
        for place, ops in enumerate(DEMO.chain.places)
        for number, op in enumerate(ops)
    }
    table = LatencyTable(SHARES, {}, rows)
    costs = cost_model(table, (*before, *after), edges, space="demo", before=len(before))
    assert costs.fixed_ms == sum((0, 1, len(edges) + 2, len(edges) + 3))
    assert costs.candidate_ms[3] == tuple(5 + 0.01 * number for number in range(len(edges[3])))
    choices = [number % len(edge) for number, edge in enumerate(edges)]
    assert costs.latency_ms(choices) == pytest.approx(predict(table, assemble(DEMO, choices, "net").ops).latency_ms)
    with pytest.raises(InputError, match="does not cover space demo"):
        cost_model(table, (*before, *after), edges, space="demo")


def test_one_row_of_unknown_noise_makes_the_interval_unknown() -> None:
    table = LatencyTable(SHARES, {FIRST: share(0.5, 0.8), SECOND: share(1.0)})
    known = predict(table, [FIRST])
    assert (known.low_ms, known.high_ms) == pytest.approx((0.2, 0.8))
    twice = predict(table, [FIRST, FIRST])
    assert (twice.low_ms, twice.high_ms) == pytest.approx((0.4, 1.6))
    unknown = predict(table, [FIRST, SECOND])
    assert (unknown.low_ms, unknown.high_ms) == (None, None)


def test_a_measured_table_reads_as_it_always_did(tmp_path: Path) -> None:
    table = measured_table(DEMO)
    path = saved(tmp_path / "t.parquet", table)
    assert not {"place", "tolerated"} & set(pq.read_schema(path).names)
    old = {
        name: value
        for name, value in table.info.model_dump(mode="json").items()
        if name not in ("rows", "source", "tolerated", "delegate", "runner")
    }
    content = pq.read_table(path).replace_schema_metadata({METADATA_KEY: json.dumps(old).encode()})
    pq.write_table(content, path)
    assert LatencyTable.load(path) == table


def test_tolerated_reasons_of_rows_are_kept(tmp_path: Path) -> None:
    table = measured_table(DEMO, tolerated=("drift",))
    rows = {**table.rows, FIRST: replace(table.rows[FIRST], tolerated=("drift",))}
    again = LatencyTable.load(saved(tmp_path / "t.parquet", LatencyTable(table.info, rows)))
    assert {op for op, row in again.rows.items() if row.tolerated} == {FIRST}
    assert again.rows == rows


@pytest.mark.parametrize("name", ["device", "runtime", "threads", "space_fingerprint", "runner", "date_utc"])
def test_what_a_measured_table_cannot_but_know_may_only_be_missing_with_a_source(tmp_path: Path, name: str) -> None:
    plain = {**table_info(DEMO).model_dump(mode="json"), name: None}
    table = measured_table(DEMO)
    path = saved(tmp_path / "t.parquet", table)
    pq.write_table(pq.read_table(path).replace_schema_metadata({METADATA_KEY: json.dumps(plain).encode()}), path)
    with pytest.raises(InputError, match=f"a measured table says its {name}; one that does not needs a source") as no:
        LatencyTable.load(path)
    assert len(str(no.value).splitlines()) == 1
    plain["source"] = SOURCE.model_dump()
    pq.write_table(pq.read_table(path).replace_schema_metadata({METADATA_KEY: json.dumps(plain).encode()}), path)
    assert getattr(LatencyTable.load(path).info, name) is None


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"place": -1}, "row 1: place is -1"),
        ({"place": 1.5}, "row 1: place is 1.5"),
        ({"place": 0}, "row 1: empty_s1_1-1_r1 is not the empty model, or stands at a place"),
        ({"tolerated": ["a reason\nof two lines"]}, "row 1: tolerated must be a list of reasons, by their ids"),
        ({"tolerated": ["x"] * 65}, "row 1: tolerated must be a list of reasons"),
        ({"kind": "zero"}, "row 1: zero_s1_1-1_r1: leaving a block out costs nothing in a table of operators alone"),
        ({"high_ms": None}, "row 1: high_ms is None"),
        ({"processes": None}, "row 1: processes is None"),
        ({"latency_ns": 5.0}, "holds latency_ns, nanoseconds; a table is in milliseconds (latency_ms)"),
    ],
)
def test_what_no_table_may_say_is_refused_by_row(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    path = changed(saved(tmp_path / "t.parquet", measured_table(DEMO)), **columns)
    with pytest.raises(InputError) as caught:
        LatencyTable.load(path)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e9, 1e9, None])
def test_a_share_is_a_number_all_the_same(tmp_path: Path, value: float | None) -> None:
    table = LatencyTable(SHARES, {FIRST: share(0.5), SECOND: share(0.5)})
    path = changed(saved(tmp_path / "t.parquet", table), latency_ms=value)
    with pytest.raises(InputError, match=r"row 1: latency_ms is .*; it must be a number of milliseconds"):
        LatencyTable.load(path)


def test_what_a_hostile_file_calls_its_device_is_one_line() -> None:
    info = SHARES.model_copy(update={"device": "a\nb\x1b[2J", "space": "x\r\ny"})
    name = LatencyTable(info, {FIRST: share(1.0)}).name
    assert len(name.splitlines()) == 1
    assert name.isprintable()


def test_an_operator_is_looked_for_at_its_place_only() -> None:
    op = OpSpec("mbconv", 16, 24, 3, 3, 2, 14)
    table = LatencyTable(SHARES, {}, {(4, op): share(1.0)})
    assert table.find(op) is None
    assert table.find(op, 3) is None
    assert table.find(op, 4) == share(1.0)
