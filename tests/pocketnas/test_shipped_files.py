"""benchmarks/shipped_files.py on figures that were measured: what it says of them, and how it ends."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def figures() -> dict[str, Any]:
    measured: dict[str, Any] = json.loads((BENCHMARKS / "shipped_files.json").read_text())
    return measured


def status_of(figures: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit status with which the figures are shown."""
    (folder / "figures.json").write_text(json.dumps(figures))
    monkeypatch.syspath_prepend(BENCHMARKS)  # as Python itself does for a script
    monkeypatch.setattr(sys, "argv", ["shipped_files.py", "--shown", str(folder / "figures.json")])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(BENCHMARKS / "shipped_files.py"), run_name="__main__")
    return int(ended.value.code or 0)


def test_a_promise_that_is_not_kept_is_exit_status_1(
    figures: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(figures, tmp_path, monkeypatch) == 0
    assert "NOT kept" not in capsys.readouterr().out
    next(row for row in figures["bundles"][0]["files"] if row["precision"] == "int8")["lost_points"] = 1.5
    assert status_of(figures, tmp_path, monkeypatch) == 1
    assert "int8 loses at most 1.50 points; 1.0 allowed: NOT kept" in capsys.readouterr().out


def test_files_within_each_other_s_bounds_are_not_told_apart(
    figures: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures["bundles"] = figures["bundles"][:1]
    fp32, fp16, int8, *_ = figures["bundles"][0]["files"]
    fp32.update(latency_ms=0.052, high_ms=0.089)
    fp16.update(latency_ms=0.084, high_ms=0.09)  # inside fp32's bounds
    int8.update(latency_ms=0.113, high_ms=0.12, times_as_fast_as_fp32=0.46)  # above them
    status_of(figures, tmp_path, monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].split()[:2] == ["tflite", "fp16"]
    assert lines[3].endswith("0.090   not told apart")
    assert lines[4].split()[:2] == ["tflite", "int8"]
    assert lines[4].endswith(" 0.46")
