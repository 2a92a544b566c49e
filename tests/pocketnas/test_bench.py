"""`pocketnas bench` as a program: here, on a phone, on several side by side, interrupted and gone on with."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_samples import BENCH_JSON
from lookalike.fixtures import AdbKey
from lookalike.lookalike import Lookalike
from tiny_tflite import conv_model, reshape_model, write_model

from android_bench.store import SampleStore
from pocketnas.bench_results import print_results

KEYS = {
    "file", "sha256", "runtime", "precision", "threads", "cores", "median_ms", "ci_low_ms", "ci_high_ms", "p10_ms",
    "p90_ms", "first_ms", "load_ms", "samples", "processes", "void", "device", "floor_ms", "floor_high_ms", "settled",
}  # fmt: skip
# On a machine that is shared with others the sentinel of so short a session may drift.
NOISE = ("--tolerate", "drift")
Bench = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's home of our own, whose cache keeps the runners from one test to the next."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def environ(adb_key: AdbKey, home: Path) -> dict[str, str]:
    keys = {"HOME": str(home), "ADB_VENDOR_KEYS": str(adb_key.private)}
    return os.environ | keys | {"POCKETNAS_CACHE": str(home / "cache")}


@pytest.fixture
def bench(environ: dict[str, str]) -> Bench:
    def run(*words: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(command(words), capture_output=True, text=True, timeout=300, check=False, env=environ)

    return run


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    paths = []
    for channels in (4, 16):
        weights = np.random.default_rng(channels).standard_normal((channels, 3), dtype=np.float32)
        path = tmp_path / f"conv{channels}.tflite"
        write_model(path, conv_model(weights, (1, 8, 8, 3)))
        paths.append(path)
    return paths


def command(words: Sequence[object]) -> list[str]:
    return [sys.executable, "-m", "pocketnas", "bench", *map(str, words)]


def results(done: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_every_file_gets_its_figures_on_this_machine(bench: Bench, models: list[Path]) -> None:
    found = results(bench(*models, "-d", "local", "--processes", 2, "--json"))
    assert [result["file"] for result in found] == [str(path) for path in models]
    for result in found:
        assert set(result) >= KEYS
        assert 0 < result["ci_low_ms"] <= result["median_ms"] <= result["ci_high_ms"]
        assert 0 < result["p10_ms"] <= result["p90_ms"]
        assert 0 < result["floor_ms"] <= result["floor_high_ms"]
        assert result["settled"] is False, "two processes are too few to know"
        assert (result["processes"], result["void"], result["precision"]) == (2, [], "fp32")
        assert result["peak_memory_mb"] is None or result["peak_memory_mb"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("where", ["local", "phone"])
def test_building_a_runner_is_said_once(
    where: str, environ: dict[str, str], models: list[Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    phone: Lookalike | None = request.getfixturevalue("phone") if where == "phone" else None
    device = f"tcp:{phone.host}:{phone.port}" if phone else "local"
    words = command([models[0], "-d", device, "--processes", 1, "--json"])
    said = []
    for _ in range(2):
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
            env=environ | {"POCKETNAS_CACHE": str(tmp_path / "cache")},
        )
        said.append([line for line in done.stderr.splitlines() if line.startswith("building the runner of tflite for")])
    assert [len(lines) for lines in said] == [1, 0]


def test_samples_that_are_all_there_are_said_to_be_old(bench: Bench, models: list[Path], tmp_path: Path) -> None:
    words = (models[0], "-d", "local", "--processes", 1, "--samples", tmp_path / "s.sqlite", "--json")
    first, second = bench(*words), bench(*words)
    assert results(first)[0]["floor_ms"] == results(second)[0]["floor_ms"]
    line = f"all measurements come from {tmp_path / 's.sqlite'}, taken on "
    assert line not in first.stderr
    assert line in second.stderr


def test_files_far_down_are_told_apart_and_gone_on_with(bench: Bench, models: list[Path], tmp_path: Path) -> None:
    far = [tmp_path / name / ("x" * 200) / "net.tflite" for name in ("one", "two")]
    for model, path in zip(models, far, strict=True):
        path.parent.mkdir(parents=True)
        model.rename(path)
    words = (*far, "-d", "local", "--processes", 1, "--samples", tmp_path / "s.sqlite", "--json")
    first, second = bench(*words), bench(*words)
    assert [result["file"] for result in results(first)] == [str(path) for path in far]
    assert results(second) == results(first)
    assert "all measurements come from" in second.stderr


def test_int8_model_is_said_to_be_int8(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "bytes.tflite"
    write_model(path, reshape_model("int8", 16))
    (result,) = results(bench(path, "-d", "local", "--processes", 1, "--json"))
    assert result["samples"] > 0


def test_every_file_says_how_many_processes_it_took(capsys: pytest.CaptureFixture[str]) -> None:
    told = [{**result, "file": f"n{i}.pte", "settled": True} for i, result in enumerate(json.loads(BENCH_JSON))]
    print_results("local", told)
    rows = [[cell.strip() for cell in line.split("│")] for line in capsys.readouterr().out.splitlines()]
    assert [(cells[1], cells[-2]) for cells in rows if cells[1:2] in (["n0.pte"], ["n1.pte"])] == [
        ("n0.pte", "800 in 10"),
        ("n1.pte", "20 in 2"),
    ]


@pytest.mark.slow
def test_operators_are_listed_apart_from_the_latency(bench: Bench, models: list[Path]) -> None:
    (result,) = results(bench(models[0], "-d", "local", "--processes", 1, "--profile", "--json"))
    assert result["profile"]["operators"]
    done = bench(models[0], "-d", "local", "--processes", 1, "--profile")
    assert "profiled runs" in done.stdout
    assert "XNNPACK" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--cores", "two"), "--cores two: give numbers and ranges, such as 4-7 or 0,2"),
        (("--cores", "900"), "device local cannot use the cores [900]"),
        (("--tolerate", "heat"), "unknown reason 'heat'; known: battery-low"),
        (("-d", "tcp:nowhere"), "'tcp:nowhere' is no address: give tcp:HOST:PORT"),
        (("-d", "-x; reboot"), "is no device"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_one_line(
    bench: Bench, models: list[Path], words: tuple[str, ...], message: str
) -> None:
    device = () if "-d" in words else ("-d", "local")
    done = bench(models[0], *device, *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("pocketnas: ")
    assert message in line


def test_phone_is_measured_and_left_as_it_was(bench: Bench, models: list[Path], phone: Lookalike) -> None:
    phone.set("bat_level", "80")
    phone.set("missing.thermalservice", "")
    name = f"tcp:{phone.host}:{phone.port}"
    found = results(bench(*models, "-d", name, "--processes", 2, *NOISE, "--json"))
    assert [result["processes"] for result in found] == [2, 2]
    assert all(set(result["void"]) <= {"drift"} for result in found)
    device = found[0]["device"]
    assert (device["id"], device["os_version"], device["unjudged"]) == (name, "Android 14", ["thermal"])
    outcomes = {change["setting"]: change["outcome"] for change in device["changed"]}
    assert outcomes["screen_brightness"] in ("restored", "kept")
    assert phone.processes() == []


def test_unfit_phone_is_refused_and_measured_when_that_is_tolerated(
    bench: Bench, models: list[Path], phone: Lookalike
) -> None:
    phone.set("bat_level", "12")
    name = f"tcp:{phone.host}:{phone.port}"
    done = bench(models[0], "-d", name, "--processes", 1)
    assert done.returncode == 1
    assert "is not fit to measure: battery-low: 12 % of 25 % needed (charge it)" in done.stderr
    words = (models[0], "-d", name, "--processes", 1, *NOISE, "--tolerate", "battery-low", "--json")
    (result,) = results(bench(*words))
    assert set(result["void"]) - {"drift"} == {"battery-low"}
    assert set(result["tolerated"]) - {"drift"} == {"battery-low"}


@pytest.mark.slow
def test_one_phone_that_fails_does_not_stop_the_others(
    bench: Bench, models: list[Path], start_phone: Callable[..., Lookalike]
) -> None:
    good, bad = start_phone(), start_phone(properties={"ro.product.cpu.abilist": "armeabi-v7a"})
    names = [f"tcp:{phone.host}:{phone.port}" for phone in (good, bad)]
    several = [word for name in (*names, "local") for word in ("-d", name)]
    done = bench(models[0], *several, "--processes", 1, *NOISE, "--json")
    assert done.returncode == 1
    assert [result["device"]["id"] for result in json.loads(done.stdout)] == [names[0], "local"]
    assert re.search(rf"^{names[1]}: pocketnas: .* runs programs for armeabi-v7a", done.stderr, re.MULTILINE)
    assert done.stderr.splitlines()[-1].startswith("pocketnas: 1 of 3 devices failed")
    assert not bad.path("/data/local/tmp/pocketnas/bundles").exists()


@pytest.fixture
def interrupted(environ: dict[str, str], models: list[Path], phone: Lookalike) -> Path:
    """A benchmark of a phone, killed without a word after its first samples; its sample store."""
    store = Path(environ["POCKETNAS_CACHE"]) / "bench"
    words = (*models, "-d", f"tcp:{phone.host}:{phone.port}", "--processes", 3, *NOISE, "--json")
    with subprocess.Popen(
        command(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 120
        while not (measured := _measured(store)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert measured, "nothing was measured within two minutes"
        os.killpg(process.pid, signal.SIGKILL)
    return next(store.glob("*.sqlite"))


def test_killed_benchmark_goes_on_with_what_is_missing_alone(
    bench: Bench,
    models: list[Path],
    phone: Lookalike,
    start_phone: Callable[..., Lookalike],
    interrupted: Path,
) -> None:
    before = _measured(interrupted.parent)
    brightness = start_phone().setting("system.screen_brightness")
    assert phone.setting("system.screen_brightness") == "0" != brightness
    name = f"tcp:{phone.host}:{phone.port}"
    found = results(bench(*models, "-d", name, "--processes", 3, *NOISE, "--json", "--samples", interrupted))
    assert [result["processes"] for result in found] == [3, 3]
    with SampleStore.open(interrupted) as store:
        (session,) = store.sessions()
        taken = [reading for reading in store.readings(session.key) if reading.role == "job"]
    assert len(taken) == 6
    assert len({(reading.round, reading.job_id) for reading in taken}) == 6
    assert before <= len(taken)
    assert phone.setting("system.screen_brightness") == brightness


def _measured(folder: Path) -> int:
    count = 0
    for path in folder.glob("*.sqlite"):
        with SampleStore.open(path) as store:
            count += sum(len(store.measured(session.key)) for session in store.sessions())
    return count
