"""CSV: what was written comes back bit for bit; whatever else lies there is refused in one line."""

import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_tables import measured_table

from latency.formats.csv_table import TITLE, csv_text, load_csv, parse_csv, save_csv
from latency.library import load_table
from latency.opspec import EMPTY
from latency.provenance import TableSource
from latency.rows import TableRow
from latency.table import LatencyTable
from pocketnas_base.errors import InputError
from search.space import load_space

DEMO = load_space("demo")
NOBODY = TableSource(format="csv", text="imported from a test", times="unknown")
COLUMNS = "kind,in_channels,out_channels,kernel,expansion,stride,resolution,residual,activation,latency_ms"
EMPTY_LINE = "empty,1,1,1,1,1,1,false,relu6,0.5"
BLOCK_LINE = "mbconv,16,24,3,6,2,14,false,relu6,1.5"


def parse(*lines: str) -> LatencyTable:
    return parse_csv("\n".join(lines).encode(), where="table t.csv", unknown=NOBODY, tool_version="0")


def test_a_measured_table_comes_back_as_it_was(tmp_path: Path) -> None:
    table = measured_table(DEMO)
    save_csv(table, tmp_path / "t.csv")
    again = load_csv(tmp_path / "t.csv", unknown=NOBODY, tool_version="0")
    assert again == table
    assert list(again.rows) == list(table.rows)
    assert again.info.source is None, "it is still what this tool measured"
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.csv"]


def test_so_do_tolerated_reasons_and_rows_of_single_places(tmp_path: Path) -> None:
    table = measured_table(DEMO)
    op = DEMO.edges[0].candidates[0]
    rows = {**table.rows, op: replace(table.rows[op], tolerated=("throttled", "drift"))}
    for kind in (LatencyTable(table.info, rows), load_table("pixel1")):
        save_csv(kind, tmp_path / "t.csv")
        assert load_csv(tmp_path / "t.csv", unknown=NOBODY, tool_version="0") == kind
        kind.save(tmp_path / "t.parquet")
        assert LatencyTable.load(tmp_path / "t.parquet") == kind


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\r\n\r\n"])
def test_what_editors_and_spreadsheets_add_changes_nothing(end: str) -> None:
    plain = parse(COLUMNS, EMPTY_LINE, BLOCK_LINE)
    content = "\ufeff" + "\r\n".join((COLUMNS, EMPTY_LINE, "", BLOCK_LINE)) + end
    assert parse_csv(content.encode(), where="table t.csv", unknown=NOBODY, tool_version="0") == plain


@pytest.mark.parametrize(("value", "kind"), [("1_5", "number"), ("1.5_0", "number"), ("0x10", "number")])
def test_a_number_that_only_python_reads_is_refused(value: str, kind: str) -> None:
    with pytest.raises(InputError, match=f"row 2: '{value}' is no {kind}"):
        parse(COLUMNS, EMPTY_LINE, BLOCK_LINE.replace("1.5", value))
    with pytest.raises(InputError, match="row 1: '2_4' is no whole number"):
        parse(COLUMNS, BLOCK_LINE.replace("24", "2_4"))


times = st.floats(1e-300, 600_000, allow_nan=False)
weights = st.floats(-600_000, 600_000, allow_nan=False)
counts = st.none() | st.integers(1, 2**60)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(weights, st.none() | weights, counts), min_size=1, max_size=20), st.integers(0, 2**32))
def test_any_share_comes_back_bit_for_bit(values: list[tuple[float, float | None, int | None]], seed: int) -> None:
    drawn = random.Random(seed)
    ops = drawn.sample([op for op in DEMO.op_specs() if op != EMPTY], len(values))
    info = measured_table(DEMO).info.model_copy(update={"rows": "share", "source": NOBODY, "seed": None})
    rows = {
        op: TableRow(
            ms,
            high,
            None,
            None,
            None,
            count,
            None,
            ci_low_ms=high,
            settled=drawn.choice((None, False, True)),
            copies=drawn.choice((None, 2, 64)),
            void_samples=drawn.choice((None, 1, 4000)),
        )
        for op, (ms, high, count) in zip(ops, values, strict=True)
    }
    table = LatencyTable(info, rows)
    assert parse_csv(csv_text(table).encode(), where="t", unknown=NOBODY, tool_version="0") == table


def test_a_file_without_provenance_is_anyones() -> None:
    table = parse(COLUMNS, EMPTY_LINE, BLOCK_LINE)
    assert table.info.source == NOBODY
    assert table.info.rows == "alone", "the empty model is among them"
    assert {table.info.device, table.info.runtime, table.info.threads, table.info.space} == {None}
    assert {row.high_ms for row in table.rows.values()} == {None}
    shares = parse(COLUMNS, BLOCK_LINE)
    assert (shares.info.rows, shares.invocation_ms) == ("share", 0.0)


def test_columns_may_come_in_any_order_and_empty_cells_are_unknown() -> None:
    table = parse(
        "latency_ms,high_ms," + COLUMNS.removesuffix(",latency_ms"), "0.5,," + EMPTY_LINE.removesuffix(",0.5")
    )
    assert table.rows[EMPTY] == TableRow(0.5, None, None, None, None, None, None)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([""], "is a CSV file, but not a latency table of this tool"),
        ([COLUMNS], "has no rows"),
        (["a,b,c", "1,2,3"], "is a CSV file, but not a latency table"),
        (
            [COLUMNS.replace("latency_ms", "latency_us"), EMPTY_LINE],
            "holds latency_us, microseconds; a table is in milli",
        ),
        ([COLUMNS + ",price", EMPTY_LINE + ",3"], "not a latency table of this tool"),
        ([COLUMNS + ",latency_ms", EMPTY_LINE + ",3"], "a column stands there twice"),
        ([COLUMNS, EMPTY_LINE + ",7"], "row 1: 11 values for 10 columns"),
        ([COLUMNS, EMPTY_LINE, BLOCK_LINE, BLOCK_LINE], "row 3: mb6_3x3_s2_16-24_r14 stands there twice"),
        ([COLUMNS, EMPTY_LINE.replace("0.5", "nan")], "row 1: latency_ms is nan"),
        ([COLUMNS, EMPTY_LINE.replace("0.5", "-0.5")], "row 1: latency_ms is -0.5; a time is a number of milliseconds"),
        ([COLUMNS, EMPTY_LINE.replace("0.5", "0")], "row 1: latency_ms is 0.0"),
        ([COLUMNS, EMPTY_LINE.replace("0.5", "1e9")], "row 1: latency_ms is 1000000000.0"),
        ([COLUMNS, EMPTY_LINE.replace("0.5", "fast")], "row 1: 'fast' is no number"),
        ([COLUMNS, EMPTY_LINE.replace("0.5", "")], "row 1: latency_ms is None"),
        (
            [COLUMNS, BLOCK_LINE.replace("1.5", "1e9")],
            "row 1: latency_ms is 1000000000.0; it must be a number of milli",
        ),
        ([COLUMNS, EMPTY_LINE, BLOCK_LINE.replace("16,24", "16,2.5")], "row 2: '2.5' is no whole number"),
        ([COLUMNS, EMPTY_LINE, BLOCK_LINE.replace("false", "no")], "row 2: 'no' is neither true nor false"),
        ([COLUMNS, EMPTY_LINE, BLOCK_LINE.replace("mbconv", "pool")], "row 2: unknown operator kind 'pool'"),
        ([COLUMNS, EMPTY_LINE, BLOCK_LINE.replace(",3,6,", ",4,6,")], "row 2: mbconv: kernel must be odd"),
        ([COLUMNS, EMPTY_LINE, "zero,16,16,1,1,1,14,false,relu6,0.5"], "row 2: zero_s1_16-16_r14: leaving a block out"),
        ([COLUMNS + ",place", EMPTY_LINE + ",-1"], "row 1: place is -1"),
        ([COLUMNS + ",samples", EMPTY_LINE + ",0"], "row 1: samples is 0; a count is at least 1"),
        ([COLUMNS, '"unclosed'], "is not valid CSV: unexpected end of data"),
        ([COLUMNS, "\0" + EMPTY_LINE], "row 1: unknown operator kind '\\x00empty'"),
        ([TITLE, "# device = local", COLUMNS], "line 2: a provenance line reads `# name: JSON value`"),
        ([TITLE, "# schema_version: 7", COLUMNS, EMPTY_LINE], "schema version 7, this tool reads 1"),
        ([TITLE, '# device: "x"', COLUMNS, EMPTY_LINE], "device_model: Field required"),
        (["# a: 1"] * 200 + [COLUMNS, EMPTY_LINE], "has more than 100 lines of provenance"),
        (["# a: " + "[" * 100_000, COLUMNS], "line 1: a provenance line reads"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(lines: list[str], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        parse(*lines)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith("table t.csv")
    assert len(str(caught.value)) < 300


def test_text_that_is_none_and_files_too_large_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        load_csv(tmp_path / "t.csv", unknown=NOBODY, tool_version="0")
    with (tmp_path / "t.csv").open("wb") as stream:
        stream.truncate(17 * 1024 * 1024)
    with pytest.raises(InputError, match="at most 16777216 are read"):
        load_csv(tmp_path / "t.csv", unknown=NOBODY, tool_version="0")


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_a_table_or_one_line(data: st.DataObject) -> None:
    content = bytearray(csv_text(measured_table(DEMO)).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    table, problem = None, ""
    try:
        table = parse_csv(bytes(content), where="table t.csv", unknown=NOBODY, tool_version="0")
    except InputError as error:
        problem = str(error)
    assert len(problem.splitlines()) == (table is None)
