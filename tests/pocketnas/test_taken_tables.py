"""A run that takes a table over instead of measuring one: no device is touched for it, and what was measured elsewhere
is not compared with what is measured here."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import program, refused
from PIL import Image
from sample_tables import measured_table

from android_bench.local import open_local
from latency.library import load_table
from latency.table import LatencyTable
from pocketnas.commands.run import run_config
from pocketnas_base.errors import InputError
from search.space import load_space

DEMO = load_space("demo")
CONFIG = """
name = "taken"
space = "SPACE"
host_threads = 1
[data]
source = "DATA"
holdout = 20
[table]
TABLE
[search]
target_ratio = 0.7
warmup_steps = 2
steps = 4
batch_size = 8
arch_every = 1
[train]
steps = 4
batch_size = 8
[baseline]
multipliers = [0.5]
[rebench]
processes = 2
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise in ten classes: enough for steps that learn nothing."""
    folder, drawn = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for part, count in (("train", 8), ("test", 3)):
        for label in range(10):
            place = folder / part / f"class{label}"
            place.mkdir(parents=True)
            for number in range(count):
                pixels = drawn.integers(0, 256, (28, 28), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")
    return folder


@pytest.fixture
def config(images: Path, tmp_path: Path) -> Callable[..., Path]:
    def write(table: str = "", space: str = "demo") -> Path:
        path = tmp_path / "config.toml"
        path.write_text(CONFIG.replace("DATA", str(images)).replace("TABLE", table).replace("SPACE", space))
        return path

    return write


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A table of the demo space, measured on a machine that is not this one."""
    measured_table(DEMO).save(tmp_path / "elsewhere.parquet")
    return tmp_path / "elsewhere.parquet"


def test_a_published_table_stands_in_for_measuring(config: Callable[..., Path], images: Path, tmp_path: Path) -> None:
    photographs, path = tmp_path / "photographs", config('use = "pixel1"', "mobile")
    for label in range(1000):
        (photographs / str(label)).mkdir(parents=True)
        for number in range(3):
            (photographs / str(label) / f"{number}.png").touch()
    path.write_text(path.read_text().replace(str(images), str(photographs)))
    done = program("table", "build", path, "--runs", tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    assert "taken over: mobile on Pixel 1 (imported, tunas), 148 rows" in done.stderr
    run = tmp_path / "runs" / "taken"
    assert LatencyTable.load(run / "table.parquet") == load_table("pixel1")
    assert not (run / "samples.sqlite").exists(), "nothing was measured"


def test_a_search_takes_a_table_from_the_command_line_and_goes_on_with_it(
    config: Callable[..., Path], elsewhere: Path, tmp_path: Path
) -> None:
    words = ("search", config(), "--runs", tmp_path / "runs", "--table", elsewhere)
    done = program(*words)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "taken"
    assert LatencyTable.load(run / "table.parquet") == load_table(elsewhere)
    result = json.loads((run / "search" / "result.json").read_text())
    assert result["predicted_ms"] > 0
    assert not (run / "samples.sqlite").exists()
    stages = json.loads((run / "stages.json").read_text())
    assert stages["search"]["done"]
    # As after Ctrl-C: the same command goes on, another table is refused.
    (run / "stages.json").write_text(json.dumps({**stages, "search": {"seconds": 1, "done": False}}))
    assert program(*words).returncode == 0
    (run / "stages.json").write_text(json.dumps({**stages, "search": {"seconds": 1, "done": False}}))
    measured_table(DEMO, seed=1).save(tmp_path / "third.parquet")
    assert "has another table than" in refused("search", run, "--table", tmp_path / "third.parquet")


def test_the_command_line_does_not_contradict_the_configuration(
    config: Callable[..., Path], elsewhere: Path, tmp_path: Path
) -> None:
    path = config(f'use = "{elsewhere}"')
    line = refused("search", path, "--runs", tmp_path / "runs", "--table", "pixel1")
    assert f"config.toml says table.use = {elsewhere}; leave --table out" in line


def test_a_search_takes_an_int8_table_where_int8_is_exported(config: Callable[..., Path], tmp_path: Path) -> None:
    measured_table(DEMO, precision="int8").save(tmp_path / "int8.parquet")
    path = config(f'use = "{tmp_path / "int8.parquet"}"\nprecision = "int8"')
    for stage in ("table build", "search"):
        done = program(*stage.split(), path, "--runs", tmp_path / "runs")
        assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "runs" / "taken" / "search" / "result.json").read_text())["predicted_ms"] > 0
    path.write_text(path.read_text() + '\n[export]\nprecisions = ["fp32"]\n')
    line = refused("run", path, "--runs", tmp_path / "other")
    assert "export.precisions must hold the table's precision, int8" in line


@pytest.mark.parametrize(
    ("table", "space", "message"),
    [
        ('use = "pixel2"', "demo", "unknown table 'pixel2'; known: pixel1"),
        ('use = "none.parquet"', "demo", "table none.parquet does not exist"),
        ('use = "pixel1"', "demo", "table pixel1 is of another space (mobile); this run searches demo"),
        ('use = "pixel1"', "mobile-24", "table pixel1 is of another space (mobile); this run searches mobile-24"),
        (
            'use = "ELSEWHERE"\nprecision = "int8"',
            "demo",
            "was measured with precision fp32, but table.precision asks",
        ),
        ('use = "ELSEWHERE"', "demo@32", "is of another space (demo); this run searches demo@32"),
        ('use = "pixel1"', "mobile@192", "table pixel1 is of another space (mobile); this run searches mobile@192"),
        ('use = "pixel1"', "mobile@16", "space mobile takes images of 32 to 4096 px, not of 16"),
        ('use = "ELSEWHERE"\nthreads = 2', "demo", "was measured with threads 1, but table.threads asks for 2"),
        (
            'use = "ELSEWHERE"\nruntime = "executorch"',
            "demo",
            "was measured with runtime tflite, but table.runtime asks",
        ),
        ('use = ""', "demo", "table.use: String should have at least 1 character"),
    ],
)
def test_a_table_that_does_not_fit_the_run_leaves_no_run_behind(
    config: Callable[..., Path], elsewhere: Path, tmp_path: Path, table: str, space: str, message: str
) -> None:
    path = config(table.replace("ELSEWHERE", str(elsewhere)), space)
    with pytest.raises(InputError) as caught:
        run_config(path, tmp_path / "runs", resume=False)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_an_imported_table_of_no_named_space_has_to_cover_the_runs(
    config: Callable[..., Path], elsewhere: Path, tmp_path: Path
) -> None:
    table = load_table(elsewhere)
    missing = DEMO.edges[0].candidates[0]
    assert table.info.source is None
    rows = "kind,in_channels,out_channels,kernel,expansion,stride,resolution,residual,activation,latency_ms\n"
    rows += "".join(
        ",".join(str(value).lower() for value in op.to_dict().values()) + f",{each.latency_ms}\n"
        for op, each in table.rows.items()
    )
    for text, complete in ((rows, True), ("\n".join(x for x in rows.split("\n") if "16,3,3,1,14" not in x), False)):
        (tmp_path / "anyones.csv").write_text(text)
        done = program("table", "import", tmp_path / "anyones.csv", "--out", tmp_path / "anyones.parquet")
        assert done.returncode == 0, done.stderr
        path = config(f'use = "{tmp_path / "anyones.parquet"}"')
        if complete:
            assert program("table", "build", path, "--runs", tmp_path / "runs").returncode == 0
        else:
            assert missing.key in refused("table", "build", path, "--runs", tmp_path / "other")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_circle_on_a_table_of_another_device_compares_nothing(
    config: Callable[..., Path], elsewhere: Path, tmp_path: Path
) -> None:
    done = program("run", config(f'use = "{elsewhere}"'), "--runs", tmp_path / "runs")
    # The noise that these networks learnt decides on nothing: an accuracy may differ by an image.
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "taken"
    summary = json.loads((run / "summary.json").read_text())
    assert summary["prediction_error_percent"] is None
    assert summary["device_drift_percent"] is None
    assert "the table was measured on local, the files on local, another device or system" in summary["not_compared"]
    assert summary["measured_ms"]["tflite"] > 0
    assert "Latency not compared" in (run / "report.html").read_text()
    assert f"latency: {summary['not_compared']}" in done.stdout
    assert "not compared: " in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_table_of_this_very_device_is_compared_although_it_was_taken_over(
    config: Callable[..., Path], tmp_path: Path
) -> None:
    built = program(
        "table", "build", "--space", "demo", "--processes", "2", "-d", "local", "--out", tmp_path / "t.parquet"
    )
    assert built.returncode == 0, built.stderr
    assert load_table(tmp_path / "t.parquet").info.device_fingerprint == open_local().info.fingerprint
    done = program("run", config(f'use = "{tmp_path / "t.parquet"}"'), "--runs", tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "runs" / "taken" / "summary.json").read_text())
    assert summary["not_compared"] is None
    assert summary["prediction_error_percent"] is not None
    assert summary["device_drift_percent"] is not None
