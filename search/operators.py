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


def activation_module(name: str) -> nn.Module:
    """The module of an OpSpec's activation."""
    match name:
        case "relu6":
            return nn.ReLU6(inplace=True)
        case "relu":
            return nn.ReLU(inplace=True)
        case "hswish":
            return nn.Hardswish(inplace=True)
        case "swish":
            return nn.SiLU(inplace=True)
        case _:
            raise InputError(f"there is no module of the activation {name!r}")


class ConvBlock(nn.Module):
    """Convolution, batch norm, activation: [N, in, r, r] to [N, out, r/s, r/s]."""

    def __init__(self, op: OpSpec) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(op.in_channels, op.out_channels, op.kernel, op.stride), activation_module(op.activation)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return out


class HardSigmoid(nn.Module):
    """ReLU6(x + 3) / 6; export folds all but the ReLU6 into the convolutions around it (`deploy.folding`)."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu6(x + 3.0) * (1.0 / 6.0)


class SqueezeExcite(nn.Module):
    """Every channel weighed by what all channels' means say (Hu et al., arXiv 1709.01507): [N, C, r, r] to the same.

    With swish as in EfficientNet: swish inside, a sigmoid as the gate. Else as in MobileNetV3: ReLU inside, and a hard
    sigmoid.
    """

    def __init__(self, op: OpSpec) -> None:
        super().__init__()
        swish = op.activation == "swish"
        self.reduce = nn.Conv2d(op.mid_channels, op.squeeze_channels, 1)
        self.activation = activation_module("swish" if swish else "relu")
        self.expand = nn.Conv2d(op.squeeze_channels, op.mid_channels, 1)
        self.gate: nn.Module = nn.Sigmoid() if swish else HardSigmoid()

    def forward(self, x: Tensor) -> Tensor:
        means = functional.adaptive_avg_pool2d(x, 1)
        gates: Tensor = self.gate(self.expand(self.activation(self.reduce(means))))
        return x * gates


class MBConv(nn.Module):
    """Inverted residual block (MobileNetV2, Sandler et al. 2018): expand 1x1, depthwise k x k, linear 1x1.

    Squeeze-and-excitation, where there is one, stands before the linear 1x1, as in MobileNetV3 and EfficientNet.
    """

    def __init__(self, op: OpSpec) -> None:
        super().__init__()
        mid = op.mid_channels
        layers: list[nn.Module] = []
        if op.expansion > 1:
            layers += [*_convolution(op.in_channels, mid, 1, 1), activation_module(op.activation)]
        layers += [*_convolution(mid, mid, op.kernel, op.stride, groups=mid), activation_module(op.activation)]
        if op.squeeze_excite:
            layers.append(SqueezeExcite(op))
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
    """He initialisation by fan-out, N(0, sqrt(2 / (k*k*out))), not divided by groups; linear U(+-1/sqrt(in)); biases 0.

    As in ProxylessNAS's released code (`init_model`, `he_fout`).
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels
            nn.init.normal_(layer.weight, 0.0, math.sqrt(2.0 / fan_out))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Linear):
            bound = 1.0 / math.sqrt(layer.in_features)
            with torch.no_grad():
                layer.weight.uniform_(-bound, bound)
                if layer.bias is not None:
                    layer.bias.zero_()
