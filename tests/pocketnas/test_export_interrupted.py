"""`pocketnas export` ended in the middle of a conversion: nothing half-written under a final name, and it goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 300

pytestmark = pytest.mark.slow


@pytest.fixture
def started(tmp_path: Path) -> "subprocess.Popen[str]":
    """An export in a process group of its own, as a terminal starts it; its converter is at work."""
    (tmp_path / "export_cases.py").write_bytes((ROOT / "tests" / "deploy" / "export_cases.py").read_bytes())
    np.save(tmp_path / "images.npy", np.random.default_rng(0).standard_normal((8, 1, 28, 28), np.float32))
    process = export(tmp_path)
    until = time.monotonic() + WAIT_S
    while not list(tmp_path.glob("made/.exporting-*/tflite.log")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    return process


def export(folder: Path) -> "subprocess.Popen[str]":
    words = ["--model", "export_cases:other", "--input", "1x28x28", "--test-images", "images.npy", "--out", "made"]
    return subprocess.Popen(
        [sys.executable, "-m", "pocketnas", "export", *words, "--runtime", "tflite", "--no-profile"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_all_of(group: int) -> None:
    """Until no process of the group is left."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError("a process of the export goes on")


def test_ctrl_c_leaves_no_process_and_no_file(started: "subprocess.Popen[str]", tmp_path: Path) -> None:
    os.killpg(started.pid, signal.SIGINT)
    out, err = started.communicate(timeout=WAIT_S)
    assert (started.returncode, out) == (130, "")
    assert err.splitlines()[-1].startswith("pocketnas: interrupted; nothing is lost")
    assert "Traceback" not in err
    wait_for_all_of(started.pid)
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["manifest.json"]


def test_a_killed_export_leaves_no_file_and_the_next_one_cleans_up(
    started: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    started.kill()
    started.communicate(timeout=WAIT_S)
    wait_for_all_of(started.pid)
    assert [path.name for path in (tmp_path / "made").iterdir() if not path.name.startswith(".")] == ["manifest.json"]
    again = export(tmp_path)
    _, err = again.communicate(timeout=WAIT_S)
    assert again.returncode == 0, err
    assert (tmp_path / "made" / "other_fp32.tflite").is_file()
    assert not [path.name for path in (tmp_path / "made").iterdir() if path.name.startswith(".")]
