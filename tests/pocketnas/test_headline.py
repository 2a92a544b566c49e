"""benchmarks/headline.py as a person starts it: killed half-way, gone on with, and all figures in the end."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from real_images import need_fashion_mnist

from pocketnas.searches.names import SEARCHES

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_quick_headline_goes_on_after_a_kill_and_has_every_figure(tmp_path: Path) -> None:
    need_fashion_mnist()
    words = [sys.executable, "benchmarks/headline.py", "--quick", "--seeds", "2", "--jobs", "2",
             "--folder", str(tmp_path / "run"), "--json", str(tmp_path / "figures.json")]  # fmt: skip
    first = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    evolved = tmp_path / "run" / "compare" / "evolution-0" / "entry.json"
    while not evolved.exists():
        assert first.poll() is None
        time.sleep(0.1)
    first.kill()
    first.wait()
    before = evolved.read_text()
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stderr
    assert evolved.read_text() == before, "what was done is not done again"
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert list(figures["methods"]) == list(SEARCHES)
    for method in figures["methods"].values():
        assert method["measured_ms"]["value"] > 0
        assert method["predicted_ms"]["value"] <= figures["target_ms"]
        assert method["times_as_fast_as_family"]["ratio"]["value"] > 0
    assert [net["name"] for net in figures["family"]] == [f"mobilenet-v2-x{width}" for width in (0.25, 0.5, 1.0)]
    assert all(net["latency_ms"] > 0 for net in figures["family"])
    assert figures["train_each_over_proxyless"]["images"]["ratio"]["value"] > 0
    assert [winner["name"] for winner in figures["methods"]["random"]["winners"]] == ["random-0", "random-1"]
    assert "train-each until as accurate as proxyless" in done.stdout
