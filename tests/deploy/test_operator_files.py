"""Operator files against torch, in the stock interpreters of both runtimes; and their cache."""

from pathlib import Path

import numpy as np
import pytest

from deploy.interpreters import load_interpreter
from deploy.operators import OperatorFile, export_operators
from deploy.tflite_schema import read_operators
from latency.opspec import EMPTY, OpSpec, zero
from pocketnas_base.artifact import Runtime
from pocketnas_base.errors import ExportError, InputError
from search.space import load_space

STRIDED = OpSpec("mbconv", 8, 12, 5, 3, 2, 14)
RESIDUAL = OpSpec("mbconv", 8, 8, 7, 6, 1, 7, residual=True)
STEM = OpSpec("conv", 1, 16, 3, 1, 2, 28)
ODD_STRIDED = OpSpec("mbconv", 8, 12, 3, 3, 2, 7)
CLASSIFIER = OpSpec("classifier", 16, 10, 1, 1, 1, 7)


def run(op: OpSpec, file: OperatorFile) -> tuple[np.ndarray, np.ndarray]:
    """What the stock interpreter makes of the stored input, and the stored reference, both as stored."""
    stored = np.fromfile(file.input_path, "<f4")
    reference = np.fromfile(file.reference_path, "<f4")
    images = stored.reshape(1, op.resolution, op.resolution, op.in_channels).transpose(0, 3, 1, 2)
    output = load_interpreter(file.artifact)(np.ascontiguousarray(images))
    flat = output.transpose(0, 2, 3, 1) if output.ndim == 4 else output
    return flat.ravel(), reference


@pytest.mark.parametrize("op", [EMPTY, STEM, STRIDED, ODD_STRIDED, RESIDUAL, CLASSIFIER], ids=lambda op: op.key)
def test_a_tflite_operator_computes_what_torch_computes(op: OpSpec, tmp_path: Path) -> None:
    output, reference = run(op, export_operators([op], "tflite", tmp_path)[op])
    assert np.abs(reference).max() > 0
    assert np.abs(output - reference).max() <= 1e-5 * np.abs(reference).max()


def test_every_operator_of_the_demo_space_computes_what_torch_computes(tmp_path: Path) -> None:
    files = export_operators(load_space("demo").op_specs(), "tflite", tmp_path)
    errors = {}
    for op, file in files.items():
        output, reference = run(op, file)
        errors[op.key] = np.abs(output - reference).max() / np.abs(reference).max()
    assert len(errors) == 41
    assert max(errors.values()) <= 1e-5, max(errors, key=lambda key: errors[key])


@pytest.mark.parametrize("runtime", ["tflite", pytest.param("executorch", marks=pytest.mark.slow)])
def test_the_cache_serves_the_same_files_and_rebuilds_a_damaged_one(runtime: Runtime, tmp_path: Path) -> None:
    first = export_operators([CLASSIFIER], runtime, tmp_path)[CLASSIFIER]
    made_at = first.artifact.path.stat().st_mtime_ns
    again = export_operators([CLASSIFIER], runtime, tmp_path)[CLASSIFIER]
    assert again == first
    assert again.artifact.path.stat().st_mtime_ns == made_at

    first.artifact.path.write_bytes(b"damaged")
    rebuilt = export_operators([CLASSIFIER], runtime, tmp_path)[CLASSIFIER]
    assert rebuilt.artifact.path.read_bytes() != b"damaged"
    assert np.fromfile(rebuilt.reference_path, "<f4").size == 10


def test_zero_has_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Zero runs nothing"):
        export_operators([zero(8, 7)], "tflite", tmp_path)


def test_what_is_no_tflite_model_is_said_to_be_none() -> None:
    with pytest.raises(ExportError, match=r"not a \.tflite model"):
        read_operators(b"\0" * 64)
