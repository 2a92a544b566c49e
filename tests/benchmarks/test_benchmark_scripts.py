"""Benchmarks as a person starts them: what they refuse in one line, and what they write."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from real_images import need_fashion_mnist

ROOT = Path(__file__).parents[2]


class Refused:
    """The last line that a benchmark says of what it was given; in this process, which has imported what it needs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))

    def __call__(self, script: str, *words: str | Path) -> str:
        self._monkeypatch.setattr(sys, "argv", [script, *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        assert caught.value.code == 2
        return self._capsys.readouterr().err.splitlines()[-1]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    return Refused(monkeypatch, capsys)


def called(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *map(str, words)]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300, env=environ)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("demo", "there is no search/models/super_nets/super_proxyless.py in it; give a checkout of mit-han-lab"),
        ("proxyless-cifar", "the original has no space like proxyless-cifar: it is no chain of blocks"),
        ("broken", "its code cannot be imported: No module named 'nowhere'"),
    ],
)
def test_an_original_that_cannot_be_compared_with_is_one_line(tmp_path: Path, space: str, message: str) -> None:
    if space == "broken":
        for name in ("models/__init__.py", "models/super_nets/super_proxyless.py"):
            file = tmp_path / "search" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("import nowhere\n")
        space = "demo"
    done = called("benchmarks/search_step.py", "--space", space, "--original", tmp_path, "--json", tmp_path / "f.json")
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"--original {tmp_path}: ")
    assert message in line
    assert not (tmp_path / "f.json").exists()


@pytest.mark.slow
@pytest.mark.skipif("PROXYLESSNAS" not in os.environ, reason="PROXYLESSNAS names no checkout of the original")
def test_the_original_takes_turns_with_ours(tmp_path: Path) -> None:
    words = ("--batch", "4", "--paths", "2", "--repeats", "1", "--samples", "1")
    done = called(
        "benchmarks/search_step.py", *words, "--original", os.environ["PROXYLESSNAS"], "--json", tmp_path / "f.json"
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "f.json").read_text())
    assert set(figures["original_over_ours"]) == {"weight_step", "arch_step"}
    assert all(ratio > 0 for ratio in figures["original_over_ours"].values())
    assert figures["original_arch_step"]["time_ratio"] > 0
    assert "original over ours, weight_step: " in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["JPEG", "PNG"])
def test_compressed_images_are_decoded_once_and_all_figures_say_where_they_come_from(
    tmp_path: Path, encoding: str
) -> None:
    words = ("benchmarks/training_throughput.py", "--compressed", encoding, "--images", "128", "--encoded-pixels", "40",
             "--batch", "16", "--steps", "2", "--blocks", "2", "--json", str(tmp_path / "f.json"))  # fmt: skip
    done = called(*words)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "f.json").read_text())
    assert (figures["encoding"], figures["encoded_pixels"], figures["images"]) == (encoding, 40, 128 + 64)
    for name in ("decode_s", "cached_s", "decoded_images_per_s", "delivered_images_per_s"):
        assert figures[name] > 0
    assert figures["first_epoch_images_per_s"] < min(figures["decoded_images_per_s"], figures["delivered_images_per_s"])
    assert f"{figures['images']} {encoding} images of 40 pixels" in done.stdout
    assert figures["command"] == " ".join(("python", *words))
    assert figures["date_utc"].endswith("+00:00")
    assert figures["machine"]["cores"] >= 1


@pytest.mark.parametrize(
    ("variation", "message"),
    [
        ("arch_learning_rat=0.1", "search.arch_learning_rat: Extra inputs are not permitted"),
        ("target_ratio=0.3", "target_ratio has no say here; all are derived at one target"),
    ],
)
def test_a_setting_that_a_search_does_not_know_or_heed_is_one_line(
    tmp_path: Path, refused: Refused, variation: str, message: str
) -> None:
    line = refused("benchmarks/search_settings.py", "--out", tmp_path, "--vary", variation)
    assert line.endswith(f"error: --vary {variation}: {message}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--seeds", "--train-steps", "--jobs"])
def test_nothing_to_do_is_one_line(tmp_path: Path, refused: Refused, option: str) -> None:
    line = refused("benchmarks/search_settings.py", "--out", tmp_path, option, "0")
    assert line.endswith(f"error: {option} must be at least 1, not 0")


def test_one_training_of_each_network_says_nothing_of_noise(tmp_path: Path, refused: Refused) -> None:
    line = refused("benchmarks/search_settings.py", "--out", tmp_path, "--trainings", "1")
    assert line.endswith("error: --trainings must be at least 2, not 1: they are held against each other")


@pytest.mark.slow
def test_variations_of_a_search_are_held_against_chance_and_finished_pieces_are_kept(tmp_path: Path) -> None:
    need_fashion_mnist()
    words = ("--out", tmp_path / "pieces", "--quick", "--seeds", "1", "--networks", "3", "--jobs", "2",
             "--vary", "arch_learning_rate=0.01,warmup_paths=fair", "--json", tmp_path / "f.json")  # fmt: skip
    done = called("benchmarks/search_settings.py", *words)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "f.json").read_text())
    assert len(figures["chance"]["each"]) == 3
    assert -1 <= figures["chance"]["agreement"] <= 1
    assert list(figures["variations"]) == ["as it stands", "arch_learning_rate=0.01,warmup_paths=fair"]
    for found in figures["variations"].values():
        assert 0 < found["derived_accuracy"]["mean"] <= 100
        assert -1 <= found["spearman"]["mean"] <= 1
        assert found["expected_over_target"]["mean"] > 0
    assert {name: len(networks) for name, networks in figures["derived"].items()} == dict.fromkeys(
        figures["variations"], 1
    )
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "pieces").iterdir()}
    assert sum(path.name.startswith("search-") for path in kept) == 2
    assert sum(path.name.startswith("trained-1-") for path in kept) >= 3  # every network with a second seed
    again = called("benchmarks/search_settings.py", *words)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "pieces").iterdir()} == kept
    assert json.loads((tmp_path / "f.json").read_text())["variations"] == figures["variations"]
