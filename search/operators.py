"""Operators as torch modules, one per OpSpec kind."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from latency.opspec import OpSpec
from pocketnas_base.errors import InputError
from search.cell_operators import build_cell_operator

BATCH_NORM_EPS = 1e-3
BATCH_NORM_MOMENTUM = 0.1


def _convolution(in_channels: int, out_channels: int, kernel: int, stride: int, groups: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM),
    ]


class ConvBlock(nn.Module):
    """Convolution, batch norm, ReLU6: [N, in, r, r] to [N, out, r/s, r/s]."""

    def __init__(self, op: OpSpec) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(op.in_channels, op.out_channels, op.kernel, op.stride), nn.ReLU6(inplace=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return out


class MBConv(nn.Module):
    """Inverted residual block (MobileNetV2, Sandler et al. 2018): expand 1x1, depthwise k x k, linear 1x1."""

    def __init__(self, op: OpSpec) -> None:
        super().__init__()
        mid = op.mid_channels
        layers: list[nn.Module] = []
        if op.expansion > 1:
            layers += [*_convolution(op.in_channels, mid, 1, 1), nn.ReLU6(inplace=True)]
        layers += [*_convolution(mid, mid, op.kernel, op.stride, groups=mid), nn.ReLU6(inplace=True)]
        layers += _convolution(mid, op.out_channels, 1, 1)
        self.body = nn.Sequential(*layers)
        self.residual = op.residual

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return x + out if self.residual else out


class Classifier(nn.Module):
    """Global average pool, dropout, linear layer: [N, in, r, r] to logits [N, classes]."""

    def __init__(self, op: OpSpec, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(op.in_channels, op.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(self.dropout(functional.adaptive_avg_pool2d(x, 1).flatten(1)))
        return out


class Zero(nn.Module):
    """The block left out: what goes in comes out."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def build_operator(op: OpSpec, *, dropout: float = 0.0) -> nn.Module:
    """The untrained module of `op`, freshly initialised from torch's global generator.

    Raises InputError for a kind that is no module (`empty`).
    """
    match op.kind:
        case "conv":
            module: nn.Module = ConvBlock(op)
        case "mbconv":
            module = MBConv(op)
        case "classifier":
            module = Classifier(op, dropout)
        case "zero":
            module = Zero()
        case _ if op.in_cell:
            module = build_cell_operator(op)
        case _:
            raise InputError(f"{op.key} is not a module")
    initialise(module)
    return module


def initialise(module: nn.Module) -> None:
    """He initialisation by fan-out, N(0, sqrt(2 / (k*k*out))), not divided by groups; linear U(+-1/sqrt(in)).

    As in ProxylessNAS's released code (`init_model`, `he_fout`).
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels
            nn.init.normal_(layer.weight, 0.0, math.sqrt(2.0 / fan_out))
        elif isinstance(layer, nn.Linear):
            bound = 1.0 / math.sqrt(layer.in_features)
            with torch.no_grad():
                layer.weight.uniform_(-bound, bound)
                if layer.bias is not None:
                    layer.bias.zero_()
