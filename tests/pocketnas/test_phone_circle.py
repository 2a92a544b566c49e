"""The whole circle on a phone: a real adbd, the phone's own runner bundle, the name of a configuration."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from lookalike.fixtures import AdbKey
from lookalike.lookalike import Lookalike

from latency.table import LatencyTable
from pocketnas_base.errors import DataError
from search.data.load import load_data

CONFIG = """
name = "tiny"
space = "demo"
device = "pixel"
host_threads = 1

[devices]
pixel = "tcp:{host}:{port}"

[data]
source = "fashion-mnist"
holdout = 10000

[table]
processes = 1

[search]
target_ratio = 0.6
warmup_steps = 6
steps = 8
batch_size = 32
arch_learning_rate = 0.05
arch_every = 1
hold_target = true
derive = "target"

[train]
steps = 40
batch_size = 64
learning_rate = 0.1

[baseline]
multipliers = [0.5]

[rebench]
processes = 1
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_circle_runs_on_a_phone_and_leaves_it_as_it_was(
    tmp_path: Path, adb_key: AdbKey, phone: Lookalike
) -> None:
    try:
        load_data("fashion-mnist", resolution=28, channels=1, classes=10)
    except DataError as error:
        pytest.skip(f"no Fashion-MNIST: {error}")
    brightness = phone.setting("system.screen_brightness")
    config = tmp_path / "tiny.toml"
    config.write_text(CONFIG.format(host=phone.host, port=phone.port))
    words = [sys.executable, "-m", "pocketnas", "run", str(config), "--runs", str(tmp_path / "runs")]
    environ = os.environ | {"ADB_VENDOR_KEYS": str(adb_key.private)}
    done = subprocess.run(words, capture_output=True, text=True, timeout=800, check=False, env=environ)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "tiny"
    summary = json.loads((run / "summary.json").read_text())
    assert set(summary["measured_ms"]) == {"tflite", "executorch"}
    assert summary["predicted_ms"] > 0
    table = LatencyTable.load(run / "table.parquet")
    assert (table.info.os_version, table.info.temperature_before_c) == ("Android 14", pytest.approx(30, abs=5))
    environment = json.loads((run / "environment.json").read_text())
    assert environment["device"]["os_version"] == "Android 14"
    assert phone.setting("system.screen_brightness") == brightness
    assert phone.processes() == []
