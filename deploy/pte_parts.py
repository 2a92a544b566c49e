"""A block's layers as XNNPACK takes them: each convolution with the clamp behind it, every other activation alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from deploy.pte_graph import Limits
from latency.opspec import OpSpec

if TYPE_CHECKING:
    from torch import nn

    from search.operators import SqueezeExcite

RELU: Limits = (0.0, "+inf")
RELU6: Limits = (0.0, 6.0)
IN_FLOAT = ("hswish", "swish")
"""Activations that XNNPACK, as ExecuTorch drives it, has in float32 alone, in int8 networks too."""


@dataclass(frozen=True, slots=True)
class Part:
    """layer: a convolution, a `SqueezeExcite`, or an activation that is no clamp. limits: a convolution's clamp."""

    layer: "nn.Module"
    limits: Limits | None


def parts(layers: "Iterable[nn.Module]") -> list[Part]:
    """The layers of a folded block's body, in order."""
    from torch import nn

    found: list[Part] = []
    for layer in layers:
        if isinstance(layer, nn.ReLU6 | nn.ReLU):
            found[-1] = Part(found[-1].layer, RELU6 if isinstance(layer, nn.ReLU6) else RELU)
        else:
            found.append(Part(layer, None))
    return found


def links(ops: Sequence[OpSpec], modules: "Sequence[nn.Module]") -> "list[tuple[OpSpec, nn.Module, OpSpec | None]]":
    """Every operator but Zero, its module, and the operator that takes its output."""
    chain = [(op, module) for op, module in zip(ops, modules, strict=True) if op.kind != "zero"]
    return [(op, module, after) for (op, module), after in zip_longest(chain, (op for op, _ in chain[1:]))]


def pooled_in_float(op: OpSpec, following: OpSpec | None) -> bool:
    """Whether what an operator of an int8 network makes goes into the classifier's pooling before it is quantised."""
    return op.kind == "conv" and op.activation in IN_FLOAT and following is not None and following.kind == "classifier"


def gate_parts(module: "SqueezeExcite") -> list[Part]:
    """What lies between the means of the channels and the factors that they are multiplied by, folded."""
    return parts([module.reduce, module.activation, module.expand, module.gate])
