"""Full-integer .tflite files: against the float module, against their own integers computed apart, and as a format."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from deploy.export import export_untrained
from deploy.interpreters import load_interpreter
from deploy.operators import INT8_STEPS, OperatorFile, export_operators
from deploy.samples import network_sample, operator_sample
from deploy.tflite_int8 import (
    HIGHEST,
    LOWEST,
    IntegerGraph,
    activation_quantisation,
    quantise,
    to_float,
    to_int8,
    write_int8,
)
from deploy.tflite_int8_reference import integer_output
from deploy.tflite_layers import graph_of
from deploy.tflite_schema import TfliteOperator, read_operators
from deploy.tflite_writer import write_tflite
from latency.opspec import EMPTY, OpSpec, zero
from pocketnas_base.errors import ExportError, InputError
from search.architecture import Architecture, assemble
from search.space import load_space

STEM = OpSpec("conv", 3, 16, 3, 1, 2, 28)
ODD_STEM = OpSpec("conv", 3, 8, 3, 1, 2, 9)
HEAD = OpSpec("conv", 40, 64, 1, 1, 1, 7)
POINTWISE_STRIDED = OpSpec("conv", 3, 8, 1, 1, 2, 8)
FIRST = OpSpec("mbconv", 16, 8, 3, 1, 1, 14)
STRIDED = OpSpec("mbconv", 8, 12, 5, 3, 2, 14)
RESIDUAL = OpSpec("mbconv", 8, 8, 7, 6, 1, 7, residual=True)
CLASSIFIER = OpSpec("classifier", 64, 10, 1, 1, 1, 7)
SMALL_CLASSIFIER = OpSpec("classifier", 64, 10, 1, 1, 1, 1)
OPS = (STEM, ODD_STEM, HEAD, POINTWISE_STRIDED, FIRST, STRIDED, RESIDUAL, CLASSIFIER, SMALL_CLASSIFIER)


def snr_db(signal: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """Power of the signal over power of the difference, in dB."""
    error = np.sum((found.astype(np.float64) - signal) ** 2)
    return float(10 * np.log10(np.sum(signal.astype(np.float64) ** 2) / error))


def nhwc(tensor: torch.Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray((tensor.permute(0, 2, 3, 1) if tensor.ndim == 4 else tensor).detach().numpy())


def quantised(op: OpSpec, *, seed: int = 0) -> IntegerGraph:
    sample = operator_sample(op, seed)
    return quantise(graph_of([op], [sample.module]), nhwc(sample.input))


def answer(content: bytes, integers: NDArray[np.int8]) -> NDArray[np.int8]:
    """What the stock interpreter makes of an int8 input."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    assert (source["dtype"], target["dtype"]) == (np.int8, np.int8)
    interpreter.set_tensor(source["index"], integers)
    interpreter.invoke()
    output: NDArray[np.int8] = interpreter.get_tensor(target["index"])
    return output


def stored(op: OpSpec, file: OperatorFile) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """What the stock interpreter makes of the stored input, and the stored reference."""
    integers = np.fromfile(file.input_path, np.int8).reshape(1, op.resolution, op.resolution, op.in_channels)
    return answer(file.artifact.path.read_bytes(), integers).ravel(), np.fromfile(file.reference_path, np.int8)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.key)
def test_an_int8_operator_computes_nearly_what_its_float_module_does(op: OpSpec) -> None:
    """28 dB: what is lost is less than a twenty-fifth of the signal. A wrong scale or zero point loses all of it."""
    sample, model = operator_sample(op, 0), quantised(op)
    output = answer(write_int8(model), to_int8(nhwc(sample.input), model.values[0]))
    assert snr_db(nhwc(sample.output), to_float(output, model.values[-1])) > 28


@pytest.mark.parametrize("op", [EMPTY, *OPS], ids=lambda op: op.key)
def test_an_int8_file_answers_what_its_integers_say(op: OpSpec, tmp_path: Path) -> None:
    file = export_operators([op], "tflite", tmp_path, precision="int8")[op]
    assert (file.artifact.precision, file.artifact.runtime) == ("int8", "tflite")
    output, reference = stored(op, file)
    off = np.abs(output.astype(int) - reference)
    assert off.max() <= INT8_STEPS
    assert off.max() / np.abs(reference.astype(int)).max() <= file.max_output_error
    if op != EMPTY:
        assert len(set(reference.tolist())) > 5, "a reference of nothing but one number proves nothing"


def test_every_int8_operator_of_the_demo_space_answers_what_its_integers_say(tmp_path: Path) -> None:
    files = export_operators(load_space("demo").op_specs(), "tflite", tmp_path, precision="int8")
    off = {}
    for op, file in files.items():
        output, reference = stored(op, file)
        off[op.key] = np.abs(output.astype(int) - reference).max()
    assert len(off) == 41
    assert max(off.values()) <= INT8_STEPS, max(off, key=lambda key: off[key])


def test_a_residual_adds_two_numbers_of_different_scales() -> None:
    """An input far larger than what the block makes of it: added without regard to scales the two would not fit."""
    sample = operator_sample(RESIDUAL, 0)
    image = 30 * nhwc(sample.input)
    model = quantise(graph_of([RESIDUAL], [sample.module]), image)
    shortcut, body, total = model.values[0].scale, model.values[-2].scale, model.values[-1].scale
    assert max(shortcut, total) > 2 * body
    with torch.no_grad():
        expected = nhwc(sample.module(torch.from_numpy(image).permute(0, 3, 1, 2)))
    output = answer(write_int8(model), to_int8(image, model.values[0]))
    assert snr_db(expected, to_float(output, model.values[-1])) > 28


def test_int8_operators_are_those_of_the_float_file_in_their_int8_versions() -> None:
    """The table's operators and a quantised network's must be the same kernels."""
    for op in OPS:
        module = operator_sample(op, 0).module
        plain, integer = read_operators(write_tflite([op], [module])), read_operators(write_int8(quantised(op)))

        def told(found: TfliteOperator) -> tuple[object, ...]:
            return found.name, found.input_shapes, found.output_shape, found.options

        assert [told(found) for found in integer] == [told(found) for found in plain]
        assert {found.version for found in plain} == {1}
        assert all(found.version >= 2 for found in integer)


def test_tensors_are_quantised_as_the_format_asks() -> None:
    """https://ai.google.dev/edge/litert/models/quantization_spec, read back from the file by the stock interpreter."""
    from ai_edge_litert.interpreter import Interpreter

    op = OpSpec("mbconv", 8, 16, 7, 3, 2, 4)  # with a PAD
    interpreter = Interpreter(model_content=write_int8(quantised(op)))
    interpreter.allocate_tensors()
    tensors = {detail["name"]: detail for detail in interpreter.get_tensor_details()}
    parameters = {name: detail["quantization_parameters"] for name, detail in tensors.items()}
    weights = [name for name in tensors if name.endswith(".weight")]
    assert len(weights) == 3
    for name in weights:
        told, value = parameters[name], interpreter.get_tensor(tensors[name]["index"])
        axis = 3 if name.endswith(".2.weight") else 0
        assert (value.dtype, told["quantized_dimension"]) == (np.int8, axis)
        assert len(told["scales"]) == value.shape[axis]
        assert not told["zero_points"].any()
        assert value.min() >= -127
    for name in (name for name in tensors if name.endswith(".bias")):
        assert tensors[name]["dtype"] == np.int32
        source = {"1": "input", "2": f"{name.removesuffix('.2.bias')}.2.padded", "3": name.replace(".3.bias", ".2")}
        weight = parameters[name.replace(".bias", ".weight")]["scales"]
        before = parameters[source[name.split(".")[-2]]]["scales"]
        assert parameters[name]["scales"] == pytest.approx(before * weight, rel=1e-6)
    padded, unpadded = (
        next(told for name, told in parameters.items() if name.endswith(end)) for end in ("padded", "1")
    )
    assert (padded["scales"], padded["zero_points"]) == (unpadded["scales"], unpadded["zero_points"])


@settings(max_examples=200, deadline=None)
@given(low=st.floats(-1e4, 1e4), high=st.floats(-1e4, 1e4))
def test_a_range_is_covered_to_half_a_step_and_zero_exactly(low: float, high: float) -> None:
    low, high = min(low, high), max(low, high)
    made = activation_quantisation(low, high)
    assert made.scale > 0
    numbers = np.linspace(low, high, 101).astype(np.float32)
    again = to_float(to_int8(numbers, made), made)
    # Half a step, and at the ends of the range another half, by which the zero point was rounded.
    assert np.abs(again - numbers).max() <= made.scale * (1 + 1e-3)
    assert to_float(to_int8(np.zeros(1, np.float32), made), made)[0] == 0
    assert LOWEST <= made.zero_point <= HIGHEST


def test_a_bias_that_its_weights_scale_cannot_hold_widens_the_scale() -> None:
    """A channel of nearly no weight and some bias: in steps of that weight the bias would not fit 32 bits."""
    module = torch.nn.ModuleDict({"linear": torch.nn.Linear(4, 2)})
    with torch.no_grad():
        module["linear"].weight.copy_(torch.tensor([[1.0, -1, 0.5, 0], [1e-12, 0, 0, 0]]))
        module["linear"].bias.copy_(torch.tensor([0.25, 3.0]))
    op = OpSpec("classifier", 4, 2, 1, 1, 1, 1)
    image = np.array([0.5, -0.5, 1, 1], np.float32).reshape(1, 1, 1, 4)
    model = quantise(graph_of([op], [module]), image)
    output = to_float(answer(write_int8(model), to_int8(image, model.values[0])), model.values[-1])
    assert output[0] == pytest.approx([1.75, 3.0], abs=0.03)


def test_what_is_always_zero_stays_zero() -> None:
    module = torch.nn.ModuleDict({"linear": torch.nn.Linear(4, 2)})
    with torch.no_grad():
        module["linear"].weight.zero_()
        module["linear"].bias.zero_()
    op = OpSpec("classifier", 4, 2, 1, 1, 1, 1)
    image = np.zeros((1, 1, 1, 4), np.float32)
    model = quantise(graph_of([op], [module]), image)
    assert answer(write_int8(model), to_int8(image, model.values[0])).tolist() == [[0, 0]]


def test_int8_and_float_files_of_one_operator_lie_side_by_side(tmp_path: Path) -> None:
    plain = export_operators([CLASSIFIER], "tflite", tmp_path)[CLASSIFIER]
    integer = export_operators([CLASSIFIER], "tflite", tmp_path, precision="int8")[CLASSIFIER]
    assert plain.artifact.path.exists()
    assert plain.artifact.precision == "fp32"
    assert integer.artifact.sha256 != plain.artifact.sha256
    made_at = integer.artifact.path.stat().st_mtime_ns
    assert export_operators([CLASSIFIER], "tflite", tmp_path, precision="int8")[CLASSIFIER] == integer
    assert integer.artifact.path.stat().st_mtime_ns == made_at


@pytest.mark.parametrize(
    ("runtime", "precision", "message"),
    [("tflite", "fp16", "tflite files are exported in fp32 and int8 so far, not in fp16")],
)
def test_a_precision_that_is_not_offered_is_one_line(
    runtime: str, precision: str, message: str, tmp_path: Path, architecture: Architecture
) -> None:
    for export in (
        lambda: export_operators([EMPTY], runtime, tmp_path, precision=precision),  # type: ignore[arg-type]
        lambda: export_untrained(architecture, tmp_path, runtime=runtime, precision=precision),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputError) as caught:
            export()
        assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def architecture() -> Architecture:
    # Every kernel, both expansions, Zero, strides and residuals.
    return assemble(load_space("demo"), [2, 6, 1, 5, 0, 1, 3, 6], "small")


def test_a_whole_network_in_int8_computes_nearly_what_the_float_one_does(
    architecture: Architecture, tmp_path: Path
) -> None:
    exported = export_untrained(architecture, tmp_path, runtime="tflite", precision="int8")
    assert (exported.path.name, exported.precision) == ("small_untrained_int8.tflite", "int8")
    network = network_sample(architecture, 0)
    images = np.random.default_rng(1).standard_normal((16, 28, 28, 1), np.float32)
    model = quantise(graph_of(architecture.ops, list(network.get_submodule("ops").children())), images)
    content = write_int8(model)
    found = np.concatenate([answer(content, to_int8(image[None], model.values[0])) for image in images])
    with torch.no_grad():
        expected = network(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    assert snr_db(expected, to_float(found, model.values[-1])) > 15
    reference = integer_output(model, to_int8(images[:1], model.values[0]))
    assert np.abs(reference.astype(int) - found[:1]).max() <= 2 * INT8_STEPS

    made_at = exported.path.stat().st_mtime_ns
    assert export_untrained(architecture, tmp_path, runtime="tflite", precision="int8") == exported
    assert exported.path.stat().st_mtime_ns == made_at
    plain = export_untrained(architecture, tmp_path, runtime="tflite")
    assert (plain.path.name, plain.precision) == ("small_untrained_fp32.tflite", "fp32")
    assert [found.name for found in read_operators(exported.path.read_bytes())] == [
        found.name for found in read_operators(plain.path.read_bytes())
    ]


def test_a_float_interpreter_is_not_given_an_int8_file(architecture: Architecture, tmp_path: Path) -> None:
    """Its checks feed float32 images: a file of another type is refused, never misread."""
    exported = export_untrained(architecture, tmp_path, runtime="tflite", precision="int8")
    with pytest.raises(ExportError, match="takes int8 images"):
        load_interpreter(exported)(np.zeros((1, 1, 28, 28), np.float32))


def test_zero_alone_is_refused_in_int8_too(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Zero runs nothing"):
        export_operators([zero(8, 7)], "tflite", tmp_path, precision="int8")
