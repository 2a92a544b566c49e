"""`pocketnas table calibrate`: on this machine, from a measured table to predictions with an interval."""

import json
from pathlib import Path

import pytest
from command_line import program
from sample_tables import measured_table

from latency.library import load_table
from latency.table import LatencyTable
from pocketnas_base.files import write_text
from search.sampling import random_networks
from search.space import load_space

SMALL = """
name = "small"
resolution = 16
image_channels = 1
classes = 10
kernels = [3, 5]
expansions = [3, 6]
zero = true
stem = { width = 8, kernel = 3, stride = 1 }
first = { width = 8, kernel = 3, expansion = 1 }
stages = [{ width = 16, cells = 3, stride = 2 }]
head = { width = 32 }
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of a small space on this machine, calibrated by seven networks; two processes each."""
    folder = tmp_path_factory.mktemp("table")
    write_text(folder / "small.toml", SMALL)
    table = folder / "small.parquet"
    options = ("--space", folder / "small.toml", "--processes", "2")
    done = program("table", "build", *options, "--device", "local", "--out", table)
    assert done.returncode == 0, done.stderr
    done = program("table", "calibrate", table, *options, "--networks", "7", "-d", "local")
    assert done.returncode == 0, done.stderr
    assert "7 networks" in done.stdout
    assert "95 % interval" in done.stdout.splitlines()[-1]
    return table


def test_the_rows_stay_and_the_networks_are_on_record(built: Path) -> None:
    table = LatencyTable.load(built)
    calibration = table.info.calibration
    assert calibration is not None
    assert set(load_space(str(built.with_suffix(".toml"))).op_specs()) == set(table.rows)
    assert [each.name for each in calibration.networks] == [f"calibration-{number:03d}" for number in range(7)]
    sums = [each.sum_ms for each in calibration.networks]
    assert (min(sums), max(sums)) == (sums[0], sums[1])
    for each in calibration.networks:
        assert each.measured_ms == pytest.approx(each.sum_ms, rel=0.9)  # it is the networks that were measured


def test_a_prediction_says_what_its_interval_rests_on(built: Path) -> None:
    space = load_space(str(built.with_suffix(".toml")))
    net = random_networks(space, 1, 0)[0]
    net.save(built.with_name("net.json"))
    done = program("predict", "-t", built, "-a", built.with_name("net.json"))
    assert done.returncode == 0
    assert "by 7 measured networks" in done.stdout.splitlines()[-1]
    said = json.loads(program("predict", "-t", built, "-a", built.with_name("net.json"), "--json").stdout)
    calibration = LatencyTable.load(built).info.calibration
    assert calibration is not None
    half = (said["high_ms"] - said["low_ms"]) / 2
    assert half == pytest.approx(said["latency_ms"] * calibration.half_width_percent / 100)
    assert said["interval"] == "networks"
    blocks = sum(block["latency_ms"] for block in said["blocks"])
    assert said["latency_ms"] == pytest.approx(said["invocation_ms"] + blocks)


def test_a_table_tells_its_calibration_in_a_sentence(built: Path) -> None:
    calibration = LatencyTable.load(built).info.calibration
    assert calibration is not None
    shown = program("table", "show", built)
    assert f"calibration: {calibration.found}" in shown.stdout.splitlines()
    page = built.with_suffix(".html")
    assert program("table", "show", built, "--html", page).returncode == 0
    assert calibration.found in page.read_text()
    table = LatencyTable.load(built)
    LatencyTable(table.info.model_copy(update={"calibration": None}), table.rows).save(built.with_name("plain.parquet"))
    beside = program("table", "diff", built, built.with_name("plain.parquet"))
    assert f"from {len(calibration.networks)} networks" in beside.stdout
    assert "calibration-000" not in shown.stdout + page.read_text() + beside.stdout


def test_a_second_call_measures_nothing_again(built: Path) -> None:
    before = LatencyTable.load(built).info.calibration
    assert before is not None
    options = ("--space", built.with_suffix(".toml"), "--processes", "2", "--networks", "7", "-d", "local", "--json")
    done = program("table", "calibrate", built, *options)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["networks"] == [each.model_dump(mode="json") for each in before.networks]
    assert said["coefficients"] == before.coefficients


def test_what_cannot_be_calibrated_is_one_clear_line(tmp_path: Path) -> None:
    demo = load_space("demo")
    write_text(tmp_path / "one.toml", SMALL.replace("[3, 5]", "[3]").replace("[3, 6]", "[3]").replace("true", "false"))
    measured_table(load_space(str(tmp_path / "one.toml"))).save(tmp_path / "one.parquet")
    measured_table(demo).save(tmp_path / "elsewhere.parquet")
    load_table("pixel1").save(tmp_path / "pixel1.parquet")
    calls = {
        "7 to 1000 networks, not 3": ("elsewhere.parquet", "--networks", "3"),
        "is of another space than mobile": ("elsewhere.parquet", "--space", "mobile"),
        "another device or system": ("elsewhere.parquet",),
        "holds 1 networks, and a calibration needs 7": ("one.parquet", "--space", str(tmp_path / "one.toml")),
        "was not measured by this tool": ("pixel1.parquet",),
        "does not exist": ("nowhere.parquet",),
    }
    for told, (name, *options) in calls.items():
        done = program("table", "calibrate", tmp_path / name, *options, "-d", "local")
        assert done.returncode == 2, told
        assert told in done.stderr
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""
