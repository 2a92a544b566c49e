"""Latency tables on disk: what was saved comes back; whatever else lies there is refused in one line."""

import json
import random
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.opspec import EMPTY, OpSpec
from latency.table import (
    MAX_PLAUSIBLE_MS,
    MAX_TABLE_BYTES,
    METADATA_KEY,
    OWN_RUNNER,
    LatencyTable,
    TableInfo,
    TableRow,
)
from pocketnas_base.errors import InputError
from search.space import load_space

Records = list[dict[str, Any]]

INFO = TableInfo(
    device="local",
    device_model=None,
    device_fingerprint="ab" * 32,
    soc="Some Processor",
    os_version="Some System 12",
    runtime="tflite",
    runtime_version="2.3.0",
    precision="fp32",
    threads=2,
    cores=(0, 3),
    governor="performance",
    temperature_before_c=40.5,
    temperature_after_c=None,
    tool_version="0.1.0",
    date_utc="2026-03-01T12:00:00+00:00",
    space="demo",
    space_fingerprint=load_space("demo").fingerprint,
    seed=7,
)


LATER = {"ci_low_ms", "ci_high_ms", "settled", "copies", "void_samples"}


def demo_table() -> LatencyTable:
    drawn = random.Random(0)
    rows = {}
    for op in load_space("demo").op_specs():
        ms = drawn.uniform(0.001, 0.4)
        rows[op] = TableRow(ms, ms * 1.01, ms * 1.1, ms * 0.9, ms * 1.3, 400, 20)
    return LatencyTable(INFO, rows)


@pytest.fixture(scope="module")
def whole() -> bytes:
    """The content of a good table's file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        demo_table().save(path)
        return path.read_bytes()


def refusal(path: Path) -> str:
    """The one line that says why a table was not read."""
    with pytest.raises(InputError) as caught:
        LatencyTable.load(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(f"table {path}")
    return message


def records() -> Records:
    return [{**op.to_dict(), **asdict(row)} for op, row in demo_table().rows.items()]


def write(path: Path, rows: Records, metadata: object = None) -> Path:
    """A Parquet file in a table's form, with whatever content."""
    plain = INFO.model_dump(mode="json") if metadata is None else metadata
    text = plain if isinstance(plain, bytes) else json.dumps(plain).encode()
    pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata({METADATA_KEY: text}), path)
    return path


def test_a_saved_table_comes_back_as_it_was(tmp_path: Path) -> None:
    table = demo_table()
    table.save(tmp_path / "deep" / "table.parquet")
    again = LatencyTable.load(tmp_path / "deep" / "table.parquet")
    assert again.info == table.info
    assert dict(again.rows) == dict(table.rows)
    assert list(again.rows) == list(table.rows), "rows keep their order"
    assert [entry.name for entry in (tmp_path / "deep").iterdir()] == ["table.parquet"]


def test_what_older_tables_do_not_say_comes_back_too(tmp_path: Path) -> None:
    table = demo_table()
    later = {
        op: replace(row, ci_low_ms=0.1, ci_high_ms=0.2, settled=op.kernel < 5, copies=8 if op.kernel < 5 else None)
        for op, row in table.rows.items()
    }
    later[EMPTY] = replace(later[EMPTY], copies=None, void_samples=40)
    for rows in (later, dict(table.rows)):
        LatencyTable(INFO, rows).save(tmp_path / "table.parquet")
        assert dict(LatencyTable.load(tmp_path / "table.parquet").rows) == rows
        names = set(pq.read_schema(tmp_path / "table.parquet").names)
        assert names & LATER == (LATER if rows is later else set())


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("ci_low_ms", -1.0),
        ("ci_high_ms", float("nan")),
        ("ci_low_ms", 1),
        ("settled", 1),
        ("copies", 1),
        ("copies", 0),
        ("copies", 65_537),
        ("copies", 8.0),
        ("copies", "8"),
        ("void_samples", 0),
        ("void_samples", 1.0),
        ("void_samples", "many"),
    ],
)
def test_what_older_tables_do_not_say_is_checked(tmp_path: Path, column: str, value: object) -> None:
    assert f"{column} is " in refusal(write(tmp_path / "t.parquet", [row | {column: value} for row in records()]))


def test_percentiles_of_samples_may_lack_where_a_row_is_of_several_copies(tmp_path: Path) -> None:
    few = records()
    few[1] |= {"copies": 8, "p10_ms": None, "p90_ms": None}
    for row in few[:1] + few[2:]:
        row["copies"] = None
    table = LatencyTable.load(write(tmp_path / "table.parquet", few))
    assert [row.copies for row in table.rows.values()] == [None, 8] + [None] * (len(few) - 2)
    few[2] |= {"p10_ms": None}
    assert "p10_ms is None" in refusal(write(tmp_path / "table.parquet", few))
    few[2] |= {"p10_ms": 1.0, "copies": 8, "median_ms": None}
    assert "median_ms is None" in refusal(write(tmp_path / "table.parquet", few))


def test_a_failed_save_leaves_the_table_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.parquet"
    demo_table().save(path)
    before = path.read_bytes()

    def fail(_table: object, destination: Path) -> None:
        Path(destination).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(OSError, match="No space left"):
        demo_table().save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.parquet"]


def test_the_columns_carry_their_unit_and_the_file_its_provenance(tmp_path: Path) -> None:
    demo_table().save(tmp_path / "table.parquet")
    schema = pq.read_schema(tmp_path / "table.parquet")
    assert {"latency_ms", "high_ms", "median_ms", "p10_ms", "p90_ms", "samples", "processes"} <= set(schema.names)
    about = json.loads(schema.metadata[METADATA_KEY])
    assert about["schema_version"] == 1
    assert {"device_fingerprint", "soc", "os_version", "runtime_version", "governor", "cores", "date_utc"} <= set(about)


def test_the_empty_model_is_what_an_invocation_costs() -> None:
    table = demo_table()
    assert table.invocation_ms == table.rows[EMPTY].latency_ms


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.parquet")


def test_a_folder_is_not_a_table(tmp_path: Path) -> None:
    (tmp_path / "table.parquet").mkdir()
    assert "cannot be read" in refusal(tmp_path / "table.parquet")


@pytest.mark.parametrize("kept", [0, 1, 3, 4, 5, 8, 100, 1000, -1000, -100, -9, -8, -5, -4, -1])
def test_a_truncated_table_is_refused(tmp_path: Path, whole: bytes, kept: int) -> None:
    path = tmp_path / "table.parquet"
    path.write_bytes(whole[:kept])
    assert "cannot be read" in refusal(path)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_table_cut_anywhere_is_refused(tmp_path: Path, whole: bytes, data: st.DataObject) -> None:
    path = tmp_path / "table.parquet"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert "cannot be read" in refusal(path)


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=300), framed=st.booleans())
def test_random_bytes_are_refused(tmp_path: Path, content: bytes, framed: bool) -> None:
    path = tmp_path / "table.parquet"
    path.write_bytes(b"PAR1" + content + b"PAR1" if framed else content)
    assert "cannot be read" in refusal(path)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_gives_a_table_or_one_line(tmp_path: Path, whole: bytes, data: st.DataObject) -> None:
    """Parquet keeps no checksum by default: a flip may pass as another number, but never as a crash or a bad one."""
    content = bytearray(whole)
    content[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "table.parquet"
    path.write_bytes(content)
    table, problem = None, ""
    try:
        table = LatencyTable.load(path)
    except InputError as error:
        problem = str(error)
    assert len(problem.splitlines()) == (table is None)
    assert table is None or all(0 < row.latency_ms <= MAX_PLAUSIBLE_MS for row in table.rows.values())


def test_a_flipped_byte_of_the_footer_never_ends_the_process(tmp_path: Path, whole: bytes) -> None:
    """pyarrow ends the process on some of these where one asks for a column's metadata."""
    drawn, path = random.Random(1), tmp_path / "table.parquet"
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    refused = 0
    for _ in range(2000):
        content = bytearray(whole)
        content[-drawn.randint(1, footer)] ^= drawn.randint(1, 255)
        path.write_bytes(content)
        try:
            LatencyTable.load(path)
        except InputError:
            refused += 1
    assert refused > 500


def test_an_oversized_file_is_not_even_opened(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    with path.open("wb") as stream:
        stream.truncate(MAX_TABLE_BYTES + 1)
    assert f"at most {MAX_TABLE_BYTES} are read" in refusal(path)


def test_a_small_file_that_unpacks_to_gigabytes_is_refused_before_it_does(tmp_path: Path, whole: bytes) -> None:
    """One long text said 200,000 times over is 40 GB, and 12 kB of Parquet."""
    path = tmp_path / "table.parquet"
    path.write_bytes(whole)
    content = pq.read_table(path)
    rows = 200_000
    same = pa.array([0] * rows, pa.int32())
    columns = {
        name: pa.DictionaryArray.from_arrays(same, pa.array(["k" * 200_000]))
        if name == "kind"
        else content[name].combine_chunks().take(same)
        for name in content.column_names
    }
    pq.write_table(pa.table(columns).replace_schema_metadata(content.schema.metadata), path)
    assert path.stat().st_size < 100_000
    before = pa.default_memory_pool().max_memory()
    assert "has a text in kind of 200000 bytes; at most 1000 are read" in refusal(path)
    assert pa.default_memory_pool().max_memory() < before + 100_000_000


def test_a_column_of_a_kind_that_no_table_has_is_refused(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "table.parquet"
    path.write_bytes(whole)
    content = pq.read_table(path)
    place = content.column_names.index("activation")
    long = pa.array([[["relu6"]]] * len(content))
    pq.write_table(content.set_column(place, "activation", long), path)
    assert "has a column activation.list.element.list.element of a kind that no table has" in refusal(path)
    many = pa.array([["relu6"] * 65] * len(content))
    pq.write_table(content.set_column(place, "activation", many), path)
    assert f"values in activation.list.element, for {len(content)} rows" in refusal(path)


def test_a_foreign_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"img": [b"1", b"2"], "label": [0, 1]}), path)
    assert "is a Parquet file, but not a latency table" in refusal(path)


@pytest.mark.parametrize("change", ["less", "more"])
def test_other_columns_are_refused(tmp_path: Path, change: str) -> None:
    rows = records()
    for row in rows:
        if change == "less":
            del row["p90_ms"]
        else:
            row["mode_ms"] = 0.1
    assert "not a latency table" in refusal(write(tmp_path / "table.parquet", rows))


@pytest.mark.parametrize(
    ("column", "unit"), [("latency_s", "seconds"), ("latency_us", "microseconds"), ("latency_ns", "nanoseconds")]
)
def test_another_unit_is_named(tmp_path: Path, column: str, unit: str) -> None:
    rows = [{column if name == "latency_ms" else name: value for name, value in row.items()} for row in records()]
    message = refusal(write(tmp_path / "table.parquet", rows))
    assert f"holds {column}, {unit}; a table is in milliseconds (latency_ms)" in message


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_schema_version_is_refused(tmp_path: Path, version: object) -> None:
    about = {**INFO.model_dump(mode="json"), "schema_version": version}
    message = refusal(write(tmp_path / "table.parquet", records(), about))
    assert f"schema version {version!r}, this tool reads 1" in message


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (b"{not json", "provenance is not valid JSON"),
        (b"\xff\xfe\x00", "provenance is not valid JSON"),
        (b"[" * 200_000, "provenance is not valid JSON"),
        ([1, 2], "schema version None"),
        ({"schema_version": 1}, "device: Field required"),
        ({**INFO.model_dump(mode="json"), "runtime": "onnx"}, "runtime: Input should be 'tflite' or 'executorch'"),
        ({**INFO.model_dump(mode="json"), "threads": 0}, "threads: Input should be greater than or equal to 1"),
        ({**INFO.model_dump(mode="json"), "phone": "x"}, "phone: Extra inputs are not permitted"),
        ({**INFO.model_dump(mode="json"), "delegate": "dsp"}, "delegate: Input should be 'cpu', 'gpu' or 'nnapi'"),
        ({**INFO.model_dump(mode="json"), "runner": ""}, "runner: String should have at least 1 character"),
    ],
    ids=[
        "broken",
        "not text",
        "nested",
        "a list",
        "nothing else",
        "unknown runtime",
        "no thread",
        "unknown field",
        "unknown delegate",
        "nobody's",
    ],
)
def test_provenance_that_says_nothing_is_refused(tmp_path: Path, metadata: object, message: str) -> None:
    assert message in refusal(write(tmp_path / "table.parquet", records(), metadata))


def spoil(name: str, value: object) -> Callable[[Records], None]:
    def change(rows: Records) -> None:
        if value is None or isinstance(value, float):
            rows[4][name] = value
        else:
            for row in rows:
                row[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (spoil("latency_ms", float("nan")), "row 5: latency_ms is nan; a time is a number of milliseconds above 0"),
        (spoil("latency_ms", float("inf")), "row 5: latency_ms is inf"),
        (spoil("latency_ms", -0.25), "row 5: latency_ms is -0.25"),
        (spoil("latency_ms", 0.0), "row 5: latency_ms is 0.0"),
        (spoil("latency_ms", 2 * MAX_PLAUSIBLE_MS), "row 5: latency_ms is 1200000.0"),
        (spoil("latency_ms", None), "row 5: latency_ms is None"),
        (spoil("high_ms", float("nan")), "row 5: high_ms is nan"),
        (spoil("p10_ms", -1.0), "row 5: p10_ms is -1.0"),
        (spoil("p10_ms", None), "row 5: p10_ms is None"),
        (spoil("latency_ms", "fast"), "row 1: latency_ms is 'fast'"),
        (spoil("median_ms", 3), "row 1: median_ms is 3"),
        (spoil("samples", 0), "row 1: samples is 0; a count is at least 1"),
        (spoil("processes", -1), "row 1: processes is -1"),
        (spoil("samples", None), "row 5: samples is None"),
        (spoil("kind", "pool"), "row 1: unknown operator kind 'pool'"),
        (spoil("kernel", 4), "row 1: empty: kernel must be odd"),
        (spoil("stride", 0), "row 1: empty: stride must be a whole number"),
    ],
)
def test_a_row_with_an_absurd_value_is_refused_by_number(
    tmp_path: Path, change: Callable[[Records], None], message: str
) -> None:
    rows = records()
    change(rows)
    assert message in refusal(write(tmp_path / "table.parquet", rows))


def test_a_row_that_stands_twice_is_refused(tmp_path: Path) -> None:
    rows = records()
    op = OpSpec.from_dict({name: rows[3][name] for name in EMPTY.to_dict()})
    message = refusal(write(tmp_path / "table.parquet", [*rows, rows[3]]))
    assert f"row {len(rows) + 1}: {op.key} stands there twice" in message


def test_a_table_without_the_empty_model_is_refused(tmp_path: Path) -> None:
    rows = [row for row in records() if row["kind"] != "empty"]
    assert "the row of the empty model is missing" in refusal(write(tmp_path / "table.parquet", rows))


def official_table() -> LatencyTable:
    """Measured by a tool that prints no samples, on a phone's GPU."""
    table = demo_table()
    rows = {op: replace(row, p10_ms=None, p90_ms=None) for op, row in table.rows.items()}
    return LatencyTable(INFO.model_copy(update={"delegate": "gpu", "runner": "benchmark_model"}), rows)


def test_a_table_belongs_to_one_runner_and_one_delegate(tmp_path: Path) -> None:
    assert (INFO.runner, INFO.delegate) == (OWN_RUNNER, "cpu")
    official_table().save(tmp_path / "table.parquet")
    again = LatencyTable.load(tmp_path / "table.parquet")
    assert (again.info.runner, again.info.delegate) == ("benchmark_model", "gpu")
    assert again.name.endswith("2 thread, gpu)")
    again.require_measured_by("benchmark_model", "gpu", needed_by="this run")
    for runner, delegate in (("benchmark_model", "cpu"), (OWN_RUNNER, "gpu"), (OWN_RUNNER, "cpu")):
        with pytest.raises(
            InputError, match="was measured by benchmark_model on gpu, but this run is measured by"
        ) as no:
            again.require_measured_by(runner, delegate, needed_by="this run")  # type: ignore[arg-type]
        assert "not to be mixed" in str(no.value)


def test_a_tool_that_prints_no_samples_has_no_percentiles(tmp_path: Path) -> None:
    official_table().save(tmp_path / "table.parquet")
    again = LatencyTable.load(tmp_path / "table.parquet")
    assert dict(again.rows) == dict(official_table().rows)
    assert {(row.p10_ms, row.p90_ms) for row in again.rows.values()} == {(None, None)}


def test_a_table_from_before_delegates_is_our_own_runner_s_on_the_cpu(tmp_path: Path) -> None:
    plain = INFO.model_dump(mode="json", exclude={"delegate", "runner", "tolerated"})
    again = LatencyTable.load(write(tmp_path / "table.parquet", records(), plain))
    assert (again.info.runner, again.info.delegate) == (OWN_RUNNER, "cpu")
