"""A .tflite file written straight from torch modules, in milliseconds, with the operators that onnx2tf would choose."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deploy.tflite_layers import LINEAR, Graph, Layer, graph_of
from deploy.tflite_schema import INPUT_NAME, TfliteBuilder
from latency.opspec import OpSpec

if TYPE_CHECKING:
    from torch import nn

WRITER_VERSION = 2
"""Raise it whenever the bytes written for an operator change: caches of operator files are keyed by it."""


def write_tflite(
    ops: Sequence[OpSpec], modules: "Sequence[nn.Module]", connections: Sequence[Sequence[int]] | None = None
) -> bytes:
    """A float32 model (NHWC, batch 1) of operators; see `tflite_layers.graph_of`, and for its errors."""
    return write_graph(graph_of(ops, modules, connections))


def write_graph(graph: Graph) -> bytes:
    """A graph as a float32 model."""
    builder = TfliteBuilder("PocketNAS")
    values = [builder.tensor(INPUT_NAME, graph.input_shape)]
    for layer in graph.layers:
        constants = []
        if layer.weight is not None and layer.bias is not None:
            constants.append(builder.constant(f"{layer.name}.weight", layer.weight))
            constants.append(builder.constant(f"{layer.name}.bias", layer.bias))
        inputs = [values[index] for index in layer.inputs]
        output = builder.tensor(layer.output, layer.shape)
        add_operator(builder, layer, [*inputs, *constants], output)
        values.append(output)
    return builder.finish(values[0], [values[index] for index in graph.outputs])


def add_operator(builder: TfliteBuilder, layer: Layer, inputs: Sequence[int], output: int, version: int = 1) -> None:
    """Append a layer's operator. inputs: the tensors of its values, then weight and bias; paddings and axes are added
    here. version: of the operator, which depends on the precision."""
    convolution: dict[str, object] = {
        "padding": layer.padding,
        "strideW": layer.stride,
        "strideH": layer.stride,
        "dilationWFactor": layer.dilation,
        "dilationHFactor": layer.dilation,
        "fusedActivationFunction": layer.activation,
    }
    options: tuple[str, dict[str, object]]
    match layer.kind:
        case "PAD":
            options = "PadOptions", {}
        case "CONV_2D":
            options = "Conv2DOptions", convolution
        case "DEPTHWISE_CONV_2D":
            options = "DepthwiseConv2DOptions", {"depthMultiplier": 1, **convolution}
        case "ADD":
            options = "AddOptions", {"fusedActivationFunction": LINEAR}
        case "MUL":
            options = "MulOptions", {"fusedActivationFunction": LINEAR}
        case "MEAN":
            options = "ReducerOptions", {"keepDims": True}
        case "FULLY_CONNECTED":
            options = "FullyConnectedOptions", {"fusedActivationFunction": LINEAR, "keepNumDims": False}
        case "RELU6" | "HARD_SWISH" | "LOGISTIC":
            options = "", {}
        case "MAX_POOL_2D" | "AVERAGE_POOL_2D":
            pool = {"padding", "strideW", "strideH", "fusedActivationFunction"}
            window: dict[str, object] = {"filterWidth": layer.size, "filterHeight": layer.size}
            options = "Pool2DOptions", window | {key: convolution[key] for key in pool}
    operands = list(inputs)
    if layer.integers is not None:
        what = "paddings" if layer.kind == "PAD" else "axes"
        operands.append(builder.constant(f"{layer.name}.{what}", layer.integers))
    builder.operator(layer.kind, operands, output, options[0], version=version, **options[1])
