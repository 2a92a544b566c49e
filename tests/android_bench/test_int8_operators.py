"""int8 operators as tables measure them: in our runner, wholly delegated to XNNPACK, held against their references."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import failed, measured, planned, profiled, run
from starting import put, start
from test_bundle import arm64_starter, built
from tiny_models import Model

from android_bench.plan import PlannedModel
from android_bench.protocol import Protocol
from android_bench.runner.build import Runner
from deploy.operators import INT8_STEPS, OperatorFile, export_operators
from latency.opspec import EMPTY, OpSpec

OPS = (
    EMPTY,
    OpSpec("conv", 3, 16, 3, 1, 2, 28),
    OpSpec("conv", 40, 64, 1, 1, 1, 7),
    OpSpec("mbconv", 16, 8, 3, 1, 1, 14),
    OpSpec("mbconv", 8, 12, 5, 3, 2, 14),
    OpSpec("mbconv", 8, 8, 7, 6, 1, 7, residual=True),
    OpSpec("classifier", 64, 10, 1, 1, 1, 7),
    OpSpec("classifier", 64, 10, 1, 1, 1, 1),
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[OpSpec, OperatorFile]:
    return export_operators(OPS, "tflite", tmp_path_factory.mktemp("cache"), precision="int8")


def plan(op: OpSpec, file: OperatorFile, **changes: Any) -> PlannedModel:
    model = Model(file.artifact.path, file.input_path, file.reference_path)
    return dataclasses.replace(planned(model), id=op.key, max_output_error=file.max_output_error, **changes)


def test_every_kind_is_one_part_of_xnnpack_and_answers_its_reference(
    files: dict[OpSpec, OperatorFile], tflite_runner: Runner, quick: Protocol, tmp_path: Path
) -> None:
    models = [plan(op, file, profile=True) for op, file in files.items()]
    _, lines, _ = run(tflite_runner, models, quick, tmp_path)
    for measurement, profile, op in zip(lines[::2], lines[1::2], files, strict=True):
        assert measured(measurement).output_error is not None, op.key
        (coverage,) = profiled(profile).delegates
        assert (coverage.name, coverage.nodes, coverage.partitions) == ("XNNPACK", coverage.of_nodes, 1), op.key


def test_arm64_answers_the_references_too(files: dict[OpSpec, OperatorFile], quick: Protocol, tmp_path: Path) -> None:
    starter = arm64_starter()
    bundle = built("tflite", "arm64-v8a")
    put(bundle, tmp_path)
    models = [Model(file.artifact.path, file.input_path, file.reference_path) for file in files.values()]
    rows = start(bundle, models, tmp_path, starter, quick, cwd=tmp_path, max_output_error=1.0)
    for row, (op, file) in zip(rows, files.items(), strict=True):
        assert row.output_error is not None
        assert row.output_error <= file.max_output_error, op.key


@pytest.mark.parametrize(("steps", "taken"), [(INT8_STEPS, True), (INT8_STEPS + 3, False)])
def test_an_answer_is_allowed_so_many_steps_and_no_more(
    steps: int, taken: bool, files: dict[OpSpec, OperatorFile], tflite_runner: Runner, quick: Protocol, tmp_path: Path
) -> None:
    op = OPS[2]
    reference = np.fromfile(files[op].reference_path, np.int8)
    at = int(np.argmin(np.abs(reference.astype(int))))
    off = reference.copy()
    off[at] += steps
    off.tofile(tmp_path / "off.bin")
    _, (line,), _ = run(tflite_runner, [plan(op, files[op], references=(str(tmp_path / "off.bin"),))], quick, tmp_path)
    if taken:
        assert measured(line).output_error == pytest.approx(steps / np.abs(reference.astype(int)).max())
    else:
        assert failed(line).kind == "output"
