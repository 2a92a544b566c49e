"""`pocketnas rebench` of a deploy folder: here, on a phone, and where that cannot be done."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import program
from deploy_bundles import latency, real_bundle, small_architecture
from lookalike.fixtures import AdbKey
from lookalike.lookalike import Lookalike
from sample_tables import measured_table

from android_bench.local import local_info
from deploy.bundle import write_bundle
from deploy.manifest import read_bundle
from search.space import load_space

NAMES = ["small_fp32.tflite", "small_fp32.pte", "small_int8.pte"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "deploy"
    real_bundle(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "deploy"))


def measured(folder: Path, *words: object) -> dict[str, Any]:
    """What one device said."""
    done = program("rebench", folder, "--json", "--processes", "2", *map(str, words))
    assert done.returncode == 0, done.stderr
    (document,) = json.loads(done.stdout)
    result: dict[str, Any] = document
    return result


@pytest.mark.slow
def test_every_file_is_measured_here_and_its_figures_kept(folder: Path) -> None:
    found = measured(folder, "-d", "local", "--energy-seconds", "0")
    assert [file["file"] for file in found["files"]] == NAMES
    for file in found["files"]:
        assert 0 < file["latency_ms"] <= file["high_ms"]
        assert file["ci_low_ms"] <= file["median_ms"] <= file["ci_high_ms"]
        assert file["cold_load_ms"] > 0
        assert file["first_ms"] > 0
        assert file["peak_memory_mb"] > 1
        assert (file["energy_mj"], file["energy_note"]) == (None, "it was not asked for")
        assert (file["processes"], file["settled"], file["host_ms"]) == (2, False, None)
    assert found["recommendation"]["file"] in NAMES
    assert set(found["recommendation"]["passed_over"]) == set(NAMES) - {found["recommendation"]["file"]}
    bundle = read_bundle(folder)
    assert [file.latency[0].latency_ms for file in bundle.files] == [file["latency_ms"] for file in found["files"]]
    (choice,) = bundle.recommendations
    assert choice.file == found["recommendation"]["file"]
    card = (folder / "MODEL_CARD.md").read_text()
    assert f"take `{choice.file}`" in card
    again = measured(folder, "-d", "local", "--most-loss", "0.1")
    assert again["recommendation"]["file"] != "small_int8.pte", "it loses half a point"
    assert "0.50 points of top-1, 0.10 allowed" in again["recommendation"]["passed_over"]["small_int8.pte"]
    assert again["files"][0]["energy_note"] != "it was not asked for"
    assert [len(file.latency) for file in read_bundle(folder).files] == [1, 1, 1], "measured again, not beside"


@pytest.mark.slow
def test_a_prediction_stands_beside_what_was_measured(folder: Path, tmp_path: Path) -> None:
    space = load_space("demo")
    measured_table(space, device_fingerprint=local_info().fingerprint).save(tmp_path / "table.parquet")
    small_architecture().save(tmp_path / "architecture.json")
    words = ("-t", tmp_path / "table.parquet", "-a", tmp_path / "architecture.json")
    files = {file["file"]: file for file in measured(folder, "-d", "local", *words)["files"]}
    assert files["small_fp32.tflite"]["predicted_ms"] > 0
    assert files["small_fp32.pte"]["predicted_ms"] is None, "the table is of TFLite"
    (tmp_path / "config.toml").write_text("")
    beside = {file["file"]: file for file in measured(folder, "-d", "local")["files"]}
    assert beside["small_fp32.tflite"]["predicted_ms"] == files["small_fp32.tflite"]["predicted_ms"]


@pytest.mark.slow
def test_a_phone_is_named_by_its_model_and_its_gauge_read_where_it_tells(
    folder: Path, phone: Lookalike, adb_key: AdbKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADB_VENDOR_KEYS", str(adb_key.private))
    name = f"tcp:{phone.host}:{phone.port}"
    phone.set("bat_level", "80")
    bundle, elsewhere = read_bundle(folder), latency(1000.0, device="local")
    write_bundle(folder, replace(bundle, files=tuple(replace(file, latency=(elsewhere,)) for file in bundle.files)))
    found = measured(folder, "-d", name, "--energy-seconds", "0.3")
    assert found["device"] not in (name, "local")
    for file in found["files"]:
        assert "powered by usb" in file["energy_note"]
        assert 0 < file["host_ms"] < 1000, "what another machine took is not this one's"
    text = (folder / "manifest.json").read_text() + (folder / "MODEL_CARD.md").read_text()
    assert str(phone.port) not in text
    assert name not in text
    assert len(read_bundle(folder).files[0].latency) == 3
    phone.set("bat_usb", "false")
    phone.set("bat_drain", "500")
    again = measured(folder, "-d", name, "--energy-seconds", "0.3")
    for file in again["files"]:
        assert file["energy_mj"] > 0
        assert "of the whole device, screen included; the gauge fell by" in file["energy_note"]


def test_a_folder_that_is_not_whole_is_not_measured(folder: Path) -> None:
    (folder / NAMES[1]).write_bytes(b"something else")
    done = program("rebench", folder, "-d", "local")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"{NAMES[1]} is missing, or not the file that was exported" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--table", "pixel1"), "--table and --architecture go together"),
        (("-d", "-x; reboot"), "is no device"),
    ],
)
def test_options_that_make_no_sense_are_one_line(folder: Path, words: tuple[str, ...], message: str) -> None:
    done = program("rebench", folder, *([] if "-d" in words else ["-d", "local"]), *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert message in line


def test_options_of_folders_are_not_for_runs(tmp_path: Path) -> None:
    done = program("rebench", tmp_path, "--threads", "2")
    assert done.returncode == 2
    assert "is no deploy folder (no manifest.json)" in done.stderr
