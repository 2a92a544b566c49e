"""The stage `search` as a user meets it: where a run lands, what it refuses beforehand, what it leaves behind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import program
from real_images import put_fashion_mnist
from sample_tables import measured_table

from latency.predict import CostModel
from latency.table import LatencyTable
from pocketnas.space_costs import costs_of
from search.derive import latency_range
from search.searched_supernet import load_supernet
from search.space import load_space

DEMO = load_space("demo")
CONFIG = """
name = "searched"
space = "demo"
host_threads = 1
[data]
source = "DATA"
holdout = 100
[table]
use = "TABLE"
[search]
target_ratio = 0.6
warmup_steps = 2
steps = 6
batch_size = 8
arch_every = 1
arch_learning_rate = 0.05
SEARCH
[train]
steps = 4
batch_size = 8
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few hundred real images, in files of Fashion-MNIST's form."""
    return put_fashion_mnist(tmp_path_factory.mktemp("of-images") / "images", 400, 60)


@pytest.fixture(scope="module")
def table() -> LatencyTable:
    return measured_table(DEMO)


@pytest.fixture
def config(images: Path, table: LatencyTable, tmp_path: Path) -> Callable[..., Path]:
    table.save(tmp_path / "made.parquet")

    def write(search: str = "", target: str = "target_ratio = 0.6") -> Path:
        text = CONFIG.replace("DATA", str(images)).replace("TABLE", str(tmp_path / "made.parquet"))
        path = tmp_path / "config.toml"
        path.write_text(text.replace("SEARCH", search).replace("target_ratio = 0.6", target))
        return path

    return write


def searched(config: Path, *more: str) -> tuple[dict[str, Any], Path]:
    """Table and search of a run; the search's result, and the run."""
    runs = config.parent / "runs"
    done = program("table", "build", config, "--runs", runs)
    assert done.returncode == 0, done.stderr
    done = program("search", config, "--runs", runs, *more)
    assert done.returncode == 0, done.stderr
    run = runs / "searched"
    return json.loads((run / "search" / "result.json").read_text()), run


def search_refused(config: Path, *more: str) -> str:
    runs = config.parent / "runs"
    if not (runs / "searched").exists():
        done = program("table", "build", config, "--runs", runs)
        assert done.returncode == 0, done.stderr
    done = program("search", config, "--runs", runs, *more)
    assert done.returncode == 2, done.stderr
    assert not (runs / "searched" / "search" / "checkpoint.safetensors").exists(), "nothing was searched"
    line = done.stderr.splitlines()[-1]
    assert line.startswith("pocketnas: ")
    return line


@pytest.mark.parametrize(
    "search",
    [
        "hold_target = true",
        'mode = "one-path"\nhold_target = true\nwarmup_paths = "fair"',
        'mode = "all-paths"\nloss = "none"\nderive = "target"',
        'mode = "reinforce"\nsamples = 2\nderive = "target"',
        'mode = "tunas"\nsamples = 2\nderive = "target"\nwarmup_paths = "fair-without-zero"',
    ],
    ids=lambda search: search.splitlines()[0],
)
def test_every_mode_lands_on_the_target(config: Callable[..., Path], search: str) -> None:
    result, run = searched(config(search))
    assert 0.98 * result["target_ms"] <= result["predicted_ms"] <= result["target_ms"]
    assert result["derive"] == "target"
    assert result["mode"] == (search.split('"')[1] if "mode" in search else "two-path")
    supernet, parameters = load_supernet(DEMO, run / "search" / "checkpoint.safetensors", result["fingerprint"])
    assert len(supernet.edges) == len(DEMO.edges)
    rows = [
        row[: len(edge.candidates)] for row, edge in zip(parameters.probabilities().tolist(), DEMO.edges, strict=True)
    ]
    assert rows == result["probabilities"]


def test_a_limit_on_the_command_line_is_kept_also_by_whoever_goes_on(config: Callable[..., Path]) -> None:
    """Also where nothing else asks for a target to be met."""
    path = config()
    runs = path.parent / "runs"
    target_ms = 0.6 * costs_of(measured_table(DEMO), DEMO).latency_ms([1] * len(DEMO.edges))
    limit_ms = 0.99 * target_ms
    result, run = searched(path, "--max-ms", str(limit_ms))
    assert result["max_ms"] == limit_ms
    assert 0.98 * target_ms <= result["predicted_ms"] <= limit_ms
    stages = json.loads((run / "stages.json").read_text())
    (run / "stages.json").write_text(json.dumps({**stages, "search": {"seconds": 1, "done": False}}))
    assert program("search", path, "--runs", runs).returncode == 0
    assert json.loads((run / "search" / "result.json").read_text()) == result
    (run / "search" / "max_ms.json").write_text('{"max_ms": "many"}')
    (run / "stages.json").write_text(json.dumps({**stages, "search": {"seconds": 1, "done": False}}))
    done = program("search", path, "--runs", runs)
    assert done.returncode == 2
    assert "max_ms.json holds no latency; delete it" in done.stderr.splitlines()[-1]


def test_what_cannot_be_met_is_refused_before_the_search(config: Callable[..., Path], table: LatencyTable) -> None:
    costs: CostModel = costs_of(table, DEMO)
    cheapest_ms, dearest_ms = latency_range(costs)
    words = f"predicted to take {cheapest_ms:.4g}"
    for search in ("", 'derive = "target"', 'mode = "tunas"'):
        path = config(search, target=f"target_ms = {0.5 * cheapest_ms}")
        assert f"of {0.5 * cheapest_ms:.4g} ms cannot be met" in (line := search_refused(path))
        assert words in line
        _forget(path)
    path = config("hold_target = true", target=f"target_ms = {2 * dearest_ms}")
    assert f"{cheapest_ms:.4g} to {dearest_ms:.4g} ms" in search_refused(path)


@pytest.mark.parametrize(
    ("search", "limit", "message"),
    [
        ("", "0.0001", "takes 0.0001 ms (max_ms) or less; lower the target, or raise max_ms"),
        ("", "nan", "--max-ms must be a latency above 0 ms, not nan"),
        ("", "-1", "--max-ms must be a latency above 0 ms, not -1.0"),
        ('derive = "argmax"', "5", "says search.derive = argmax, which cannot keep --max-ms"),
        ("max_ms = 4", "5", "says search.max_ms = 4; leave --max-ms out, or change it there"),
    ],
)
def test_a_limit_that_cannot_be_kept_is_refused_before_the_search(
    config: Callable[..., Path], search: str, limit: str, message: str
) -> None:
    path = config(search)
    assert message in search_refused(path, f"--max-ms={limit}")
    done = program("search", path, "--runs", path.parent / "runs")
    assert done.returncode == 0, f"what was refused is not kept: {done.stderr}"


def test_scalars_are_written_where_tensorboard_is_installed(config: Callable[..., Path]) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    result, run = searched(config())
    events = reader.EventAccumulator(str(run / "search" / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("arch_loss")] == [
        point["step"] for point in result["curve"] if "arch_loss" in point
    ]
    assert [event.value for event in events.Scalars("expected_ms")] == pytest.approx(
        [point["expected_ms"] for point in result["curve"]]
    )


def test_scalars_are_left_out_where_not_wanted_and_refused_where_they_cannot_be_written(
    config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, run = searched(path := config("tensorboard = false"))
    assert not (run / "search" / "tensorboard").exists()
    _forget(path)
    monkeypatch.setattr("search.tensorboard.find_spec", lambda _: None)
    _, run = searched(path := config())
    assert not (run / "search" / "tensorboard").exists()
    _forget(path)
    assert "pip install 'pocketnas[tensorboard]'" in search_refused(config("tensorboard = true"))


def _forget(config: Path) -> None:
    """Put the run aside, so that the next one has its name."""
    run = config.parent / "runs" / "searched"
    run.rename(run.with_name(f"searched.{len(list(run.parent.iterdir()))}"))
