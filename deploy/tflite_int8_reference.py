"""What a full-integer model answers, computed apart from any runtime: exact sums, then one rounding a layer."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deploy.tflite_compute import compute
from deploy.tflite_int8 import HIGHEST, LOWEST, IntegerGraph, IntegerWeights
from deploy.tflite_layers import RELU, RELU6, Layer
from deploy.tflite_schema import Quantisation

if TYPE_CHECKING:
    from torch import Tensor


def integer_output(model: IntegerGraph, image: NDArray[np.int8]) -> NDArray[np.int8]:
    """What a model of one output answers; see `integer_outputs`."""
    (only,) = integer_outputs(model, image)
    return only


def integer_outputs(model: IntegerGraph, image: NDArray[np.int8]) -> list[NDArray[np.int8]]:
    """The model's outputs for one input [1, H, W, C].

    Sums and products are exact (float64 holds every one of them). A sum is brought to the output's scale in float32 and
    rounded to the nearest integer, halves to even, as XNNPACK does it (its `fp32` requantisation). Other kernels, and
    XNNPACK's own addition and mean, may round a number that lies between two integers to the other one; LiteRT computes
    hard swish with 16 bits.
    """
    import torch

    first = torch.from_numpy(image.astype(np.float64)).permute(0, 3, 1, 2)
    # Kept as integer - zero_point: what padding adds is then 0.
    values = [first - model.values[0].zero_point]
    with torch.no_grad():
        for layer, made, weights in zip(model.graph.layers, model.values[1:], model.weights, strict=True):
            inputs = [values[index] for index in layer.inputs]
            scales = [model.values[index].scale for index in layer.inputs]
            values.append(_layer(layer, inputs, scales, made, weights))
    return [_stored(values[index], model.values[index]) for index in model.graph.outputs]


def _stored(value: "Tensor", quantisation: Quantisation) -> NDArray[np.int8]:
    """A value as it lies in memory."""
    steps = value + quantisation.zero_point
    in_order = steps.permute(0, 2, 3, 1) if steps.ndim == 4 else steps
    output: NDArray[np.int8] = in_order.contiguous().numpy().astype(np.int8)
    return output


def _layer(
    layer: Layer, inputs: "list[Tensor]", scales: list[float], made: Quantisation, weights: IntegerWeights | None
) -> "Tensor":
    import torch

    match layer.kind:
        case "PAD":
            return compute(layer, inputs, None)
        case "MAX_POOL_2D":
            steps = inputs[0]
        case "ADD":
            steps = (inputs[0] * scales[0] + inputs[1] * scales[1]) / made.scale
        case "MUL":
            steps = compute(layer, inputs, None) * (scales[0] * scales[1] / made.scale)
        case "HARD_SWISH" | "LOGISTIC":
            steps = compute(layer, [inputs[0] * scales[0]], None) / made.scale
        case "MEAN":
            steps = compute(layer, inputs, None) * (scales[0] / made.scale)
        case _:
            assert weights is not None
            total = compute(layer, inputs, (weights.weight, weights.bias)).to(torch.float32)
            kernel = np.array(weights.weight_quantisation.scales, np.float32)
            factors = torch.from_numpy(np.float32(scales[0]) * kernel / np.float32(made.scale))
            steps = total * (factors.view(1, -1, 1, 1) if total.ndim == 4 else factors)
    low, high = LOWEST - made.zero_point, HIGHEST - made.zero_point
    if layer.activation in (RELU, RELU6):
        low = max(low, 0)
    if layer.activation == RELU6:
        high = min(high, round(6 / made.scale))
    return torch.round(steps.to(torch.float64)).clamp(low, high)
