"""Operators of tree cells (path-level search on a PyramidNet): what they do, and how much work and memory that is.

Cai et al., "Path-Level Network Transformation", ICML 2018; Han et al., "Deep Pyramidal Residual Networks", CVPR 2017;
the batch norms and ReLUs stand before the convolutions, as in both.
"""

from typing import TYPE_CHECKING, Literal, get_args

from pocketnas_base.errors import InputError

if TYPE_CHECKING:
    from latency.opspec import OpSpec

CellKind = Literal[
    "convbn", "reduce", "groupconv", "sepconv", "dilconv", "avgpool", "maxpool", "norm", "normrelu", "expand", "add"
]
"""convbn: convolution, batch norm. reduce: batch norm, 1x1 convolution, batch norm, ReLU. groupconv: convolution in
`GROUPS` groups. sepconv: batch norm, ReLU, depthwise kernel x kernel, 1x1 convolution; dilconv: the same, `DILATION` as
far apart. avgpool, maxpool: kernel x kernel, of the pixels inside the image. norm: batch norm; normrelu: with ReLU.
expand: batch norm, ReLU, 1x1 convolution, batch norm. add: the input, averaged stride x stride and with channels of
zeros behind its own, plus a second input of the output's shape (measured alone: plus itself)."""

CELL_KINDS = frozenset(get_args(CellKind))
GROUPS, DILATION = 2, 2

_KEEPS_CHANNELS = ("avgpool", "maxpool", "norm", "normrelu")
_POINTWISE = ("reduce", "expand", "norm", "normrelu", "add")
_STRIDED = ("convbn", "groupconv", "add")
_SIZED = ("convbn", "groupconv", "sepconv", "avgpool", "maxpool")


def check_cell_operator(op: "OpSpec") -> None:
    """Raise InputError for fields that do not go together in an operator of a cell."""
    if op.expansion != 1 or op.residual:
        raise InputError(f"{op.kind}: expansion must be 1 and residual false")
    if op.kind in _POINTWISE and op.kernel != 1:
        raise InputError(f"{op.kind}: kernel must be 1, not {op.kernel}")
    if op.kind not in _STRIDED and op.stride != 1:
        raise InputError(f"{op.kind}: stride must be 1, not {op.stride}")
    if op.kind in _KEEPS_CHANNELS and op.in_channels != op.out_channels:
        raise InputError(f"{op.kind}: as many channels out as in, not {op.in_channels} and {op.out_channels}")
    if op.kind == "groupconv" and (op.in_channels % GROUPS or op.out_channels % GROUPS):
        raise InputError(f"groupconv: channels must be divisible by {GROUPS}, not {op.in_channels}, {op.out_channels}")
    if op.kind == "add" and op.out_channels < op.in_channels:
        raise InputError(f"add: at least as many channels out as in, not {op.in_channels} and {op.out_channels}")
    if op.kind == "add" and op.resolution % op.stride:
        raise InputError(f"add: {op.resolution} px cannot be averaged {op.stride} x {op.stride}")


def cell_choice(op: "OpSpec") -> str:
    """What was chosen, apart from where: `sepconv_3x3`, `norm`."""
    return f"{op.kind}_{op.kernel}x{op.kernel}" if op.kind in (*_SIZED, "dilconv") else op.kind


def cell_macs(op: "OpSpec") -> int:
    """Multiply-accumulates at batch 1 of the convolutions; batch norm, pooling and sums are not counted."""
    channels, taps, out_pixels = op.in_channels * op.out_channels, op.kernel**2, op.out_resolution**2
    match op.kind:
        case "convbn":
            return taps * channels * out_pixels
        case "groupconv":
            return taps * channels // GROUPS * out_pixels
        case "reduce" | "expand":
            return channels * out_pixels
        case "sepconv" | "dilconv":
            return (taps * op.in_channels + channels) * out_pixels
        case _:
            return 0


def cell_parameters(op: "OpSpec") -> int:
    """Learnable parameters: convolutions without bias, two a channel of every batch norm."""
    channels, taps = op.in_channels * op.out_channels, op.kernel**2
    match op.kind:
        case "convbn":
            return taps * channels + 2 * op.out_channels
        case "groupconv":
            return taps * channels // GROUPS
        case "reduce" | "expand":
            return 2 * op.in_channels + channels + 2 * op.out_channels
        case "sepconv" | "dilconv":
            return 2 * op.in_channels + taps * op.in_channels + channels
        case "norm" | "normrelu":
            return 2 * op.in_channels
        case _:
            return 0
