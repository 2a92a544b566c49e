"""What each operator of a model took, as the runners report it."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from running import executorch_file, failed, measured, planned, profiled, run
from tiny_models import Model
from tiny_tflite import half_delegated_model, long_model, write_model

from android_bench.plan import PROFILE_RUNS, PlannedModel
from android_bench.protocol import Protocol
from android_bench.results import DelegateCoverage, MeasurementLine, ProfileLine
from android_bench.runner.build import Runner


@pytest.fixture
def half_delegated(tmp_path: Path) -> PlannedModel:
    write_model(tmp_path / "half.tflite", half_delegated_model(96))
    return PlannedModel("half", str(tmp_path / "half.tflite"), profile=True)


def test_profile_follows_the_measurement_and_names_every_operator(
    half_delegated: PlannedModel, tflite_runner: Runner, quick: Protocol, tmp_path: Path
) -> None:
    _, lines, _ = run(
        tflite_runner, [half_delegated, dataclasses.replace(half_delegated, profile=False)], quick, tmp_path
    )
    assert [type(line) for line in lines] == [MeasurementLine, ProfileLine, MeasurementLine]
    assert [measured(lines[0]).sequence, profiled(lines[1]).sequence, measured(lines[2]).sequence] == [0, 0, 1]
    assert len(measured(lines[0]).samples_ns) == len(measured(lines[2]).samples_ns) == 5
    profile = profiled(lines[1])
    first, between, last = profile.operators
    assert [operator.index for operator in profile.operators] == [0, 1, 2]
    assert (between.kind, between.name, between.delegated) == ("CUMSUM", "running sum", False)
    for convolution in (first, last):
        assert convolution.delegated is True
        assert convolution.kind.startswith(("Fully Connected", "Convolution"))
    assert (first.name, last.name) == ("part 0, operator 0", "part 1, operator 0")
    assert profile.delegates == [DelegateCoverage(name="XNNPACK", nodes=2, of_nodes=3, partitions=2)]


def test_operators_take_the_time_that_the_model_takes(
    half_delegated: PlannedModel, tflite_runner: Runner, quick: Protocol, tmp_path: Path
) -> None:
    profile = profiled(run(tflite_runner, [half_delegated], quick, tmp_path)[1][1])
    assert profile.runs == PROFILE_RUNS
    for operator in profile.operators:
        assert operator.calls == PROFILE_RUNS
        assert operator.resolution_ns == 1000
        assert 0 < operator.median_ns < operator.total_ns
    together = sum(operator.median_ns for operator in profile.operators)
    assert 0.2 * profile.median_run_ns < together <= profile.median_run_ns


def test_profile_takes_no_longer_than_timing_may(
    half_delegated: PlannedModel, tflite_runner: Runner, quick: Protocol, tmp_path: Path
) -> None:
    protocol = dataclasses.replace(quick, min_runs=1, max_ns=1)
    _, lines, _ = run(tflite_runner, [half_delegated], protocol, tmp_path)
    assert len(measured(lines[0]).samples_ns) == 1
    assert profiled(lines[1]).runs == 1


def test_executorch_profile_looks_into_the_delegate(
    executorch_model: Model, executorch_runner: Runner, quick: Protocol, tmp_path: Path
) -> None:
    _, lines, _ = run(executorch_runner, [planned(executorch_model, profile=True)], quick, tmp_path)
    assert measured(lines[0]).output_error is not None
    profile = profiled(lines[1])
    convolution = next(operator for operator in profile.operators if operator.kind.startswith("Convolution"))
    assert convolution.delegated is True
    assert convolution.name == f"instruction 0:0, {convolution.kind} #1"
    assert (convolution.calls, convolution.resolution_ns) == (PROFILE_RUNS, 1000)
    assert profile.delegates == [DelegateCoverage(name="XnnpackBackend", nodes=None, of_nodes=None, partitions=1)]


def test_executorch_operator_that_is_called_in_a_loop_counts_once(
    executorch_runner: Runner, quick: Protocol, tmp_path: Path
) -> None:
    import torch
    from torch._higher_order_ops.map import map as for_each

    class Rows(torch.nn.Module):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return for_each(lambda row: torch.cumsum(row, 0), rows)

    path = executorch_file(Rows(), [np.ones((5, 400), np.float32)], tmp_path / "m.pte")
    profile = profiled(run(executorch_runner, [PlannedModel("m", path, profile=True)], quick, tmp_path)[1][1])
    (summed,) = [operator for operator in profile.operators if operator.kind == "cumsum.out"]
    assert summed.calls == 5 * PROFILE_RUNS
    assert (summed.delegated, summed.resolution_ns) == (False, 1)
    assert 0 < summed.median_ns <= profile.median_run_ns
    assert profile.delegates == []


def test_model_without_any_operator_has_no_profile(executorch_runner: Runner, quick: Protocol, tmp_path: Path) -> None:
    import torch

    path = executorch_file(torch.nn.Identity(), [np.ones(4, np.float32)], tmp_path / "m.pte")
    _, lines, _ = run(executorch_runner, [PlannedModel("m", path, profile=True)], quick, tmp_path)
    assert measured(lines[0]).sequence == 0
    error = failed(lines[1])
    assert (error.kind, error.sequence, error.message) == ("profile", 0, "the runtime reports no operator of it")


def test_model_with_too_many_operators_is_measured_without_a_profile(
    tflite_runner: Runner, quick: Protocol, tmp_path: Path
) -> None:
    write_model(tmp_path / "long.tflite", long_model(4097))
    write_model(tmp_path / "whole.tflite", long_model(4096))
    models = [PlannedModel(name, str(tmp_path / f"{name}.tflite"), profile=True) for name in ("long", "whole")]
    _, lines, _ = run(tflite_runner, models, quick, tmp_path)
    assert measured(lines[0]).id == "long"
    assert (failed(lines[1]).kind, failed(lines[1]).message) == ("profile", "it has more than 4096 operators")
    assert len(profiled(lines[3]).operators) == 4096


def test_model_that_cannot_be_measured_is_not_profiled(
    executorch_model: Model, executorch_runner: Runner, quick: Protocol, tmp_path: Path
) -> None:
    (tmp_path / "zeros").write_bytes(bytes(executorch_model.reference.stat().st_size))
    wrong = planned(executorch_model, references=(str(tmp_path / "zeros"),), profile=True)
    broken = PlannedModel("broken", str(tmp_path / "zeros"), profile=True)
    _, lines, _ = run(executorch_runner, [wrong, broken], quick, tmp_path)
    assert [(failed(line).kind, failed(line).sequence) for line in lines] == [("output", 0), ("model", 1)]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b'\x1b[2J\xff\x80\n"\\', ' [2J\xff\x80 "\\'),
        ("é".encode() * 100, "é" * 64),
        (b"a" + "é".encode() * 100, "a" + "é" * 63),
        (b"\xbf" * 200, "\xbf" * 128),
        (b"", ""),
    ],
)
def test_names_in_a_model_may_be_anything(
    name: bytes, shown: str, tflite_runner: Runner, quick: Protocol, tmp_path: Path
) -> None:
    write_model(tmp_path / "m.tflite", half_delegated_model(8, name))
    model = PlannedModel("m", str(tmp_path / "m.tflite"), profile=True)
    found = profiled(run(tflite_runner, [model], quick, tmp_path)[1][1]).operators[1].name
    assert found == "".join(character if character.isprintable() else " " for character in shown)
