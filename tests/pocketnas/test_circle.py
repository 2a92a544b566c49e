"""The whole circle, tiny and real, through the command line: once straight, once killed and resumed."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from circles import command, pocketnas, write_config


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    export = 'softmax = true\nuint8_input = true\nlicence = "CC0-1.0"'
    return write_config(tmp_path_factory.mktemp("config"), export=export)


@pytest.fixture(scope="module")
def finished(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    done = pocketnas("run", config, "--runs", runs)
    assert done.returncode == 0, done.stderr
    assert f"report: {runs / 'tiny' / 'report.html'}" in done.stdout
    return runs / "tiny"


def test_the_summary_puts_the_fact_beside_the_promise(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    assert 0.98 * summary["target_ms"] <= summary["predicted_ms"] <= summary["target_ms"]
    assert set(summary["measured_ms"]) == {"tflite", "executorch"}
    assert all(ms > 0 for ms in summary["measured_ms"].values())
    top1 = summary["top1"]
    assert 10 < top1["torch"] <= 100
    assert top1["tflite"] == pytest.approx(top1["torch"], abs=0.1)
    assert top1["executorch"] == pytest.approx(top1["torch"], abs=0.1)
    assert all(error < 1e-4 for error in summary["parity"].values())
    assert summary["baseline"]["name"] in ("mobilenet-v2-x0.5", "mobilenet-v2-x1.0")
    assert summary["baseline"]["measured_ms"] > 0
    assert summary["baseline"]["top1"] > 10
    assert set(summary["seconds"]) >= {"table", "search", "baseline", "train", "export", "rebench"}


def test_the_run_directory_holds_what_the_design_names(finished: Path) -> None:
    expected = (
        "config.toml environment.json table.parquet samples.sqlite search architecture.json weights.safetensors "
        "deploy/manifest.json rebench.parquet summary.json report.html"
    )
    assert [name for name in expected.split() if not (finished / name).exists()] == []
    assert len(list((finished / "deploy").glob("*.tflite"))) == 1
    assert len(list((finished / "deploy").glob("*.pte"))) == 1
    report = (finished / "report.html").read_text()
    assert "default-src 'none'" in report, "the page may load nothing"


def test_the_bundle_is_measured_described_and_whole(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    manifest = json.loads((finished / "deploy" / "manifest.json").read_text())
    for entry in manifest["files"]:
        (taken,) = entry["latency"]
        assert taken["latency_ms"] == summary["measured_ms"][entry["runtime"]]
        assert taken["cold_load_ms"] > 0
        assert (taken["predicted_ms"] is not None) == (entry["runtime"] == summary["table_runtime"])
    (choice,) = manifest["recommendations"]
    assert choice["file"] in [entry["file"] for entry in manifest["files"]]
    card = (finished / "deploy" / "MODEL_CARD.md").read_text()
    assert f"take `{choice['file']}`" in card
    assert "Space " in card
    assert (finished / "deploy" / "kotlin" / "TfliteClassifier.kt").exists()
    assert "Files to ship" in (finished / "report.html").read_text()
    checked = pocketnas("check", finished / "deploy", "--no-emulate")
    assert checked.returncode == 0, checked.stdout


def test_files_are_as_the_configuration_asks(finished: Path) -> None:
    for folder in (finished / "deploy", finished / "baseline" / "deploy"):
        for entry in json.loads((folder / "manifest.json").read_text())["files"]:
            taken = entry["inputs"][0]["dtype"]
            assert (taken, entry["softmax"], entry["weights_licence"]) == ("uint8", True, "CC0-1.0")
    assert "CC0-1.0" in (finished / "deploy" / "MODEL_CARD.md").read_text()


def test_predict_and_bench_read_what_the_run_wrote(finished: Path) -> None:
    predicted = pocketnas("predict", "-t", finished / "table.parquet", "-a", finished / "architecture.json", "--json")
    assert predicted.returncode == 0, predicted.stderr
    summary = json.loads((finished / "summary.json").read_text())
    assert json.loads(predicted.stdout)["latency_ms"] == summary["predicted_ms"]

    files = [*(finished / "deploy").glob("*.tflite"), *(finished / "deploy").glob("*.pte")]
    benched = pocketnas("bench", *files, "--processes", "2", "--json", "-d", "local")
    assert benched.returncode == 0, benched.stderr
    results = json.loads(benched.stdout)
    assert [result["runtime"] for result in results] == ["tflite", "executorch"]
    assert all(result["floor_ms"] > 0 and result["median_ms"] > 0 for result in results)


@pytest.mark.slow
def test_a_run_killed_in_search_and_in_training_ends_as_one_that_was_not(
    finished: Path, config: Path, tmp_path: Path
) -> None:
    """The table is a measurement and taken over; everything after it is repeated to the bit."""
    run = tmp_path / "tiny"
    run.mkdir()
    for name in ("config.toml", "environment.json", "table.parquet", "samples.sqlite"):
        shutil.copy(finished / name, run / name)
    done = {stage: {"seconds": 1.0, "done": True} for stage in ("environment", "table")}
    (run / "stages.json").write_text(json.dumps(done))

    kill_when(lambda err: "search  " in err, config, tmp_path)
    assert not (run / "architecture.json").exists()
    kill_when(lambda err: "train  " in err, config, tmp_path)
    assert (run / "architecture.json").exists()
    assert not (run / "training.json").exists()
    resumed = pocketnas("run", config, "--runs", tmp_path, "--resume")
    assert resumed.returncode == 0, resumed.stderr

    for name in ("architecture.json", "search/result.json", "weights.safetensors"):
        assert (run / name).read_bytes() == (finished / name).read_bytes(), name


@pytest.mark.slow
def test_ctrl_c_says_one_line_and_the_run_goes_on_where_it_was(config: Path, tmp_path: Path) -> None:
    process = start(config, tmp_path)
    database = tmp_path / "tiny" / "samples.sqlite"
    wait_until(lambda: database.exists() and database.stat().st_size > 100_000)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1].startswith("pocketnas: interrupted; nothing is lost")
    assert "Traceback" not in err

    again = start(config, tmp_path, "--resume")
    table = tmp_path / "tiny" / "table.parquet"
    wait_until(table.exists)
    again.kill()
    _, err = again.communicate(timeout=60)
    assert json.loads((tmp_path / "tiny" / "stages.json").read_text())["table"]["seconds"] > 0


def start(config: Path, runs: Path, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command("run", config, "--runs", runs, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def kill_when(seen: Callable[[str], bool], config: Path, runs: Path) -> None:
    """Resume the run and kill it, beyond any handler's reach, a moment after a stage was announced."""
    process = start(config, runs, "--resume")
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if seen(line):
            break
    time.sleep(1.0)
    assert process.poll() is None, said
    process.kill()
    process.communicate()


def wait_until(condition: Callable[[], bool], timeout_s: float = 200) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.1)
