"""Activations and squeeze-and-excitation in written .tflite files: against torch, integers, and onnx2tf's choice."""

from pathlib import Path

import numpy as np
import pytest
import torch
from block_cases import BLOCKS, MIXED, block

from deploy.folding import folded
from deploy.interpreters import load_interpreter
from deploy.operators import export_operators, int8_steps
from deploy.samples import network_sample, operator_sample
from deploy.tflite_int8 import quantise, to_float, to_int8, write_int8
from deploy.tflite_layers import graph_of
from deploy.tflite_onnx import convert_by_onnx2tf
from deploy.tflite_quantise import in_precision
from deploy.tflite_schema import TfliteOperator, read_operators
from deploy.tflite_writer import write_tflite
from latency.opspec import OpSpec
from pocketnas_base.artifact import Artifact


def names(content: bytes) -> list[str]:
    return [found.name for found in read_operators(content)]


def told(found: TfliteOperator) -> tuple[object, ...]:
    return found.name, found.input_shapes, found.output_shape, found.options


def nhwc(tensor: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray((tensor.permute(0, 2, 3, 1) if tensor.ndim == 4 else tensor).detach().numpy())


def mixed_modules() -> list[torch.nn.Module]:
    return list(network_sample(MIXED, 0).get_submodule("ops").children())


@pytest.mark.parametrize("op", BLOCKS, ids=lambda op: op.key)
def test_a_block_computes_what_torch_computes(op: OpSpec, tmp_path: Path) -> None:
    sample = operator_sample(op, 0)
    path = tmp_path / "op.tflite"
    path.write_bytes(write_tflite([op], [sample.module]))
    output, expected = load_interpreter(Artifact.of_file(path))(sample.input.numpy()), sample.output.numpy()
    assert np.abs(output - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("op", BLOCKS, ids=lambda op: op.key)
def test_an_int8_block_answers_what_its_integers_say_and_nearly_what_torch_says(op: OpSpec, tmp_path: Path) -> None:
    file = export_operators([op], "tflite", tmp_path, precision="int8")[op]
    integers = np.fromfile(file.input_path, np.int8).reshape(1, op.resolution, op.resolution, op.in_channels)
    output = load_int8(file.artifact.path.read_bytes(), integers)
    reference = np.fromfile(file.reference_path, np.int8).reshape(output.shape)
    assert np.abs(output.astype(int) - reference).max() <= int8_steps(op)
    sample = operator_sample(op, 0)
    model = quantise(graph_of([op], [sample.module]), nhwc(sample.input))
    found, expected = to_float(output, model.values[-1]), nhwc(sample.output)
    # 20 dB: what is lost is less than a hundredth of the signal's power.
    assert np.square(found - expected).sum() < np.square(expected).sum() / 100


def load_int8(content: bytes, integers: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], integers)
    interpreter.invoke()
    output: np.ndarray = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return output


def test_operators_are_those_that_onnx2tf_and_the_quantiser_choose(tmp_path: Path) -> None:
    """A table's operators and a network's file must run the same kernels, in float32 and in int8."""
    image = torch.randn(4, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    converted = convert_by_onnx2tf(folded(network_sample(MIXED, 0)), image, tmp_path / "log", strict=False)
    written = write_tflite(MIXED.ops, mixed_modules())
    assert read_operators(written) == read_operators(converted)
    (tmp_path / "written.tflite").write_bytes(written)
    ours = load_interpreter(Artifact.of_file(tmp_path / "written.tflite"))(image.numpy())
    expected = network_sample(MIXED, 0)(image).detach().numpy()
    assert np.abs(ours - expected).max() <= 1e-5 * np.abs(expected).max()

    integer = write_int8(quantise(graph_of(MIXED.ops, mixed_modules()), nhwc(image)))
    theirs = in_precision(converted, "int8", nhwc(image))
    assert [told(found) for found in read_operators(integer)] == [told(found) for found in read_operators(theirs)]


def test_an_int8_network_computes_nearly_what_the_float_one_does() -> None:
    images = torch.randn(16, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    model = quantise(graph_of(MIXED.ops, mixed_modules()), nhwc(images))
    content = write_int8(model)
    found = np.concatenate([load_int8(content, to_int8(image[None], model.values[0])) for image in nhwc(images)])
    expected = network_sample(MIXED, 0)(images).detach().numpy()
    assert np.square(to_float(found, model.values[-1]) - expected).sum() < np.square(expected).sum() / 30


@pytest.mark.slow
def test_a_gate_over_one_pixel_has_no_mean_as_onnx2tf_has_none(tmp_path: Path) -> None:
    op = block((8, 12), 3, 3, 2, 2, "hswish", 0.25)
    sample = operator_sample(op, 0)
    converted = convert_by_onnx2tf(folded(sample.module), sample.input, tmp_path / "log", strict=False)
    written = write_tflite([op], [sample.module])
    assert read_operators(written) == read_operators(converted)
    assert "MEAN" not in names(written)
