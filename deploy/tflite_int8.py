"""A full-integer .tflite: int8 activations by tensor, int8 weights by output channel, int8 in and out.

As the format's quantisation specification has it (https://ai.google.dev/edge/litert/models/quantization_spec), and with
the operators, scales and zero points that ai-edge-quantizer 0.10.0 was seen to make of the same float32 files (recipe
static_wi8_ai8).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deploy.tflite_compute import value_ranges
from deploy.tflite_layers import RELU6, Graph, Layer, LayerKind
from deploy.tflite_schema import INPUT_NAME, Quantisation, TfliteBuilder
from deploy.tflite_writer import add_operator

INT8_VERSION = 1
"""Raise it whenever the bytes written for an int8 model, or its reference output, change: caches are keyed by it."""

LOWEST, HIGHEST = -128, 127
# Weights are symmetric: -128 is left out, so that a product of two fits 15 bits.
MOST_WEIGHT = 127
# Runtimes ask for scales that float32 holds in full.
SMALLEST_SCALE = float(np.finfo(np.float32).tiny)
# A bias is stored in steps of input scale times weight scale; it must fit int32, with room for the sum it is added to.
MOST_BIAS = 2**30

# The first version of each operator that takes int8 (tensorflow/compiler/mlir/lite/tools/versioning/op_version.cc).
VERSIONS: dict[LayerKind, int] = {
    "PAD": 2,
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "ADD": 2,
    "MEAN": 2,
    "FULLY_CONNECTED": 4,
    "MAX_POOL_2D": 2,
    "MUL": 2,
    "LOGISTIC": 2,
    "HARD_SWISH": 1,
}
# Operators that only move or clip numbers: input and output have one quantisation.
_SAME_SCALE: tuple[LayerKind, ...] = ("PAD", "MAX_POOL_2D")
# The format's kernels give a sigmoid, which is below 1, in these steps and no others.
_SHARES = Quantisation((1.0 / 256.0,), LOWEST)


@dataclass(frozen=True, slots=True)
class IntegerWeights:
    """A layer's constants. weight: as the layer's, int8; bias: int32, in steps of input scale times weight scale."""

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    weight_quantisation: Quantisation
    bias_quantisation: Quantisation


@dataclass(frozen=True, slots=True)
class IntegerGraph:
    """A graph in integers. values: how its input, then each layer's output is quantised. weights: of each layer."""

    graph: Graph
    values: tuple[Quantisation, ...]
    weights: tuple[IntegerWeights | None, ...]


def quantise(graph: Graph, images: NDArray[np.float32]) -> IntegerGraph:
    """Quantise a graph by what its values are on `images` [N, H, W, C]: every range is that seen, 0 included.

    A ReLU6 that no layer could take in becomes a pool of one pixel with it: LiteRT's XNNPACK delegate runs both as the
    same clamp, but takes the former in float32 only.
    """
    layers = [
        replace(layer, kind="MAX_POOL_2D", activation=RELU6) if layer.kind == "RELU6" else layer
        for layer in graph.layers
    ]
    graph = replace(graph, layers=tuple(layers))
    values: list[Quantisation] = []
    for index, seen in enumerate(value_ranges(graph, images)):
        layer = graph.layers[index - 1] if index else None
        if layer is not None and layer.kind in _SAME_SCALE:
            values.append(values[layer.inputs[0]])
        elif layer is not None and layer.kind == "LOGISTIC":
            values.append(_SHARES)
        else:
            values.append(activation_quantisation(*seen))
    weights = tuple(_integer_weights(layer, values[layer.inputs[0]].scale) for layer in graph.layers)
    return IntegerGraph(graph, tuple(values), weights)


def write_int8(model: IntegerGraph) -> bytes:
    """The file, with the signature that float32 files have."""
    graph, builder = model.graph, TfliteBuilder("PocketNAS")
    tensors = [builder.tensor(INPUT_NAME, graph.input_shape, model.values[0])]
    for layer, made, weights in zip(graph.layers, model.values[1:], model.weights, strict=True):
        constants = []
        if weights is not None:
            constants.append(builder.constant(f"{layer.name}.weight", weights.weight, weights.weight_quantisation))
            constants.append(builder.constant(f"{layer.name}.bias", weights.bias, weights.bias_quantisation))
        output = builder.tensor(layer.output, layer.shape, made)
        inputs = [tensors[index] for index in layer.inputs]
        add_operator(builder, layer, [*inputs, *constants], output, VERSIONS[layer.kind])
        tensors.append(output)
    return builder.finish(tensors[0], [tensors[index] for index in graph.outputs])


def activation_quantisation(low: float, high: float) -> Quantisation:
    """int8 over [low, high], widened so that 0 is in it and stands for an integer exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = _float32((high - low) / (HIGHEST - LOWEST))
    if scale < SMALLEST_SCALE:
        return Quantisation((1.0,))  # nothing but zeros, or as good as: any scale holds them
    return Quantisation((scale,), int(np.clip(np.rint(LOWEST - low / scale), LOWEST, HIGHEST)))


def to_int8(array: NDArray[np.float32], quantisation: Quantisation) -> NDArray[np.int8]:
    """The nearest integers, those out of range clipped."""
    steps = np.rint(array.astype(np.float64) / quantisation.scale) + quantisation.zero_point
    integers: NDArray[np.int8] = np.clip(steps, LOWEST, HIGHEST).astype(np.int8)
    return integers


def to_float(array: NDArray[np.int8], quantisation: Quantisation) -> NDArray[np.float32]:
    """The numbers that integers stand for."""
    return ((array.astype(np.float64) - quantisation.zero_point) * quantisation.scale).astype(np.float32)


def output_axis(layer: Layer) -> int:
    """The axis of a layer's weight that counts its output channels."""
    return 3 if layer.kind == "DEPTHWISE_CONV_2D" else 0


def _integer_weights(layer: Layer, input_scale: float) -> IntegerWeights | None:
    if layer.weight is None or layer.bias is None:
        return None
    axis = output_axis(layer)
    others = tuple(each for each in range(layer.weight.ndim) if each != axis)
    weight, bias = layer.weight.astype(np.float64), layer.bias.astype(np.float64)
    wanted = np.maximum(np.abs(weight).max(others) / MOST_WEIGHT, np.abs(bias) / (input_scale * MOST_BIAS))
    scales = np.where(wanted > SMALLEST_SCALE, wanted, 1.0).astype(np.float32).astype(np.float64)
    shape = [-1 if each == axis else 1 for each in range(weight.ndim)]
    bias_scales = (input_scale * scales).astype(np.float32).astype(np.float64)
    return IntegerWeights(
        np.clip(np.rint(weight / scales.reshape(shape)), -MOST_WEIGHT, MOST_WEIGHT).astype(np.int8),
        np.rint(bias / bias_scales).astype(np.int32),
        Quantisation(tuple(scales.tolist()), axis=axis),
        Quantisation(tuple(bias_scales.tolist())),
    )


def _float32(value: float) -> float:
    return float(np.float32(value))
