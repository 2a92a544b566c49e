"""Stages of a run, stopped in the middle by Ctrl-C, a kill or a full disk, go on as if they had not been."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from real_images import put_fashion_mnist
from sample_tables import table_info
from small_disks import enlarge, small_disk

from latency.opspec import EMPTY
from latency.table import LatencyTable, TableRow
from pocketnas.commands.run import run_config
from pocketnas_base.errors import InputError
from search.space import load_space
from search.zoo import mobilenet_v2_family

ROOT = Path(__file__).parents[2]
CONFIG = """
name = "small"
space = "demo"
host_threads = 1
[data]
source = "DATA"
holdout = 400
[search]
target_ms = 1.2
warmup_steps = 5
steps = 25
batch_size = 16
arch_learning_rate = 0.05
arch_every = 2
hold_target = true
[train]
steps = 20
batch_size = 16
"""
ENTRY = "import search.loop; search.loop.CHECKPOINT_EVERY_S = -1.0; from pocketnas.cli import main; main()"
SEARCHED = ("architecture.json", "search/result.json")
TRAINED = ("weights.safetensors", "baseline/weights.safetensors", "train/derived.json", "train/baseline.json")


def start(*words: str | Path) -> "subprocess.Popen[str]":
    """The command line, with a checkpoint after every step of this process, as the leader of its own group."""
    command = [sys.executable, "-c", ENTRY, *map(str, words)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=ROOT
    )


def finish(*words: str | Path) -> tuple[int, str]:
    process = start(*words)
    _, err = process.communicate(timeout=200)
    return process.returncode, err


def assert_last_line(err: str, words: str) -> None:
    """The command's own word is one line, and there is no traceback from it or from a process it started."""
    own = [line for line in err.splitlines() if line.startswith("pocketnas: ")]
    assert len(own) == 1, err
    assert words in own[0]
    assert err.splitlines()[-1] == own[0]
    assert "Traceback" not in err


def wait_until(condition: Callable[[], bool], timeout_s: float = 100) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def put_table(path: Path) -> None:
    """A table such as `local` gives, without the minutes that measuring takes: this is about what comes after it."""
    space, drawn = load_space("demo"), random.Random(0)
    info = table_info(space)
    rows = {}
    for op in space.op_specs():
        ms = 0.01 if op == EMPTY else 0.01 + op.macs / 5e6 * drawn.uniform(0.9, 1.1)
        rows[op] = TableRow(ms, ms * 1.02, ms * 1.1, ms * 0.9, ms * 1.3, 400, 20)
    LatencyTable(info, rows).save(path)


def put_run(run: Path, images: Path) -> Path:
    """A run whose table is measured and whose baseline is chosen."""
    run.mkdir(parents=True)
    (run / "config.toml").write_text(CONFIG.replace("DATA", str(images)))
    done = {stage: {"seconds": 1.0, "done": True} for stage in ("environment", "table")}
    (run / "stages.json").write_text(json.dumps(done))
    put_table(run / "table.parquet")
    mobilenet_v2_family(load_space("demo"), [0.5])[0].save(run / "baseline" / "architecture.json")
    return run


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_fashion_mnist(tmp_path_factory.mktemp("data") / "images", 2000, 300)


@pytest.fixture(scope="module")
def finished(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose search and training nothing stopped."""
    run = put_run(tmp_path_factory.mktemp("straight") / "small", images)
    for stage in ("search", "train"):
        status, err = finish(stage, run)
        assert status == 0, err
    return run


@pytest.fixture
def searched(finished: Path, images: Path, tmp_path: Path) -> Path:
    """The same run, its search ended and its training not begun."""
    run = put_run(tmp_path / "small", images)
    for name in SEARCHED:
        (run / name).parent.mkdir(exist_ok=True)
        shutil.copy(finished / name, run / name)
    return run


@pytest.fixture
def full_soon(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "150k") as disk:
        yield disk


def assert_same(run: Path, finished: Path, names: tuple[str, ...]) -> None:
    for name in names:
        assert (run / name).read_bytes() == (finished / name).read_bytes(), name


def test_a_search_ended_by_ctrl_c_goes_on_from_its_checkpoint(finished: Path, images: Path, tmp_path: Path) -> None:
    run = put_run(tmp_path / "small", images)
    process = start("search", run)
    wait_until((run / "search" / "checkpoint.safetensors").exists)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert_last_line(err, "interrupted; nothing is lost")
    assert not (run / "architecture.json").exists()
    status, err = finish("search", run)
    assert status == 0, err
    assert_same(run, finished, SEARCHED)


@pytest.mark.slow
def test_a_search_killed_over_and_over_ends_as_one_that_was_not(finished: Path, images: Path, tmp_path: Path) -> None:
    run = put_run(tmp_path / "small", images)
    checkpoint = run / "search" / "checkpoint.safetensors"
    for _ in range(2):
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        process = start("search", run)
        wait_until(lambda before=before: checkpoint.exists() and checkpoint.stat().st_mtime_ns > before)
        process.kill()
        process.communicate(timeout=60)
        assert not (run / "architecture.json").exists()
    status, err = finish("search", run)
    assert status == 0, err
    assert_same(run, finished, SEARCHED)


def workers_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.slow
def test_ctrl_c_ends_both_trainings_and_leaves_no_process_behind(searched: Path) -> None:
    config = searched / "config.toml"
    config.write_text(config.read_text().replace("steps = 20", "steps = 100000"))
    process = start("train", searched)
    wait_until(lambda: len(workers_of(process)) == 2)
    workers = workers_of(process)
    wait_until(lambda: all(worker.cpu_times().user > 3 for worker in workers))
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert_last_line(err, "interrupted; nothing is lost")
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    assert not json.loads((searched / "stages.json").read_text())["train"]["done"]


@pytest.mark.slow
def test_a_training_whose_worker_dies_says_which_and_goes_on(finished: Path, searched: Path) -> None:
    process = start("train", searched)
    wait_until(lambda: len(workers_of(process)) > 0)
    (victim, *_) = workers_of(process)
    victim.kill()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert_last_line(err, "network ended with status -9; run it again to go on")
    status, err = finish("train", searched)
    assert status == 0, err
    assert_same(searched, finished, TRAINED)


@pytest.mark.slow
def test_a_search_on_a_full_disk_says_so_and_goes_on_when_there_is_room(
    finished: Path, images: Path, full_soon: Path
) -> None:
    run = put_run(full_soon / "small", images)
    status, err = finish("search", run)
    assert status == 1
    assert_last_line(err, "no space left on the disk")
    assert not list(run.rglob("*.part*"))
    enlarge(full_soon, "64m")
    status, err = finish("search", run)
    assert status == 0, err
    assert_same(run, finished, SEARCHED)


@pytest.mark.slow
def test_a_training_on_a_full_disk_says_so_and_goes_on_when_there_is_room(
    finished: Path, searched: Path, full_soon: Path
) -> None:
    run = full_soon / "small"
    shutil.copytree(searched, run)
    status, err = finish("train", run)
    assert status == 1
    assert_last_line(err, "no space left on the disk")
    enlarge(full_soon, "64m")
    status, err = finish("train", run)
    assert status == 0, err
    assert_same(run, finished, TRAINED)


def test_a_stage_that_is_done_is_not_done_again(finished: Path) -> None:
    before = (finished / "weights.safetensors").stat().st_mtime_ns
    for stage in ("search", "train"):
        status, err = finish(stage, finished)
        assert status == 2
        assert_last_line(err, f"stage {stage} of {finished} is done; start another run")
    assert (finished / "weights.safetensors").stat().st_mtime_ns == before


def test_a_damaged_checkpoint_is_named_and_kept(searched: Path) -> None:
    checkpoint = searched / "search" / "checkpoint.safetensors"
    checkpoint.write_bytes(b"damaged")
    status, err = finish("search", searched)
    assert status == 2
    assert_last_line(err, f"checkpoint {checkpoint} cannot be read")
    assert checkpoint.read_bytes() == b"damaged"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("DATA", "/nowhere/cifar", "unknown data '/nowhere/cifar'"),
        ('space = "demo"', 'space = "moble"', "unknown space 'moble'; known: demo, mobile, mobile-24"),
        ('space = "demo"', 'space = "demo"\ndevice = "R58M123"', "unknown device 'R58M123'"),
        (
            "[train]",
            '[table]\nprecision = "int8"\n[export]\nprecisions = ["fp16"]\n[train]',
            "export.precisions must hold the table's precision, int8",
        ),
        ("hold_target = true", 'loss = "mul#log"', "needs a target above 1 ms, not 0.9"),
        ("[train]", "[train.augmentation]\nhue = 0.1\n[train]", "saturation and hue are of colours"),
        ("[train]", "[search.augmentation]\nshift_px = 28\n[train]", "28 pixels cannot be shifted by up to 28"),
        ("target_ms = 1.2", "target_ratio = 0.5", "is a share of the all-mb6_3x3 net"),
    ],
)
def test_what_no_stage_could_work_with_leaves_no_run_behind(tmp_path: Path, old: str, new: str, message: str) -> None:
    """A corrected configuration would otherwise be told that it differs from that of a run which never began."""
    text = CONFIG.replace(old, new).replace("DATA", "fashion-mnist")
    if "mul#log" in new:
        text = text.replace("target_ms = 1.2", "target_ms = 0.9")
    if "target_ratio" in new:
        space = (ROOT / "search" / "spaces" / "demo.toml").read_text().replace("[3, 6]", "[2, 4]")
        (tmp_path / "other.toml").write_text(space)
        text = text.replace('space = "demo"', f'space = "{tmp_path / "other.toml"}"')
    config = tmp_path / "config.toml"
    config.write_text(text)
    with pytest.raises(InputError, match=message):
        run_config(config, tmp_path / "runs", resume=False)
    assert not (tmp_path / "runs").exists()
