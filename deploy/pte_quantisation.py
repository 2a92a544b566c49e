"""Static int8 as ExecuTorch's XNNPACKQuantizer has it: activations by tensor, weights by output channel, symmetric."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deploy.folding import folded
from deploy.pte_graph import Quantisation
from deploy.pte_parts import IN_FLOAT, RELU, RELU6, Part, gate_parts, links, parts, pooled_in_float
from latency.opspec import OpSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

# XNNPACKQuantizer's get_symmetric_quantization_config.
LOWEST, HIGHEST, MOST_WEIGHT = -128, 127, 127
_LEAST_SCALE = 2.0**-12


@dataclass(frozen=True, slots=True)
class Quantised:
    """How a chain is quantised.

    activations: of its input, then every convolution's, sum's, product's and linear layer's output and that of every
      activation that is no clamp, in order of execution.
    integer_surface: whether the program takes and gives int8, else float32, converted at its two ends.
    """

    activations: tuple[Quantisation, ...]
    integer_surface: bool


@dataclass(frozen=True, slots=True)
class IntegerWeights:
    """A layer's constants, and by output channel what one step of each stands for.

    weight: int8 in the layer's own order. bias: int32, in steps of input scale times weight scale.
    """

    weight: NDArray[np.int8]
    weight_scales: NDArray[np.float32]
    bias: NDArray[np.int32]
    bias_scales: NDArray[np.float32]


def quantised(
    ops: Sequence[OpSpec], modules: "Sequence[nn.Module]", images: "Tensor", *, integer_surface: bool
) -> Quantised:
    """Quantise a chain by what its values are on `images` [N, C, H, W].

    A convolution's output is seen before its ReLU6, which keeps it, and behind its ReLU. A pooled image keeps its
    input's range, unless that comes from an activation in float32: then it has its own.
    """
    import torch
    from torch.nn import functional

    found = [_activation(images)]
    current, in_float = images, False
    with torch.no_grad():
        for op, module, following in links(ops, modules):
            match op.kind:
                case "empty":
                    current = module(current)
                case "classifier":
                    if in_float:
                        found.append(_activation(functional.adaptive_avg_pool2d(current, 1)))
                    current = folded(module)(current)
                    found.append(_activation(current))
                case _:
                    current = _block(folded(module), op, current, found)
            if in_float := pooled_in_float(op, following):
                found.pop()
    return Quantised(tuple(found), integer_surface)


def integer_weights(layer: "nn.Conv2d | nn.Linear", input_scale: float) -> IntegerWeights:
    """A layer's weight and bias in integers, for an input of one scale."""
    import torch

    assert layer.bias is not None
    with torch.no_grad():
        weight, bias = layer.weight.detach(), layer.bias.detach()
        scales = (weight.abs().flatten(1).amax(1) / MOST_WEIGHT).clamp_min(_LEAST_SCALE)
        shape = (-1, *[1] * (weight.ndim - 1))
        steps = torch.round(weight * (1.0 / scales).view(shape)).clamp(-MOST_WEIGHT, MOST_WEIGHT)
        bias_scales = scales * input_scale
        bias_steps = torch.round(bias * (1.0 / bias_scales)).clamp(-(2.0**31), 2.0**31 - 1)
    return IntegerWeights(
        steps.to(torch.int8).numpy(), scales.numpy(), bias_steps.to(torch.int32).numpy(), bias_scales.numpy()
    )


def to_integers(values: "Tensor", quantisation: Quantisation) -> "Tensor":
    """The nearest int8 numbers, those out of range clipped."""
    import torch

    steps = torch.round(values.double() / quantisation.scale) + quantisation.zero_point
    return steps.clamp(LOWEST, HIGHEST).to(torch.int8)


def to_floats(integers: "Tensor", quantisation: Quantisation) -> "Tensor":
    """What int8 numbers stand for, in float64."""
    return (integers.double() - quantisation.zero_point) * quantisation.scale


def _block(plain: "nn.Module", op: OpSpec, source: "Tensor", found: list[Quantisation]) -> "Tensor":
    from torch import nn

    body = plain.body
    assert isinstance(body, nn.Sequential)
    current = source
    for part in parts(body):
        current = _part(part, current, found, op.activation in IN_FLOAT)
    if op.residual:
        current = source + current
        found.append(_activation(current))
    return current


def _part(part: Part, current: "Tensor", found: list[Quantisation], in_float: bool) -> "Tensor":
    """in_float: whether what a gate takes comes from an activation in float32, whose mean is then taken."""
    from torch.nn import functional

    from search.operators import SqueezeExcite

    if isinstance(part.layer, SqueezeExcite):
        gates = functional.adaptive_avg_pool2d(current, 1)
        if in_float:
            found.append(_activation(gates))
        for each in gate_parts(part.layer):
            gates = _part(each, gates, found, in_float)
        current = current * gates
    else:
        current = part.layer(current)
    if part.limits == RELU:
        current = functional.relu(current)
    found.append(_activation(current))
    return functional.relu6(current) if part.limits == RELU6 else current


def _activation(seen: "Tensor") -> Quantisation:
    """int8 over what was seen, widened so that 0 is in it (MinMaxObserver, per tensor, affine)."""
    low, high = (np.float32(limit) for limit in (min(float(seen.min()), 0.0), max(float(seen.max()), 0.0)))
    scale = max((high - low) / np.float32(HIGHEST - LOWEST), np.float32(_LEAST_SCALE))
    zero_point = int(np.clip(LOWEST - np.rint(low / scale), LOWEST, HIGHEST))
    return Quantisation(float(scale), zero_point)
