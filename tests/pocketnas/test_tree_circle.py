"""The whole circle over a space of tree cells, tiny and real, through the command line."""

import json
from pathlib import Path

import pytest
from circles import pocketnas, write_config

from latency.table import LatencyTable
from search.architecture import Architecture
from search.space import load_space

SPACE = """
name = "tiny-tree"
resolution = 28
image_channels = 1
classes = 10
pyramid = { stem = 8, alpha = 8, blocks = [1, 1], bottleneck = 2 }
tree = { branches = 2, depth = 1, operators = ["sepconv_3x3", "dilconv_3x3", "avgpool_3x3", "maxpool_3x3", "identity"] }
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("config")
    (folder / "space.toml").write_text(SPACE)
    return write_config(folder, name="trees", space=str(folder / "space.toml"), ratio=0.8)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_run_goes_from_tree_cells_to_measured_files(config: Path, tmp_path: Path) -> None:
    done = pocketnas("run", config, "--runs", tmp_path, timeout_s=3000)
    assert done.returncode == 0, done.stderr
    run, space = tmp_path / "trees", load_space(str(config.parent / "space.toml"))
    net = Architecture.load(run / "architecture.json")
    assert net.inputs == space.inputs is not None
    assert set(space.op_specs()) <= set(LatencyTable.load(run / "table.parquet").rows)
    summary = json.loads((run / "summary.json").read_text())
    assert 0.98 * summary["target_ms"] <= summary["predicted_ms"] <= summary["target_ms"]
    assert set(summary["measured_ms"]) == {"tflite", "executorch"}
    assert all(error < 1e-4 for error in summary["parity"].values())
    assert summary["top1"]["torch"] > 10
    assert summary["baseline"]["name"] in ("pyramid-x0.5", "pyramid-x1.0")
    report = (run / "report.html").read_text()
    assert "block1.tree1.1" in report
    again = pocketnas("predict", "-t", run / "table.parquet", "-a", run / "architecture.json", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["latency_ms"] == pytest.approx(summary["predicted_ms"])


def test_an_int8_table_of_tree_cells_is_refused_before_a_run_begins(config: Path, tmp_path: Path) -> None:
    int8 = tmp_path / "int8.toml"
    int8.write_text(config.read_text().replace("[table]", '[table]\nprecision = "int8"'))
    done = pocketnas("run", int8, "--runs", tmp_path / "runs")
    assert done.returncode == 2
    assert "tree cells are exported in fp32, not in int8" in done.stderr
    assert not (tmp_path / "runs" / "trees").exists()
