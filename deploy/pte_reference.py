"""What an int8 program answers, computed apart from any runtime: exact sums, then one rounding a layer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deploy.folding import folded
from deploy.pte_graph import Quantisation
from deploy.pte_parts import RELU6, Part, gate_parts, links, parts, pooled_in_float
from deploy.pte_quantisation import HIGHEST, LOWEST, Quantised, integer_weights, to_floats, to_integers
from latency.opspec import OpSpec

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class _Value:
    """int8 numbers, and what they stand for. plain: the float64 numbers that an activation just made them of."""

    integers: "Tensor"
    quantisation: Quantisation
    plain: "Tensor | None" = None

    @property
    def floats(self) -> "Tensor":
        return to_floats(self.integers, self.quantisation)


def integer_output(
    ops: Sequence[OpSpec], modules: "Sequence[nn.Module]", numbers: Quantised, integers: "Tensor"
) -> "Tensor":
    """The int8 output of a quantised chain for an int8 input [1, C, H, W].

    Kernels may round a number that lies between two integers to the other one.
    """
    import torch

    activations = iter(numbers.activations)
    current = _Value(integers, next(activations))
    with torch.no_grad():
        for op, module, following in links(ops, modules):
            match op.kind:
                case "empty":
                    current = _Value(_relu6(current.integers, current.quantisation), current.quantisation)
                case "classifier":
                    current = _classifier(folded(module), current, activations)
                case _:
                    current = _block(folded(module), op, following, current, activations)
    return current.integers


def _block(
    plain: "nn.Module", op: OpSpec, following: OpSpec | None, source: _Value, activations: Iterator[Quantisation]
) -> _Value:
    from torch import nn

    body = plain.body
    assert isinstance(body, nn.Sequential)
    current = source
    chain = parts(body)
    for part in chain[:-1]:
        current = _part(part, current, activations)
    if pooled_in_float(op, following):
        return replace(current, plain=chain[-1].layer(current.floats))
    current = _part(chain[-1], current, activations)
    return _made(source.floats + current.floats, next(activations)) if op.residual else current


def _part(part: Part, source: _Value, activations: Iterator[Quantisation]) -> _Value:
    from torch import nn

    from search.operators import SqueezeExcite

    if isinstance(part.layer, SqueezeExcite):
        gates = _means(source, activations)
        for each in gate_parts(part.layer):
            gates = _part(each, gates, activations)
        return _made(source.floats * gates.floats, next(activations))
    if isinstance(part.layer, nn.Conv2d):
        # A ReLU's zero is the least number of its range, so that clipping to the range is the ReLU.
        made = _made(_layer(part.layer, source), next(activations))
        return replace(made, integers=_relu6(made.integers, made.quantisation)) if part.limits == RELU6 else made
    plain = part.layer(source.floats)
    return replace(_made(plain, next(activations)), plain=plain)


def _means(source: _Value, activations: Iterator[Quantisation]) -> _Value:
    """The mean of every channel, [1, C, 1, 1].

    Of integers it keeps the scale, so that of 4 or 16 pixels it often lies half-way between two integers: XNNPACK
    rounds it to the even one, after the zero point was added.
    """
    if source.plain is not None:
        return _made(source.plain.mean((2, 3), keepdim=True), next(activations))
    pooled = source.integers.double().mean((2, 3), keepdim=True).round().to(source.integers.dtype)
    return _Value(pooled, source.quantisation)


def _classifier(plain: "nn.Module", source: _Value, activations: Iterator[Quantisation]) -> _Value:
    from torch import nn

    linear = plain.linear
    assert isinstance(linear, nn.Linear)
    pooled = _means(source, activations)
    return _made(_layer(linear, replace(pooled, integers=pooled.integers.flatten(1))), next(activations))


def _made(floats: "Tensor", quantisation: Quantisation) -> _Value:
    return _Value(to_integers(floats, quantisation), quantisation)


def _layer(layer: "nn.Conv2d | nn.Linear", source: _Value) -> "Tensor":
    """The layer's output in float64, of its integer weights."""
    import copy

    import torch

    constants = integer_weights(layer, source.quantisation.scale)
    exact = copy.deepcopy(layer).double()
    shape = (-1, *[1] * (layer.weight.ndim - 1))
    weight, scales = torch.from_numpy(constants.weight).double(), torch.from_numpy(constants.weight_scales).double()
    bias, steps = torch.from_numpy(constants.bias).double(), torch.from_numpy(constants.bias_scales).double()
    assert exact.bias is not None
    exact.weight.data, exact.bias.data = weight * scales.view(shape), bias * steps
    result: torch.Tensor = exact(source.floats)
    return result


def _relu6(integers: "Tensor", quantisation: Quantisation) -> "Tensor":
    low, high = quantisation.zero_point, quantisation.zero_point + round(6.0 / quantisation.scale)
    return integers.clamp(max(LOWEST, low), min(HIGHEST, high))
