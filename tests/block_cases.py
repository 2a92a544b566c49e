"""Operators of every activation, with squeeze-and-excitation and without, and a network of all of them."""

from pte_cases import classifier

from latency.opspec import ACTIVATIONS, OpSpec
from search.architecture import Architecture


def block(
    channels: tuple[int, int],
    kernel: int,
    expansion: int,
    stride: int,
    resolution: int,
    activation: str,
    share: float = 0.0,
) -> OpSpec:
    residual = stride == 1 and channels[0] == channels[1]
    return OpSpec("mbconv", *channels, kernel, expansion, stride, resolution, residual, activation, share)


def conv(channels: tuple[int, int], kernel: int, stride: int, resolution: int, activation: str) -> OpSpec:
    return OpSpec("conv", *channels, kernel, 1, stride, resolution, activation=activation)


def _of(activation: str) -> list[OpSpec]:
    return [
        conv((3, 8), 3, 2, 9, activation),
        conv((8, 12), 1, 1, 7, activation),
        block((8, 12), 3, 1, 1, 7, activation),
        block((8, 12), 5, 3, 2, 14, activation),
        block((8, 8), 3, 6, 1, 7, activation),
        block((8, 12), 3, 1, 1, 7, activation, 0.5),
        block((8, 12), 5, 3, 2, 14, activation, 0.25),
        block((8, 8), 3, 6, 1, 7, activation, 0.25),
        block((8, 12), 3, 3, 2, 2, activation, 0.25),
    ]


BLOCKS = tuple(
    op for activation in ACTIVATIONS for op in _of(activation) if op.activation != "relu6" or op.squeeze_excite
)
"""None of them is one that spaces had before they knew activations and squeeze-and-excitation."""

MIXED = Architecture(
    "mixed",
    (
        conv((3, 8), 3, 2, 9, "hswish"),
        block((8, 8), 3, 1, 1, 5, "relu", 0.25),
        block((8, 8), 5, 3, 1, 5, "swish", 0.25),
        block((8, 12), 3, 3, 2, 5, "hswish", 0.25),
        block((12, 12), 3, 2, 1, 3, "relu6", 0.5),
        block((12, 16), 3, 2, 1, 3, "hswish"),
        conv((16, 16), 1, 1, 3, "relu"),
        conv((16, 24), 1, 1, 3, "swish"),
        classifier((24, 5), 3),
    ),
)
