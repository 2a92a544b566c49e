"""What the layers of a .tflite graph compute, by torch: for ranges of values, and for outputs to compare with."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deploy.tflite_layers import RELU, RELU6, SAME, Graph, Layer
from pocketnas_base.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

Constants = tuple[NDArray[np.float32], NDArray[np.float32]] | tuple[NDArray[np.int8], NDArray[np.int32]]
"""Weight and bias, laid out as the layer's own."""


def value_ranges(graph: Graph, images: NDArray[np.float32]) -> Iterator[tuple[float, float]]:
    """The smallest and the largest number in the graph's input, then in each layer's output. images: [N, H, W, C]."""
    import torch
    from torch.nn import functional

    last_use = {index: number for number, layer in enumerate(graph.layers, start=1) for index in layer.inputs}
    value = torch.from_numpy(images).permute(0, 3, 1, 2)
    kept = {0: value}
    yield float(value.min()), float(value.max())
    for number, layer in enumerate(graph.layers, start=1):
        with torch.no_grad():
            constants = None if layer.weight is None or layer.bias is None else (layer.weight, layer.bias)
            value = compute(layer, [kept[index] for index in layer.inputs], constants)
            if layer.activation == RELU6:
                value = functional.relu6(value)
            elif layer.activation == RELU:
                value = functional.relu(value)
        kept[number] = value
        for index in [each for each in layer.inputs if last_use[each] == number]:
            del kept[index]
        yield float(value.min()), float(value.max())


def compute(layer: Layer, inputs: "list[Tensor]", constants: Constants | None) -> "Tensor":
    """A layer's output [N, C, H, W] or [N, classes] before its activation, in the inputs' own floating point."""
    from torch.nn import functional

    value = inputs[0]
    match layer.kind:
        case "PAD":
            assert layer.integers is not None
            margin = int(layer.integers[1, 0])
            return functional.pad(value, (margin, margin, margin, margin))
        case "CONV_2D" | "DEPTHWISE_CONV_2D":
            weight, bias = _tensors(constants, value)
            depthwise = layer.kind == "DEPTHWISE_CONV_2D"
            # [out, kh, kw, in] becomes [out, in, kh, kw]; depthwise [1, kh, kw, channels] [channels, 1, kh, kw].
            weight = weight.permute((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
            margin = weight.shape[2] // 2 if layer.padding == SAME else 0
            groups = value.shape[1] if depthwise else 1
            return functional.conv2d(value, weight, bias, layer.stride, margin, groups=groups)
        case "ADD":
            return value + inputs[1]
        case "MUL":
            return value * inputs[1]
        case "HARD_SWISH":
            return functional.hardswish(value)
        case "LOGISTIC":
            return value.sigmoid()
        case "MEAN":
            return value.mean((2, 3), keepdim=True)
        case "FULLY_CONNECTED":
            return functional.linear(value.flatten(1), *_tensors(constants, value))
        case "RELU6":
            return functional.relu6(value)
        case "MAX_POOL_2D" if layer.size == 1:
            return value
        case _:
            raise InputError(f"{layer.name}: a {layer.kind} is written in float32 alone")


def _tensors(constants: Constants | None, like: "Tensor") -> "tuple[Tensor, Tensor]":
    import torch

    assert constants is not None
    weight, bias = (torch.from_numpy(array).to(like.dtype) for array in constants)
    return weight, bias
