"""Several ranks as a user meets them: one key of the configuration, torchrun, ranks that die or do not agree."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import program, refused
from small_runs import CONFIG, write_run

from latency.library import load_table
from pocketnas.config import parse_config
from pocketnas.launch import place_from_environment
from pocketnas.space_costs import costs_of
from pocketnas_base.errors import InputError
from search.architecture import assemble
from search.derive import latency_range
from search.network import load_weights
from search.ranks import Ranks
from search.space import load_space

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}
OFTEN = "import search.loop; search.loop.CHECKPOINT_EVERY_S = 0.2; from pocketnas.cli import main; main()"


def of_ranks(count: int, **changes: str) -> str:
    text = CONFIG.replace("host_threads = 1", f"host_threads = 1\nranks = {count}")
    for old, new in changes.items():
        text = re.sub(rf"^{old} = .*$", f"{old} = {new}", text, flags=re.MULTILINE)
    return text


def begun(folder: Path, config: str) -> Path:
    """A run that has its table."""
    folder.mkdir()
    path = write_run(folder, with_family=False, config=config)
    done = program("table", "build", path, "--runs", folder)
    assert done.returncode == 0, done.stderr
    return folder / "small"


def result_of(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "search" / "result.json").read_text()))


def started(*words: str | Path) -> "subprocess.Popen[str]":
    """A process of its own."""
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )


def test_a_batch_that_ranks_cannot_divide_is_refused_with_the_configuration() -> None:
    with pytest.raises(InputError, match=r"search.batch_size 8 must be a multiple of ranks, 3"):
        parse_config(of_ranks(3).encode(), source="small")


def test_torchrun_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    assert place_from_environment() is None
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    assert place_from_environment() == Ranks(3, 4, 1, 2)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert place_from_environment() is None
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(InputError, match="must be whole numbers"):
        place_from_environment()


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("run", "CONFIG"), "a whole run"),
        (("search", "CONFIG"), "beginning a run"),
        (("search", "RUN", "--table", "pixel1"), "--table"),
        (("search", "RUN", "--targets", "1", "--by", "probabilities"), "search --targets --by probabilities"),
        (("search", "compare", "RUN"), "search compare"),
        (("export", "RUN"), "stage export"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_the_work_of_one_process_is_refused_under_torchrun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], what: str
) -> None:
    run = begun(tmp_path / "work", CONFIG)
    places = {"CONFIG": str(tmp_path / "work" / "config.toml"), "RUN": str(run)}
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    line = refused(*(places.get(word, word) for word in words), *(("--runs", tmp_path) if words[0] == "run" else ()))
    assert what in line
    assert "torchrun is for: pocketnas search RUN_DIR, with or without --targets, and pocketnas train RUN_DIR" in line


@pytest.mark.slow
def test_two_ranks_search_and_train_as_one_does(tmp_path: Path) -> None:
    runs = {}
    for count in (1, 2):
        run = begun(tmp_path / str(count), of_ranks(count))
        assert (done := program("search", run)).returncode == 0, done.stderr
        runs[count] = run
    one, two = result_of(runs[1]), result_of(runs[2])
    assert one["fingerprint"] == two["fingerprint"]
    assert one["chosen"] == two["chosen"]
    for edge, other in zip(one["probabilities"], two["probabilities"], strict=True):
        assert edge == pytest.approx(other, abs=1e-5)
    for run in runs.values():
        (run / "baseline").mkdir()
        (run / "baseline" / "architecture.json").write_bytes((run / "architecture.json").read_bytes())
        assert (done := program("train", run)).returncode == 0, done.stderr
    weights = [load_weights(run / "weights.safetensors") for run in runs.values()]
    assert all((weights[0][name] - weights[1][name]).abs().max() < 1e-3 for name in weights[0])


@pytest.mark.slow
def test_torchrun_starts_what_is_one_search(tmp_path: Path) -> None:
    by_key, by_torchrun = begun(tmp_path / "key", of_ranks(2)), begun(tmp_path / "torchrun", CONFIG)
    assert (done := program("search", by_key)).returncode == 0, done.stderr
    command = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "pocketnas", "search")
    process = started(*command, by_torchrun)
    _, err = process.communicate()
    assert process.returncode == 0, err
    one, two = result_of(by_key), result_of(by_torchrun)
    for name in ("fingerprint", "chosen", "probabilities", "curve"):
        assert one[name] == two[name]
    assert not list((by_torchrun / "search").glob(".*"))


@pytest.mark.slow
def test_with_nothing_left_to_train_nobody_waits_for_the_first(tmp_path: Path) -> None:
    """Both networks are trained, and what ended before the stage was marked done is called again."""
    run = begun(tmp_path / "run", CONFIG)
    for place in (run, run / "baseline"):
        place.mkdir(exist_ok=True)
        space = load_space(str(run / "space.toml"))
        assemble(space, [0] * len(space.edges), "net").save(place / "architecture.json")
    assert (done := program("train", run)).returncode == 0, done.stderr
    stages = json.loads((run / "stages.json").read_text())
    (run / "stages.json").write_text(json.dumps({**stages, "train": {"seconds": 1.0, "done": False}}))
    command = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "pocketnas", "train")
    process = started(*command, run)
    try:
        _, err = process.communicate(timeout=200)
    finally:
        process.terminate()
    assert process.returncode == 0, err
    assert json.loads((run / "stages.json").read_text())["train"]["done"]


@pytest.mark.slow
def test_several_targets_of_two_ranks_are_those_of_one(tmp_path: Path) -> None:
    """By one process, by two that a key of the configuration starts, and by two that torchrun starts."""
    whole = begun(tmp_path / "whole", CONFIG)
    cheapest_ms, dearest_ms = latency_range(
        costs_of(load_table(whole / "table.parquet"), load_space(str(whole / "space.toml")))
    )
    asked = ("--targets", f"{(cheapest_ms + dearest_ms) / 2:.6f},{dearest_ms:.6f}", "--json")
    chosen, supernets = [], []
    for name, count in (("one", 1), ("key", 2), ("torchrun", 1)):
        run = tmp_path / name
        shutil.copytree(whole, run)
        text = (run / "config.toml").read_text()
        (run / "config.toml").write_text(text.replace("host_threads = 1", f"host_threads = 1\nranks = {count}"))
        if name == "torchrun":
            command = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "pocketnas")
            process = started(*command, "search", run, *asked)
            _, err = process.communicate()
            assert process.returncode == 0, err
        else:
            assert (done := program("search", run, *asked)).returncode == 0, done.stderr
        (front,) = json.loads((run / "targets" / "fronts.json").read_text())["fronts"]
        chosen.append([(network["macs"], network["latency_ms"]) for network in front["networks"]])
        supernets.append(load_weights(run / "targets" / "one_shot.safetensors"))
    assert chosen[0] == chosen[1] == chosen[2]
    one, by_key, by_torchrun = supernets
    assert all((one[name] - by_key[name]).abs().max() < 1e-3 for name in one)
    assert all(by_key[name].equal(by_torchrun[name]) for name in one)


@pytest.mark.slow
def test_a_rank_that_dies_ends_the_others_and_the_search_goes_on(tmp_path: Path) -> None:
    """Killed from outside in the middle of its steps; the same command then ends where an undisturbed search ends."""
    psutil = pytest.importorskip("psutil")
    long = {"steps": "150", "warmup_steps": "30"}
    straight, killed = (
        begun(tmp_path / "straight", of_ranks(2, **long)),
        begun(tmp_path / "killed", of_ranks(2, **long)),
    )
    assert (done := program("search", straight)).returncode == 0, done.stderr
    process = started("-c", OFTEN, "search", killed)
    checkpoint = killed / "search" / "checkpoint.safetensors"
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.1)
    assert process.poll() is None, "it was over before it could be disturbed"
    followers = [child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())]
    assert len(followers) == 1
    followers[0].send_signal(signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode == 1
    assert err.splitlines()[-1] == (
        "pocketnas: rank 1 ended with status -9; the same command again goes on from the last checkpoint"
    )
    assert not (killed / "search" / "result.json").exists()
    assert (done := program("search", killed)).returncode == 0, done.stderr
    assert result_of(killed) == {**result_of(straight), "data": result_of(killed)["data"]}
    mine, theirs = (load_weights(run / "search" / "checkpoint.safetensors") for run in (killed, straight))
    assert [name for name in mine if not mine[name].equal(theirs[name])] == []


@pytest.mark.slow
def test_the_others_end_with_the_first(tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    run = begun(tmp_path / "run", of_ranks(2, steps="100000"))
    process = started("-c", OFTEN, "search", run)
    while not (run / "search" / "checkpoint.safetensors").exists() and process.poll() is None:
        time.sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=120)
    assert alive == []


@pytest.mark.slow
def test_what_a_rank_cannot_do_is_said_in_its_words(tmp_path: Path) -> None:
    """Rank 1 finds other images than rank 0: a function of the user's own that does not give the same twice."""
    run = begun(tmp_path / "run", of_ranks(2))
    (tmp_path / "fickle.py").write_text(
        "import numpy as np\nimport os\n"
        "def images(*, resolution, channels):\n"
        "    drawn = np.random.default_rng(os.getpid())\n"
        "    pixels = drawn.integers(0, 255, (64, resolution, resolution, channels)).astype(np.uint8)\n"
        "    return {'train_images': pixels, 'train_labels': np.arange(64) % 4}\n"
    )
    text = (run / "config.toml").read_text()
    (run / "config.toml").write_text(re.sub("^source = .*$", 'source = "fickle:images"', text, flags=re.MULTILINE))
    process = subprocess.run(
        [sys.executable, "-m", "pocketnas", "search", run],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(tmp_path)]), "OMP_NUM_THREADS": "1"},
    )
    assert process.returncode == 1
    assert "pocketnas: rank 1 does not agree with rank 0 at step 0" in process.stderr.splitlines()[-1]
