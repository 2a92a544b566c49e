"""Operators of tree cells as torch modules (`latency.cells.CellKind`)."""

from torch import Tensor, nn
from torch.nn import functional

from latency.cells import DILATION, GROUPS
from latency.opspec import OpSpec

BATCH_NORM_EPS = 1e-5
"""As in the published net's definition; its ImageNet siblings have 1e-3."""


class Layers(nn.Module):
    """Layers in a row: [N, in, r, r] to [N, out, r/s, r/s]."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return out


class Pool(nn.Module):
    """The mean or the maximum of kernel x kernel pixels around each, of those inside the image."""

    def __init__(self, op: OpSpec) -> None:
        super().__init__()
        margin = op.kernel // 2
        self.pool: nn.Module = (
            nn.AvgPool2d(op.kernel, 1, margin, count_include_pad=False)
            if op.kind == "avgpool"
            else nn.MaxPool2d(op.kernel, 1, margin)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pool(x)
        return out


class Add(nn.Module):
    """x [N, in, r, r], averaged s x s and with channels of zeros behind its own, plus other [N, out, r/s, r/s].

    PyramidNet's shortcut (Han et al., CVPR 2017, section 3.2); with stride 1 and equal channels a plain sum. other:
    left out, what x has become is added to itself: that is the operator measured alone.
    """

    def __init__(self, op: OpSpec) -> None:
        super().__init__()
        self.stride, self.more = op.stride, op.out_channels - op.in_channels

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        if self.stride > 1:
            x = functional.avg_pool2d(x, self.stride)
        if self.more:
            x = functional.pad(x, (0, 0, 0, 0, 0, self.more))
        return x + (x if other is None else other)


def build_cell_operator(op: OpSpec) -> nn.Module:
    """The module of an operator with `op.in_cell`, its weights as torch makes them."""
    i, o = op.in_channels, op.out_channels
    match op.kind:
        case "convbn":
            return Layers(_convolution(op, 1), _norm(o))
        case "reduce":
            return Layers(_norm(i), _convolution(op, 1), _norm(o), nn.ReLU(inplace=True))
        case "expand":
            return Layers(_norm(i), nn.ReLU(inplace=True), _convolution(op, 1), _norm(o))
        case "groupconv":
            return Layers(_convolution(op, GROUPS))
        case "sepconv" | "dilconv":
            gap = DILATION if op.kind == "dilconv" else 1
            depthwise = nn.Conv2d(i, i, op.kernel, 1, op.kernel // 2 * gap, gap, groups=i, bias=False)
            return Layers(_norm(i), nn.ReLU(inplace=True), depthwise, nn.Conv2d(i, o, 1, bias=False))
        case "norm":
            return Layers(_norm(i))
        case "normrelu":
            return Layers(_norm(i), nn.ReLU(inplace=True))
        case "add":
            return Add(op)
        case _:
            return Pool(op)


def _convolution(op: OpSpec, groups: int) -> nn.Conv2d:
    return nn.Conv2d(op.in_channels, op.out_channels, op.kernel, op.stride, op.kernel // 2, groups=groups, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPS)
