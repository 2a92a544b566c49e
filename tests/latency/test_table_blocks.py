"""Tables of activations and squeeze-and-excitation: files keep them, and files without them stay as they were."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sample_tables import measured_table

from latency.formats.csv_table import load_csv, save_csv
from latency.provenance import TableSource
from latency.table import LatencyTable
from search.space import SearchSpace, load_space

NOBODY = TableSource(format="csv", text="imported from a test", times="unknown")
DEMO = load_space("demo")
GATED = SearchSpace.from_dict(
    DEMO.to_dict() | {"name": "gated", "activation": "hswish", "squeeze_excite": [0, 0.25]}, source="gated.toml"
)


@pytest.mark.parametrize("space", [DEMO, GATED], ids=lambda space: space.name)
def test_a_table_comes_back_from_both_kinds_of_file(space: SearchSpace, tmp_path: Path) -> None:
    table = measured_table(space)
    table.save(tmp_path / "t.parquet")
    assert LatencyTable.load(tmp_path / "t.parquet") == table
    save_csv(table, tmp_path / "t.csv")
    assert load_csv(tmp_path / "t.csv", unknown=NOBODY, tool_version="0") == table


def test_only_a_table_that_needs_it_has_the_column(tmp_path: Path) -> None:
    for space, there in ((DEMO, False), (GATED, True)):
        measured_table(space).save(tmp_path / "t.parquet")
        assert ("squeeze_excite" in pq.ParquetFile(tmp_path / "t.parquet").schema_arrow.names) == there


def test_rows_of_one_place_that_differ_in_their_gate_alone_are_two() -> None:
    table = measured_table(GATED)
    plain, gated = GATED.edges[0].candidates[:2]
    assert (plain.choice, gated.choice) == ("mb3_3x3", "mb3_3x3_se0.25")
    assert table.row(plain) != table.row(gated)
    assert len({entry.key for entry in table.entries()}) == len(table.entries())
