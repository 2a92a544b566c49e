"""`pocketnas search compare`: every method named, the same answer after kills, and what stands against a comparison."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import program, refused
from small_runs import CONFIG, made_up_table, write_images, write_run

from pocketnas.commands.run import find_run
from pocketnas.commands.search_compare import compare_searches
from pocketnas.pipeline import run_one
from pocketnas.searches.contest import Contest
from pocketnas.searches.names import METHODS
from pocketnas.space_costs import costs_of
from pocketnas.stages.context import RunContext
from search.architecture import Architecture
from search.space import load_space

SEARCHED = [name for name in METHODS if name != "mobilenet-v2"]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A comparison of everything with two seeds: where its files are, and its document."""
    folder = tmp_path_factory.mktemp("compared")
    words = ("search", "compare", write_run(folder), "--runs", folder / "runs", "--seeds", "2")
    done = program(*words, "--json")
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def of_run(config: Path, runs: Path) -> Contest:
    """The comparison that a run would begin."""
    directory = find_run(config, runs)
    run_one(directory, "table")
    return Contest(RunContext(directory))


def without_seconds(document: dict[str, Any]) -> dict[str, Any]:
    """Time is the one thing that no two runs share."""
    plain = json.loads(json.dumps(document))
    for method in plain["methods"].values():
        del method["seconds"]
        if method["against"]:
            del method["against"]["seconds_ratio"]
    return plain


def test_every_method_has_its_cost_and_its_quality(compared: tuple[Path, dict[str, Any]]) -> None:
    _, document = compared
    assert list(document["methods"]) == list(METHODS)
    assert document["left_out"] == {}
    for name, method in document["methods"].items():
        assert method["seeds"] == [0, 1]
        assert 0 <= method["accuracy"]["low"] <= method["accuracy"]["value"] <= method["accuracy"]["high"] <= 100
        assert method["latency_ms"]["high"] <= document["target_ms"] * (1 + 1e-9)
        assert (method["seconds"]["value"] > 0) == (name != "mobilenet-v2")
    by = document["methods"]
    assert by["proxyless"]["images_trained"] == (6 + 2) * 8
    assert by["evolution"]["images_trained"] == by["random"]["images_trained"] == 6 * 8
    assert by["evolution"]["candidates_evaluated"] == by["random"]["candidates_evaluated"] == 4
    assert by["train-each"]["candidates_trained"] == 2
    assert by["train-each"]["images_trained"] == 2 * 2 * 8
    assert by["proxyless"]["against"]["accuracy_difference"] == {"value": 0, "low": 0, "high": 0}
    assert by["train-each"]["against"]["images_ratio"]["value"] == pytest.approx(32 / 64)
    assert by["mobilenet-v2"]["against"]["seconds_ratio"] is None


def test_the_table_names_every_method_and_says_what_stands_in_it(compared: tuple[Path, dict[str, Any]]) -> None:
    folder, document = compared
    done = program("search", "compare", folder / "runs" / "small", "--seeds", "2")
    assert done.returncode == 0, done.stderr
    rows = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("│")]
    assert rows == list(METHODS)
    for name in SEARCHED:
        assert f"{document['methods'][name]['accuracy']['value']:.2f} [" in done.stdout
    assert "95 % bootstrap interval over 2 seeds" in done.stdout


def test_one_seed_claims_no_interval(compared: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = compared
    done = program("search", "compare", folder / "runs" / "small", "--methods", "random,proxyless", "--json")
    document = json.loads(done.stdout)
    assert list(document["methods"]) == ["proxyless", "random"]
    assert document["methods"]["random"]["accuracy"]["low"] is None


class Killed(BaseException):
    """What no handler in the product catches."""


def test_a_comparison_killed_again_and_again_ends_as_one_that_was_not(
    compared: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Killed after every seventh step of whatever is at hand, searches and trainings alike."""
    from search import loop

    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", -1.0)
    straight = loop.State.save
    saved = 0

    def dying(self: Any, path: Path, *, belongs_to: str) -> None:
        nonlocal saved
        straight(self, path, belongs_to=belongs_to)
        saved += 1
        if saved % 7 == 0:
            raise Killed

    monkeypatch.setattr(loop.State, "save", dying)
    config, kills = write_run(tmp_path), 0
    # The same images under the same path: a run's fingerprints know their content, not where it lies.
    while True:
        try:
            compare_searches(config, tmp_path / "runs", None, 2, as_json=True)
            break
        except Killed:
            kills += 1
            capsys.readouterr()
    assert kills > 5
    ended, (folder, document) = json.loads(capsys.readouterr().out), compared
    same = json.loads(json.dumps(without_seconds(ended)).replace(str(tmp_path), str(folder)))
    assert same == without_seconds(document)


TREES = """
name = "trees"
resolution = 16
image_channels = 1
classes = 4
pyramid = { stem = 4, alpha = 4, blocks = [1, 1], bottleneck = 2 }
tree = { branches = 2, depth = 1, operators = ["sepconv_3x3", "avgpool_3x3", "maxpool_3x3", "identity"] }
"""


@pytest.mark.parametrize("words", [("compare", "--methods", "evolution"), ("--targets", "TARGET")], ids=lambda w: w[0])
def test_tree_cells_are_searched_by_a_supernets_weights_too(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "trees.toml").write_text(TREES)
    space = load_space(str(tmp_path / "trees.toml"))
    table = made_up_table(space)
    table.save(tmp_path / "table.parquet")
    write_images(tmp_path / "images")
    text = CONFIG.replace("SPACE", str(tmp_path / "trees.toml")).replace("DATA", str(tmp_path / "images"))
    config = tmp_path / "config.toml"
    config.write_text(text.replace("TABLE", str(tmp_path / "table.parquet")))
    target = f"{0.9 * costs_of(table, space).latency_ms([0] * len(space.edges)):.6f}"
    given = [target if word == "TARGET" else word for word in words]
    where = (config, "--runs", tmp_path / "runs")
    call = ("search", *given, *where) if words[0] == "compare" else ("search", *where, *given)
    done = program(*call, "--json")
    assert done.returncode == 0, done.stderr
    found = [
        Architecture.load(path)
        for path in (tmp_path / "runs" / "small").rglob("*/*.json")
        if '"ops"' in path.read_text()
    ]
    assert [net.inputs for net in found] == [space.inputs]


def test_without_the_table_or_the_device_the_family_is_left_out_aloud(tmp_path: Path) -> None:
    config = write_run(tmp_path, with_family=False)
    words = ("search", "compare", config, "--runs", tmp_path / "runs")
    done = program(*words, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert list(document["methods"]) == SEARCHED
    assert "lacks their widths and is not of the run's device" in document["left_out"]["mobilenet-v2"]
    assert "mobilenet-v2 left out" in done.stderr
    named = program(*words, "--methods", "random,mobilenet-v2")
    assert named.returncode == 2
    assert "leave mobilenet-v2 out of --methods" in named.stderr


def test_a_family_that_does_not_reach_the_target_is_refused_by_name_and_left_out_otherwise(tmp_path: Path) -> None:
    config = write_run(tmp_path)
    config.write_text(config.read_text().replace("[0.5, 1.0, 1.5, 2.0]", "[1.5, 2.0]"))
    words = ("search", "compare", config, "--runs", tmp_path / "runs")
    named = program(*words, "--methods", "mobilenet-v2")
    assert named.returncode == 2
    assert "lies outside the family, whose fastest takes" in named.stderr.splitlines()[-1]
    done = program(*words, "--json")
    assert "give more baseline.multipliers" in json.loads(done.stdout)["left_out"]["mobilenet-v2"]


@pytest.mark.parametrize(("ratio", "share"), [(0.99, 0.99), (1.5, 1.0)])
def test_a_limit_of_the_run_holds_for_all_winners(tmp_path: Path, ratio: float, share: float) -> None:
    config = write_run(tmp_path, with_family=False)
    target_ms = of_run(config, tmp_path / "runs").target_ms
    limited = (
        config.read_text().replace("small", "limited").replace("[search]", f"[search]\nmax_ms = {ratio * target_ms!r}")
    )
    config.write_text(limited)
    assert of_run(config, tmp_path / "runs").target_ms == pytest.approx(share * target_ms)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("words", [("compare",), ("--targets", "1")], ids=" ".join)
def test_a_gpu_that_is_not_there_is_said_before_anything_is_measured(tmp_path: Path, words: tuple[str, ...]) -> None:
    config = write_run(tmp_path)
    config.write_text(config.read_text().replace("host_threads = 1", 'accelerator = "cuda"'))
    place = [*words, config] if words == ("compare",) else [config, *words]
    assert "finds no CUDA GPU here" in refused("search", *place, "--runs", tmp_path / "runs")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--methods", "random,annealing"), "unknown method 'annealing'; known: proxyless, evolution, random"),
        (("--methods", ""), "unknown method ''"),
        (("--seeds", "0"), "--seeds takes 1 to 1000, not 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    config = write_run(tmp_path)
    assert message in refused("search", "compare", config, "--runs", tmp_path / "runs", *words)
    assert not (tmp_path / "runs").exists()


def test_other_settings_do_not_go_on_with_what_was_trained(
    compared: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, _ = compared
    run = tmp_path / "small"
    shutil.copytree(folder / "runs" / "small", run)
    text = (run / "config.toml").read_text()
    (run / "config.toml").write_text(text.replace("[train]\nsteps = 4", "[train]\nsteps = 5"))
    message = refused_last("search", "compare", run, "--methods", "proxyless")
    assert "was trained with other settings, images or another teacher; delete it to train it again" in message
    (run / "config.toml").write_text(text.replace("evaluations = 4", "evaluations = 5"))
    assert "written with other settings" in refused_last("search", "compare", run, "--methods", "random")
    (run / "config.toml").write_text(text)
    for record in (run / "compare" / "networks").glob("*.json"):
        record.write_text('{"top1": "much"}')
    assert "is damaged; delete it" in refused_last("search", "compare", run, "--methods", "proxyless")


def refused_last(*words: str | Path) -> str:
    """The last line of a command that ended in a refusal after progress."""
    done = program(*words)
    assert done.returncode == 2, done.stderr
    return done.stderr.splitlines()[-1]


def test_a_run_named_like_a_command_is_searched_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "compare").mkdir()
    assert "compare holds no run" in refused("search", "./compare")
    assert "does not exist" in refused("search", "none.toml")
    assert "does not exist" in refused("search", "--table", "pixel1", "none.toml")
