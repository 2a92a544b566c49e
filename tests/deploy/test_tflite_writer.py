"""The schema-written .tflite against torch, shape by shape, and against what onnx2tf was seen to choose."""

from pathlib import Path

import numpy as np
import pytest
import torch

from deploy.interpreters import load_interpreter
from deploy.samples import operator_sample
from deploy.tflite_layers import SAME, VALID
from deploy.tflite_schema import DATA_ALIGNMENT, TfliteOperator, read_operators
from deploy.tflite_writer import write_tflite
from latency.opspec import OpSpec, zero
from pocketnas_base.artifact import Artifact
from pocketnas_base.errors import InputError


def written(op: OpSpec, path: Path) -> Artifact:
    path.write_bytes(write_tflite([op], [operator_sample(op, 0).module]))
    return Artifact.of_file(path)


def operators(op: OpSpec) -> list[TfliteOperator]:
    return read_operators(write_tflite([op], [operator_sample(op, 0).module]))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_padding_is_torchs_for_odd_and_even_sizes(kernel: int, stride: int, tmp_path: Path) -> None:
    for resolution in (1, 2, 3, 8, 9):
        for op in (
            OpSpec("conv", 3, 4, kernel, 1, stride, resolution),
            OpSpec("mbconv", 2, 3, kernel, 3, stride, resolution),
        ):
            sample = operator_sample(op, 0)
            output = load_interpreter(written(op, tmp_path / "op.tflite"))(sample.input.numpy())
            expected = sample.output.numpy()
            assert output.shape == expected.shape, op.key
            assert np.abs(output - expected).max() <= 1e-5 * max(np.abs(expected).max(), 1.0), op.key


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (OpSpec("conv", 3, 8, 3, 1, 2, 8), [("PAD", None), ("CONV_2D", VALID)]),
        (OpSpec("conv", 3, 8, 3, 1, 2, 9), [("CONV_2D", SAME)]),
        (OpSpec("conv", 3, 8, 1, 1, 2, 8), [("CONV_2D", VALID)]),
        (OpSpec("conv", 3, 8, 1, 1, 1, 7), [("CONV_2D", SAME)]),
        (OpSpec("conv", 3, 8, 3, 1, 3, 9), [("PAD", None), ("CONV_2D", VALID)]),
        (OpSpec("conv", 3, 8, 3, 1, 3, 10), [("CONV_2D", SAME)]),
        (OpSpec("conv", 3, 8, 5, 1, 4, 8), [("PAD", None), ("CONV_2D", VALID)]),
        (OpSpec("conv", 3, 8, 5, 1, 4, 9), [("CONV_2D", SAME)]),
        (OpSpec("mbconv", 1, 4, 3, 1, 2, 8), [("PAD", None), ("CONV_2D", VALID), ("CONV_2D", SAME)]),
        (
            OpSpec("mbconv", 8, 16, 7, 3, 2, 2),
            [("CONV_2D", SAME), ("PAD", None), ("DEPTHWISE_CONV_2D", VALID), ("CONV_2D", SAME)],
        ),
        (
            OpSpec("mbconv", 8, 8, 5, 3, 1, 8, residual=True),
            [("CONV_2D", SAME), ("DEPTHWISE_CONV_2D", SAME), ("CONV_2D", SAME), ("ADD", None)],
        ),
        (OpSpec("classifier", 16, 10, 1, 1, 1, 7), [("MEAN", None), ("FULLY_CONNECTED", None)]),
        (OpSpec("classifier", 16, 10, 1, 1, 1, 1), [("FULLY_CONNECTED", None)]),
    ],
    ids=lambda value: value.key if isinstance(value, OpSpec) else "",
)
def test_operators_are_those_that_onnx2tf_1_28_8_was_seen_to_choose(
    op: OpSpec, expected: list[tuple[str, int | None]]
) -> None:
    assert [(found.name, dict(found.options).get("padding")) for found in operators(op)] == expected


def test_a_file_carries_the_default_signature(tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    artifact = written(OpSpec("conv", 3, 8, 3, 1, 2, 8), tmp_path / "op.tflite")
    assert Interpreter(str(artifact.path)).get_signature_list() == {
        "serving_default": {"inputs": ["input"], "outputs": ["output"]}
    }


def test_weights_start_at_multiples_of_sixteen_bytes() -> None:
    from ai_edge_litert import schema_py_generated as schema

    op = OpSpec("mbconv", 5, 7, 3, 3, 2, 8)
    content = write_tflite([op], [operator_sample(op, 0).module])
    model = schema.Model.GetRootAs(content, 0)
    whole = np.frombuffer(content, np.uint8)
    starts = [
        data.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
        for index in range(model.BuffersLength())
        if isinstance(data := model.Buffers(index).DataAsNumpy(), np.ndarray)
    ]
    assert len(starts) == 7  # three weights, three biases, the paddings
    assert [start % DATA_ALIGNMENT for start in starts] == [0] * 7


def test_a_network_laid_out_channels_last_is_written_the_same() -> None:
    op = OpSpec("mbconv", 4, 6, 5, 3, 2, 9)
    module = operator_sample(op, 0).module
    contiguous = write_tflite([op], [module])
    assert write_tflite([op], [module.to(memory_format=torch.channels_last)]) == contiguous


def test_a_model_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="computes nothing"):
        write_tflite([zero(8, 7)], [torch.nn.Identity()])
