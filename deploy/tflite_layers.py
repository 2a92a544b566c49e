"""A chain of operators as the layers of a .tflite graph: those that onnx2tf would choose, in float32."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from deploy.folding import folded
from deploy.tflite_schema import OUTPUT_NAME
from latency.opspec import OpSpec
from pocketnas_base.errors import InputError
from search.layout import chain_inputs

if TYPE_CHECKING:
    from torch import Tensor, nn

    from search.operators import SqueezeExcite

LayerKind = Literal[
    "PAD",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "ADD",
    "MUL",
    "MEAN",
    "FULLY_CONNECTED",
    "RELU6",
    "HARD_SWISH",
    "LOGISTIC",
    "MAX_POOL_2D",
    "AVERAGE_POOL_2D",
]

# Values of the schema's enums Padding and ActivationFunctionType.
SAME, VALID = 0, 1
LINEAR, RELU, RELU6 = 0, 1, 3
HEIGHT_AND_WIDTH = (1, 2)


@dataclass(frozen=True, slots=True)
class Layer:
    """One operator of the graph, at batch 1, NHWC.

    inputs: which values it takes: 0 is the model's input, n the output of the n-th layer. name: what its constants are
    named after. output, shape: of the tensor it makes. weight: [out, kh, kw, in], depthwise [1, kh, kw, channels],
    fully connected [out, in]; with it bias [out]. integers: of PAD its paddings [4, 2], of MEAN its axes.
    activation: what is applied to the output, LINEAR, RELU or RELU6. size: of a pooling's window, height and width; of
    one pixel it applies the activation alone. dilation: of a convolution.
    """

    kind: LayerKind
    inputs: tuple[int, ...]
    name: str
    output: str
    shape: tuple[int, ...]
    weight: NDArray[np.float32] | None = None
    bias: NDArray[np.float32] | None = None
    integers: NDArray[np.int32] | None = None
    stride: int = 1
    padding: int = SAME
    activation: int = LINEAR
    size: int = 1
    dilation: int = 1


@dataclass(frozen=True, slots=True)
class Graph:
    """A model of one input. input_shape: [1, H, W, C]. outputs: the values that the model gives, numbered as in
    `Layer.inputs`, in the order in which their layers stand."""

    input_shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    outputs: tuple[int, ...]


def graph_of(
    ops: Sequence[OpSpec], modules: "Sequence[nn.Module]", connections: Sequence[Sequence[int]] | None = None
) -> Graph:
    """The layers of operators, each computed as its module does in evaluation mode.

    modules: parallel to `ops`, as `search.operators.build_operator` makes them; batch norms are folded in float64.
    connections: the values that each operator takes, 0 the input, n what the n-th one gives; None: a chain. An `add` of
    one value adds it to itself. A lone `empty` becomes one ReLU6 on a 1x1x1x1 tensor. `zero` adds nothing.
    Raises InputError when nothing is left to compute.
    """
    if all(op.kind == "zero" for op in ops):
        raise InputError("a model of nothing but Zero computes nothing and cannot be written")
    connections = connections or chain_inputs(len(ops))
    first, last = ops[0], max(index for index, op in enumerate(ops) if op.kind != "zero")
    layers: list[Layer] = []
    values, written = [0], 0
    for index, (op, module, taken) in enumerate(zip(ops, modules, connections, strict=True)):
        sources = tuple(values[value] for value in taken)
        if op.kind == "zero":
            values.append(sources[0])
            continue
        name = f"op{written:02d}.{op.key}"
        layers += _layers(op, module, sources, len(layers), name, OUTPUT_NAME if index == last else name)
        values.append(len(layers))
        written += 1
    return Graph((1, first.resolution, first.resolution, first.in_channels), tuple(layers), (len(layers),))


def _layers(
    op: OpSpec, module: "nn.Module", sources: tuple[int, ...], before: int, name: str, output: str
) -> list[Layer]:
    """sources: the values that the operator takes. before: how many layers stand before it."""
    from torch import nn

    match op.kind:
        case "empty":
            return [Layer("RELU6", sources, name, output, (1, 1, 1, 1))]
        case "avgpool" | "maxpool":
            shape = (1, op.resolution, op.resolution, op.out_channels)
            kind: LayerKind = "AVERAGE_POOL_2D" if op.kind == "avgpool" else "MAX_POOL_2D"
            return [Layer(kind, sources, name, output, shape, size=op.kernel)]
        case "add":
            return _add(op, sources, before, name, output)
        case "classifier":
            plain = folded(module)
            assert isinstance(plain.linear, nn.Linear)
            return _classifier(op, plain.linear, sources[0], before, name, output)
        case _:
            plain = folded(module)
            assert isinstance(plain.body, nn.Sequential)
            return _block(op, plain.body, sources[0], before, name, output)


def side_by_side(graphs: Sequence[Graph]) -> Graph:
    """Graphs of one input shape as one, each on the one input, with the outputs of all, in their order."""
    if len(graphs) == 1:
        return graphs[0]
    layers: list[Layer] = []
    outputs: list[int] = []
    for number, graph in enumerate(graphs):
        before = len(layers)
        outputs += [before + value for value in graph.outputs]
        layers += [
            replace(
                layer,
                inputs=tuple(value and before + value for value in layer.inputs),
                name=f"copy{number:03d}.{layer.name}",
                output=f"{layer.output}{number}" if layer.output == OUTPUT_NAME else f"copy{number:03d}.{layer.output}",
            )
            for layer in graph.layers
        ]
    return Graph(graphs[0].input_shape, tuple(layers), tuple(outputs))


def same_as_symmetric(resolution: int, kernel: int, stride: int) -> bool:
    """Whether TFLite's SAME pads as torch's padding kernel // 2 does, by the same amount on both sides.

    SAME pads max((ceil(r / s) - 1) * s + k - r, 0) in all, the smaller half first (tensorflow/lite/kernels/padding.h).
    """
    total = max((-(-resolution // stride) - 1) * stride + kernel - resolution, 0)
    return total == 2 * (kernel // 2)


def _add(op: OpSpec, sources: tuple[int, ...], before: int, name: str, output: str) -> list[Layer]:
    """See search.cell_operators.Add."""
    layers: list[Layer] = []
    value, size = sources[0], op.out_resolution
    if op.stride > 1:
        shape = (1, size, size, op.in_channels)
        layers.append(
            Layer(
                "AVERAGE_POOL_2D",
                (value,),
                name,
                f"{name}.pooled",
                shape,
                stride=op.stride,
                padding=VALID,
                size=op.stride,
            )
        )
        value = before + len(layers)
    shape = (1, size, size, op.out_channels)
    if op.out_channels > op.in_channels:
        paddings = np.array([[0, 0], [0, 0], [0, 0], [0, op.out_channels - op.in_channels]], np.int32)
        layers.append(Layer("PAD", (value,), name, f"{name}.padded", shape, integers=paddings))
        value = before + len(layers)
    return [*layers, Layer("ADD", (value, sources[1] if len(sources) > 1 else value), name, output, shape)]


def _block(op: OpSpec, body: "nn.Sequential", source: int, before: int, name: str, output: str) -> list[Layer]:
    """source: the value that the operator takes. before: how many layers stand before it."""
    from torch import nn

    from search.operators import SqueezeExcite

    layers: list[Layer] = []
    resolution, count = op.resolution, 0
    for index, module in enumerate(body):
        own, stand = f"{name}.{count}", before + len(layers)
        taken = stand if layers else source
        if isinstance(module, nn.Conv2d):
            count += 1
            activation = fused_activation(body[index + 1] if index + 1 < len(body) else None)
            layers += _convolution(module, activation, taken, stand, resolution, f"{name}.{count}")
            resolution = -(-resolution // module.stride[0])
        elif isinstance(module, SqueezeExcite):
            layers += _squeeze_excite(module, stand, layers[-1].shape, f"{own}.gate")
        else:
            layers += _activation(module, stand, layers[-1].shape, own)
    if op.residual:
        shape = (1, resolution, resolution, op.out_channels)
        layers.append(Layer("ADD", (source, before + len(layers)), name, output, shape))
    layers[-1] = replace(layers[-1], output=output)
    return layers


def fused_activation(module: "nn.Module | None") -> int:
    """What of a module the layer before it takes in."""
    from torch import nn

    return RELU6 if isinstance(module, nn.ReLU6) else RELU if isinstance(module, nn.ReLU) else LINEAR


def _activation(module: "nn.Module", source: int, shape: tuple[int, ...], name: str) -> list[Layer]:
    """The layers of an activation that no other layer takes in; none where one does."""
    from torch import nn

    if isinstance(module, nn.Hardswish):
        return [Layer("HARD_SWISH", (source,), name, f"{name}.activated", shape)]
    if isinstance(module, nn.Sigmoid):
        return [Layer("LOGISTIC", (source,), name, f"{name}.activated", shape)]
    if isinstance(module, nn.SiLU):
        share = Layer("LOGISTIC", (source,), name, f"{name}.logistic", shape)
        return [share, Layer("MUL", (source, source + 1), name, f"{name}.activated", shape)]
    assert isinstance(module, nn.ReLU6 | nn.ReLU), module
    return []


def _squeeze_excite(module: "SqueezeExcite", source: int, shape: tuple[int, ...], name: str) -> list[Layer]:
    """source: the last value before it."""
    layers: list[Layer] = []
    if shape[1] > 1:
        layers.append(_mean(source, shape[-1], name))
    for convolution, activation, own in (
        (module.reduce, module.activation, f"{name}.1"),
        (module.expand, module.gate, f"{name}.2"),
    ):
        stand = source + len(layers)
        layers += _convolution(convolution, fused_activation(activation), stand, stand, 1, own)
        layers += _activation(activation, source + len(layers), layers[-1].shape, own)
    return [*layers, Layer("MUL", (source, source + len(layers)), name, f"{name}.gated", shape)]


def _convolution(
    module: "nn.Conv2d", activation: int, source: int, before: int, resolution: int, name: str
) -> list[Layer]:
    kernel, stride = module.kernel_size[0], module.stride[0]
    depthwise = module.groups > 1 and module.groups == module.in_channels
    layers: list[Layer] = []
    if stride == 1 or (kernel > 1 and same_as_symmetric(resolution, kernel, stride)):
        padding = SAME
    else:
        padding = VALID
        if kernel > 1:
            layers.append(_pad(source, resolution, kernel // 2, module.in_channels, name))
    # [out, in, kh, kw] becomes [out, kh, kw, in]; depthwise [channels, 1, kh, kw] becomes [1, kh, kw, channels].
    order = (1, 2, 3, 0) if depthwise else (0, 2, 3, 1)
    assert module.bias is not None
    out_resolution = -(-resolution // stride)
    layers.append(
        Layer(
            "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D",
            (before + len(layers) if layers else source,),
            name,
            name,
            (1, out_resolution, out_resolution, module.out_channels),
            _array(module.weight.permute(order)),
            _array(module.bias),
            stride=stride,
            padding=padding,
            activation=activation,
            dilation=module.dilation[0],
        )
    )
    return layers


def _pad(source: int, resolution: int, margin: int, channels: int, name: str) -> Layer:
    paddings = np.array([[0, 0], [margin, margin], [margin, margin], [0, 0]], np.int32)
    padded = resolution + 2 * margin
    return Layer("PAD", (source,), name, f"{name}.padded", (1, padded, padded, channels), integers=paddings)


def _classifier(op: OpSpec, linear: "nn.Linear", source: int, before: int, name: str, output: str) -> list[Layer]:
    layers: list[Layer] = []
    if op.resolution > 1:
        layers.append(_mean(source, op.in_channels, name))
    weight, bias = _array(linear.weight), _array(linear.bias)
    taken = before + len(layers) if layers else source
    return [*layers, Layer("FULLY_CONNECTED", (taken,), name, output, (1, op.out_channels), weight, bias)]


def _mean(source: int, channels: int, name: str) -> Layer:
    axes = np.array(HEIGHT_AND_WIDTH, np.int32)
    return Layer("MEAN", (source,), name, f"{name}.pooled", (1, 1, 1, channels), integers=axes)


def _array(tensor: "Tensor") -> NDArray[np.float32]:
    array: NDArray[np.float32] = np.ascontiguousarray(tensor.detach().numpy(), np.float32)
    return array
