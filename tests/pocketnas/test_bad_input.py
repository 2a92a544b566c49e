"""What a user can get wrong: one clear line, the right exit status, no traceback, nothing lost."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from sample_tables import measured_table, table_info
from small_disks import enlarge, small_disk
from small_runs import SPACE

from latency.opspec import EMPTY
from latency.table import LatencyTable, TableRow
from pocketnas.commands.run import find_run, run_config
from pocketnas.config import builtin_config
from pocketnas_base.errors import InputError
from search.space import load_space

DEMO = builtin_config("demo")[1].decode()


def pocketnas(*words: str | Path, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", "from pocketnas.cli import main; main()", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def refused(*words: str | Path, status: int = 2) -> str:
    """The one line with which a command ends."""
    done = pocketnas(*words)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("pocketnas: ")]
    assert len(lines) == 1, done.stderr
    assert done.stderr.rstrip().endswith(lines[0])
    return lines[0]


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "config.toml"
        path.write_text(text)
        return path

    return write


def other_table(path: Path) -> None:
    """A well-formed table, but of the space `mobile`."""
    space = load_space("mobile")
    info = table_info(space)
    LatencyTable(info, {op: TableRow(1.0, 1.0, 1.0, 1.0, 1.0, 9, 3) for op in (EMPTY, *space.op_specs())}).save(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[search]", "[search"), "is not valid TOML"),
        (("hold_target = true", "hold_traget = true"), "search.hold_traget: Extra inputs are not permitted"),
        (('runtimes = ["tflite", "executorch"]', 'runtimes = ["executorch"]'), "must hold the table's runtime"),
    ],
)
def test_a_broken_config_is_refused_by_field(
    change: tuple[str, str], message: str, config: Callable[[str], Path], tmp_path: Path
) -> None:
    assert change[0] in DEMO
    line = refused("run", config(DEMO.replace(*change, 1)), "--runs", tmp_path / "runs")
    assert message in line
    assert "config.toml" in line
    assert not (tmp_path / "runs").exists()


def test_an_unknown_space_lists_those_known(config: Callable[[str], Path], tmp_path: Path) -> None:
    path = config(DEMO.replace('space = "demo"', 'space = "dmeo"'))
    assert "unknown space 'dmeo'; known: demo, mobile, mobile-24" in refused("run", path, "--runs", tmp_path / "runs")


def test_images_that_are_not_there_are_missed_before_anything_is_measured(
    config: Callable[[str], Path], tmp_path: Path
) -> None:
    path, runs = config(DEMO.replace('"fashion-mnist"', '"/nowhere/cifar"', 1)), tmp_path / "runs"
    for words in (("run", path), ("search", "compare", path), ("search", path, "--targets", "1")):
        line = refused(*words, "--runs", runs)
        assert "unknown data '/nowhere/cifar': no such name, folder or .parquet file; known: fashion-mnist" in line
        assert not (runs / "demo" / "table.parquet").exists()
    assert "unknown data '/nowhere/mnist'" in refused("demo", "--data", "/nowhere/mnist", "--runs", tmp_path / "demos")


def test_photographs_that_do_not_fit_the_space_are_refused_before_a_run_is_begun(
    config: Callable[[str], Path], tmp_path: Path
) -> None:
    for label in ("cat", "dog"):
        for number in range(200):
            path = tmp_path / "images" / label / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    text = DEMO.replace("fashion-mnist", str(tmp_path / "images"))
    runs = tmp_path / "runs"
    with pytest.raises(InputError, match="has 2 classes where 10 are asked for"):
        run_config(config(text), runs, resume=False)
    space = (Path(__file__).parents[2] / "search" / "spaces" / "demo.toml").read_text()
    (tmp_path / "two.toml").write_text(space.replace("classes = 10", "classes = 2"))
    text = text.replace('space = "demo"', f'space = "{tmp_path / "two.toml"}"')
    with pytest.raises(InputError, match="of 320 training images: at least 1 and at most 160"):
        find_run(config(text), runs)
    assert not runs.exists()


def test_an_unknown_device_is_refused(tmp_path: Path) -> None:
    line = refused("table", "build", "--space", "demo", "--out", tmp_path / "t.parquet", "-d", "R58M00")
    assert "unknown device 'R58M00'" in line


def test_a_table_of_another_space_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "demo"
    run.mkdir(parents=True)
    (run / "config.toml").write_text(DEMO)
    (run / "stages.json").write_text(json.dumps({"environment": {"seconds": 0, "done": True}}))
    other_table(run / "table.parquet")
    line = refused("search", run)
    assert "was built for another space (mobile), this run searches demo" in line
    assert (run / "table.parquet").exists()


def test_a_stage_without_what_it_needs_names_the_stage_before(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "demo"
    run.mkdir(parents=True)
    (run / "config.toml").write_text(DEMO.replace('"fashion-mnist"', '"/nowhere/cifar"'))
    (run / "stages.json").write_text(json.dumps({"environment": {"seconds": 0, "done": True}}))
    assert "build it first: pocketnas table build" in refused("search", run)
    assert "search first: pocketnas search" in refused("train", run)
    assert "search first: pocketnas search" in refused("export", run)


def test_a_truncated_image_is_named(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for number, label in enumerate(("cat", "dog")):
            folder = tmp_path / "images" / part / label
            folder.mkdir(parents=True)
            for copy in range(3):
                Image.new("L", (28, 28), 90 * number + copy).save(folder / f"{copy}.png")
    victim = tmp_path / "images" / "train" / "dog" / "1.png"
    victim.write_bytes(victim.read_bytes()[:40])
    space = (Path(__file__).parents[2] / "search" / "spaces" / "demo.toml").read_text()
    (tmp_path / "two.toml").write_text(space.replace("classes = 10", "classes = 2"))
    text = DEMO.replace("fashion-mnist", str(tmp_path / "images")).replace(
        'space = "demo"', f'space = "{tmp_path / "two.toml"}"'
    )
    run = tmp_path / "runs" / "demo"
    run.mkdir(parents=True)
    (run / "config.toml").write_text(text)
    (run / "stages.json").write_text(json.dumps({"environment": {"seconds": 0, "done": True}}))
    two = load_space(str(tmp_path / "two.toml"))
    measured_table(two).save(run / "table.parquet")
    assert "1.png" in refused("search", run)


def test_a_run_is_neither_overwritten_nor_resumed_with_another_config(
    config: Callable[[str], Path], tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "demo"
    run.mkdir(parents=True)
    (run / "config.toml").write_text(DEMO)
    path = config(DEMO)
    assert "already holds a run; go on with it by --resume" in refused("run", path, "--runs", tmp_path / "runs")
    path = config(DEMO.replace("seed = 0", "seed = 1"))
    assert "differs from" in refused("run", path, "--runs", tmp_path / "runs", "--resume")
    assert (run / "config.toml").read_text() == DEMO


def test_a_full_disk_is_said_in_one_line_and_the_work_goes_on_afterwards(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(SPACE)
    with small_disk(tmp_path / "disk", "1m") as disk:
        filler = disk / "filler"
        filler.write_bytes(b"\0" * 1_000_000)
        space = tmp_path / "tiny.toml"
        words = ("table", "build", "--space", space, "--out", disk / "t.parquet", "--processes", "3", "-d", "local")
        line = refused(*words, status=1)
        assert "disk is full; make room and run again" in line
        filler.unlink()
        enlarge(disk, "16m")
        done = pocketnas(*words)
        assert done.returncode == 0, done.stderr
        assert len(LatencyTable.load(disk / "t.parquet").rows) == len(set(load_space(str(space)).op_specs()))
