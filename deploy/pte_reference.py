"""What an int8 program answers, computed apart from any runtime: exact sums, then one rounding a layer."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from deploy.folding import folded
from deploy.pte_graph import Quantisation
from deploy.pte_quantisation import HIGHEST, LOWEST, Quantised, integer_weights, to_floats, to_integers
from latency.opspec import OpSpec

if TYPE_CHECKING:
    from torch import Tensor, nn


def integer_output(
    ops: Sequence[OpSpec], modules: "Sequence[nn.Module]", numbers: Quantised, integers: "Tensor"
) -> "Tensor":
    """The int8 output of a quantised chain for an int8 input [1, C, H, W].

    Kernels may round a number that lies between two integers to the other one.
    """
    import torch

    activations = iter(numbers.activations)
    current, quantisation = integers, next(activations)
    with torch.no_grad():
        for op, module in zip(ops, modules, strict=True):
            match op.kind:
                case "zero":
                    pass
                case "empty":
                    current = _relu6(current, quantisation)
                case "classifier":
                    current, quantisation = _classifier(folded(module), current, quantisation, next(activations))
                case _:
                    current, quantisation = _block(folded(module), op, current, quantisation, activations)
    return current


def _block(
    plain: "nn.Module", op: OpSpec, source: "Tensor", given: Quantisation, activations: Iterator[Quantisation]
) -> "tuple[Tensor, Quantisation]":
    from torch import nn

    body = plain.body
    assert isinstance(body, nn.Sequential)
    current, quantisation = source, given
    for layer in body:
        if isinstance(layer, nn.Conv2d):
            made = next(activations)
            current, quantisation = to_integers(_layer(layer, current, quantisation), made), made
        else:
            current = _relu6(current, quantisation)
    if op.residual:
        total = to_floats(source, given) + to_floats(current, quantisation)
        quantisation = next(activations)
        current = to_integers(total, quantisation)
    return current, quantisation


def _classifier(
    plain: "nn.Module", source: "Tensor", given: Quantisation, made: Quantisation
) -> "tuple[Tensor, Quantisation]":
    from torch import nn

    linear = plain.linear
    assert isinstance(linear, nn.Linear)
    # The mean keeps its input's scale, so that of 4 or 16 pixels it often lies half-way between two integers: XNNPACK
    # rounds it to the even one, after the zero point was added.
    pooled = source.double().mean((2, 3)).round().to(source.dtype)
    return to_integers(_layer(linear, pooled, given), made), made


def _layer(layer: "nn.Conv2d | nn.Linear", source: "Tensor", given: Quantisation) -> "Tensor":
    """The layer's output in float64, of its integer weights."""
    import copy

    import torch

    constants = integer_weights(layer, given.scale)
    exact = copy.deepcopy(layer).double()
    shape = (-1, *[1] * (layer.weight.ndim - 1))
    weight, scales = torch.from_numpy(constants.weight).double(), torch.from_numpy(constants.weight_scales).double()
    bias, steps = torch.from_numpy(constants.bias).double(), torch.from_numpy(constants.bias_scales).double()
    assert exact.bias is not None
    exact.weight.data, exact.bias.data = weight * scales.view(shape), bias * steps
    result: torch.Tensor = exact(to_floats(source, given))
    return result


def _relu6(integers: "Tensor", quantisation: Quantisation) -> "Tensor":
    low, high = quantisation.zero_point, quantisation.zero_point + round(6.0 / quantisation.scale)
    return integers.clamp(max(LOWEST, low), min(HIGHEST, high))
