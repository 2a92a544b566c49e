"""A .tflite file written straight from torch modules, in milliseconds, with the operators that onnx2tf would choose."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deploy.folding import folded
from deploy.tflite_schema import INPUT_NAME, OUTPUT_NAME, TfliteBuilder
from latency.opspec import OpSpec
from pocketnas_base.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

WRITER_VERSION = 1
"""Raise it whenever the bytes written for an operator change: caches of operator files are keyed by it."""

# Values of the schema's enums Padding and ActivationFunctionType.
SAME, VALID = 0, 1
LINEAR, RELU6 = 0, 3
HEIGHT_AND_WIDTH = (1, 2)


def write_tflite(ops: Sequence[OpSpec], modules: "Sequence[nn.Module]") -> bytes:
    """A float32 model (NHWC, batch 1) of a chain of operators, each computed as its module does in evaluation mode.

    modules: parallel to `ops`, as `search.operators.build_operator` makes them; batch norms are folded in float64.
    A lone `empty` becomes one ReLU6 on a 1x1x1x1 tensor. `zero` adds nothing.
    Raises InputError when nothing is left to compute.
    """
    from torch import nn

    chain = [(op, module) for op, module in zip(ops, modules, strict=True) if op.kind != "zero"]
    if not chain:
        raise InputError("a model of nothing but Zero computes nothing and cannot be written")
    first, last = chain[0][0], chain[-1][0]
    builder = TfliteBuilder("PocketNAS")
    source = builder.tensor(INPUT_NAME, [1, first.resolution, first.resolution, first.in_channels])
    current = source
    for index, (op, module) in enumerate(chain):
        name = f"op{index:02d}.{op.key}"
        output = OUTPUT_NAME if op is last and index == len(chain) - 1 else name
        match op.kind:
            case "empty":
                out = builder.tensor(output, [1, 1, 1, 1])
                builder.operator("RELU6", [current], out)
                current = out
            case "classifier":
                plain = folded(module)
                assert isinstance(plain.linear, nn.Linear)
                current = _classifier(builder, op, plain.linear, current, name, output)
            case _:
                plain = folded(module)
                assert isinstance(plain.body, nn.Sequential)
                current = _convolutions(builder, op, plain.body, current, name, output)
    return builder.finish(source, current)


def same_as_symmetric(resolution: int, kernel: int, stride: int) -> bool:
    """Whether TFLite's SAME pads as torch's padding kernel // 2 does, by the same amount on both sides.

    SAME pads max((ceil(r / s) - 1) * s + k - r, 0) in all, the smaller half first (tensorflow/lite/kernels/padding.h).
    """
    total = max((-(-resolution // stride) - 1) * stride + kernel - resolution, 0)
    return total == 2 * (kernel // 2)


def _convolutions(
    builder: TfliteBuilder, op: OpSpec, body: "nn.Sequential", source: int, name: str, output: str
) -> int:
    from torch import nn

    layers = list(body)
    places = [index for index, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    current, resolution = source, op.resolution
    for count, index in enumerate(places, start=1):
        layer = layers[index]
        assert isinstance(layer, nn.Conv2d)
        activated = index + 1 < len(layers) and isinstance(layers[index + 1], nn.ReLU6)
        ends_here = count == len(places) and not op.residual
        current = _convolution(
            builder,
            layer,
            activated,
            current,
            resolution,
            f"{name}.{count}",
            output if ends_here else f"{name}.{count}",
        )
        resolution = -(-resolution // layer.stride[0])
    if op.residual:
        total = builder.tensor(output, [1, resolution, resolution, op.out_channels])
        builder.operator("ADD", [source, current], total, "AddOptions", fusedActivationFunction=LINEAR)
        current = total
    return current


def _convolution(
    builder: TfliteBuilder,
    layer: "nn.Conv2d",
    activated: bool,
    source: int,
    resolution: int,
    name: str,
    output: str,
) -> int:
    kernel, stride = layer.kernel_size[0], layer.stride[0]
    depthwise = layer.groups > 1
    if stride == 1 or (kernel > 1 and same_as_symmetric(resolution, kernel, stride)):
        padding = SAME
    else:
        padding = VALID
        if kernel > 1:
            source = _pad(builder, source, resolution, kernel // 2, layer.in_channels, name)
    # [out, in, kh, kw] becomes [out, kh, kw, in]; depthwise [channels, 1, kh, kw] becomes [1, kh, kw, channels].
    order = (1, 2, 3, 0) if depthwise else (0, 2, 3, 1)
    weight = builder.constant(f"{name}.weight", _array(layer.weight.permute(order)))
    assert layer.bias is not None
    bias = builder.constant(f"{name}.bias", _array(layer.bias))
    out_resolution = -(-resolution // stride)
    out = builder.tensor(output, [1, out_resolution, out_resolution, layer.out_channels])
    fields: dict[str, object] = {
        "padding": padding,
        "strideW": stride,
        "strideH": stride,
        "dilationWFactor": 1,
        "dilationHFactor": 1,
        "fusedActivationFunction": RELU6 if activated else LINEAR,
    }
    if depthwise:
        builder.operator(
            "DEPTHWISE_CONV_2D", [source, weight, bias], out, "DepthwiseConv2DOptions", depthMultiplier=1, **fields
        )
    else:
        builder.operator("CONV_2D", [source, weight, bias], out, "Conv2DOptions", **fields)
    return out


def _pad(builder: TfliteBuilder, source: int, resolution: int, margin: int, channels: int, name: str) -> int:
    paddings = np.array([[0, 0], [margin, margin], [margin, margin], [0, 0]], np.int32)
    padded = resolution + 2 * margin
    out = builder.tensor(f"{name}.padded", [1, padded, padded, channels])
    builder.operator("PAD", [source, builder.constant(f"{name}.paddings", paddings)], out, "PadOptions")
    return out


def _classifier(builder: TfliteBuilder, op: OpSpec, linear: "nn.Linear", source: int, name: str, output: str) -> int:
    if op.resolution > 1:
        axes = builder.constant(f"{name}.axes", np.array(HEIGHT_AND_WIDTH, np.int32))
        pooled = builder.tensor(f"{name}.pooled", [1, 1, 1, op.in_channels])
        builder.operator("MEAN", [source, axes], pooled, "ReducerOptions", keepDims=True)
        source = pooled
    weight = builder.constant(f"{name}.weight", _array(linear.weight))
    bias = builder.constant(f"{name}.bias", _array(linear.bias))
    out = builder.tensor(output, [1, op.out_channels])
    builder.operator(
        "FULLY_CONNECTED",
        [source, weight, bias],
        out,
        "FullyConnectedOptions",
        fusedActivationFunction=LINEAR,
        keepNumDims=False,
    )
    return out


def _array(tensor: "Tensor") -> NDArray[np.float32]:
    array: NDArray[np.float32] = np.ascontiguousarray(tensor.detach().numpy(), np.float32)
    return array
