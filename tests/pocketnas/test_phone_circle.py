"""The whole circle on a phone: a real adbd, the phone's own runner bundle, the name of a configuration."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from circles import write_config
from lookalike.fixtures import AdbKey
from lookalike.lookalike import Lookalike

from android_bench.store import SampleStore
from latency.table import LatencyTable

# A lookalike has this machine's clocks, and other tests beside it.
WHERE = """device = "pixel"
tolerate = ["drift"]

[devices]
pixel = "tcp:{host}:{port}"
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_circle_runs_on_a_phone_and_leaves_it_as_it_was(
    tmp_path: Path, adb_key: AdbKey, phone: Lookalike
) -> None:
    brightness = phone.setting("system.screen_brightness")
    config = write_config(
        tmp_path,
        where=WHERE.format(host=phone.host, port=phone.port),
        processes=1,
        calibration=None,
        multipliers="[0.5]",
    )
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
    with SampleStore.open(run / "samples.sqlite") as store:
        taken = [reading for session in store.sessions() for reading in store.readings(session.key)]
    networks = {each.artifact_sha256 for each in taken if each.job_id.startswith("calibration-")}
    assert networks
    left = {file.name for file in phone.path("/data/local/tmp/pocketnas/blobs").iterdir()}
    assert left
    assert networks.isdisjoint(left)
