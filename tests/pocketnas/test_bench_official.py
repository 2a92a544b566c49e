"""`pocketnas bench --runner NAME=PATH --delegate NAME`, with stand-ins for the official tools."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from device_samples import BENCHMARK_MODEL_TF_2_3, PROFILE_NEW
from official_doubles import Bench, Said
from official_logs import GPU_PART, GPU_WHOLE, log
from tiny_tflite import conv_model, write_model

from android_bench.local import open_local
from android_bench.protocol import Protocol
from android_bench.store import SampleStore


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "conv.tflite"
    write_model(path, conv_model(np.ones((4, 3), np.float32), (1, 8, 8, 3)))
    return path


@pytest.fixture
def stand_in(tmp_path: Path) -> Bench:
    """Where stand-ins are made; the store is not used: the command line has its own."""
    with SampleStore.open(tmp_path / "unused.sqlite") as store:
        return Bench(open_local(), None, store, Protocol(), tmp_path)


def bench(home: Path, *words: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "pocketnas", "bench", *map(str, words), "-d", "local", "--processes", "2"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"POCKETNAS_CACHE": str(home / "cache"), "COLUMNS": "200"},
    )


def test_partial_coverage_is_part_of_the_result(model: Path, stand_in: Bench, tmp_path: Path) -> None:
    text = log(GPU_PART)
    tool = stand_in.tool(Said(text, profiled=text + PROFILE_NEW))
    words = (model, "--runner", f"benchmark_model={tool}", "--delegate", "gpu", "--profile")
    done = bench(tmp_path, *words, "--json")
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)
    assert (result["delegate"], result["statistic"], result["runner"].split()[0]) == (
        "gpu",
        "median",
        "benchmark_model",
    )
    assert (result["median_ms"], result["p10_ms"], result["p90_ms"]) == (42.405, None, None)
    assert (result["samples"], result["processes"], result["peak_memory_mb"]) == (48, 2, None)
    assert result["coverage"][0] == {
        "delegate": "TfLiteGpuDelegateV2", "nodes": 29, "of_nodes": 31, "partitions": 2, "complete": False,
    }  # fmt: skip
    assert result["profile"]["statistic"] == "mean"
    printed = bench(tmp_path, *words)
    assert printed.returncode == 0, printed.stderr
    assert "conv.tflite: gpu runs 29 of 31 operators in 2 parts, the CPU the rest" in printed.stdout
    assert "mean ms" in printed.stdout
    assert "delegate TfLiteGpuDelegateV2 runs 29 of 31 nodes" in printed.stdout


def test_whole_coverage_and_a_mean_are_said(model: Path, stand_in: Bench, tmp_path: Path) -> None:
    whole = stand_in.tool(Said(log(GPU_WHOLE)), name="whole")
    done = bench(tmp_path, model, "--runner", f"benchmark_model={whole}", "--delegate", "gpu")
    assert "conv.tflite: gpu runs the whole model, 58 operators" in done.stdout
    assert "counts with its mean" not in done.stdout
    old = stand_in.tool(Said(BENCHMARK_MODEL_TF_2_3), name="old")
    done = bench(tmp_path, model, "--runner", f"benchmark_model={old}")
    assert "each process counts with its mean" in done.stdout
    assert "119.3750" in done.stdout


def test_delegate_that_was_not_applied_is_an_error(model: Path, stand_in: Bench, tmp_path: Path) -> None:
    done = bench(tmp_path, model, "--runner", f"benchmark_model={stand_in.tool(Said(log()))}", "--delegate", "nnapi")
    assert (done.returncode, done.stdout) == (1, "")
    assert "the nnapi delegate was not applied, the model ran on the CPU" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--delegate", "gpu"), "needs --runner benchmark_model=PATH: PocketNAS' own runner is for the CPU alone"),
        (("--runner", "benchmark_model=/nowhere"), "/nowhere does not exist"),
        (("--runner", "minibench=/bin/true"), "give benchmark_model=PATH or executor_runner=PATH"),
        (("--delegate", "dsp"), "known are cpu, gpu, nnapi"),
    ],
)
def test_what_makes_no_sense_is_bad_usage(words: tuple[str, ...], said: str, model: Path, tmp_path: Path) -> None:
    done = bench(tmp_path, model, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.split())
