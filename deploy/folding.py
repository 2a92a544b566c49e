"""Batch norm and hard sigmoid folded into the convolutions beside them: what every exporter starts from."""

from typing import TYPE_CHECKING

from pocketnas_base.errors import ExportError, InputError

if TYPE_CHECKING:
    from torch import Tensor, nn


def folded(module: "nn.Module") -> "nn.Module":
    """A copy of `module` in evaluation mode on the CPU, every batch norm folded into the convolution before it.

    y = g * (conv(x) - mean) / sqrt(var + eps) + b becomes one convolution with bias, computed in float64 and rounded
    to float32 once. A batch norm at the head of a Sequential goes into the convolution behind it where that pads
    nothing, else it becomes a 1x1 depthwise convolution. Of a squeeze-and-excitation's hard sigmoid ReLU6(x + 3) / 6
    the 3 goes into the bias before it and the 6 into the weights of the convolution that takes what is gated, so that a
    ReLU6 is left. The weights are laid out contiguously, as the exporters need them. The copy computes what `module`
    computes in evaluation mode, up to rounding. Raises ExportError for a batch norm anywhere else.
    """
    from torch import nn

    result = evaluated(module)
    for part in list(result.modules()):
        if isinstance(part, nn.Sequential):
            layers = _fold_gates(_fold_layers(_fold_head(list(part))))
            del part[:]
            part.extend(layers)
    for name, part in result.named_modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            raise ExportError(f"batch norm {name or 'at the root'} follows no convolution, so it cannot be folded")
    return result.requires_grad_(False)


def evaluated(module: "nn.Module") -> "nn.Module":
    """A copy of `module` in evaluation mode on the CPU, its weights laid out contiguously and free of gradients.

    Raises InputError when the module cannot be copied.
    """
    import copy

    import torch

    try:
        result = copy.deepcopy(module).cpu().eval()
    except (RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"the network cannot be copied, as export has to: {reason:.200}") from error
    with torch.no_grad():
        for tensor in (*result.parameters(), *result.buffers()):
            tensor.data = tensor.data.contiguous(memory_format=torch.contiguous_format)
    return result.requires_grad_(False)


def _fold_layers(layers: "list[nn.Module]") -> "list[nn.Module]":
    from torch import nn

    kept: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d) and kept and isinstance(kept[-1], nn.Conv2d):
            kept[-1] = _fold_pair(kept[-1], layer)
        else:
            kept.append(layer)
    return [_with_bias(layer) for layer in kept]


def _with_bias(layer: "nn.Module") -> "nn.Module":
    """A convolution that no batch norm stood beside, with a bias of zeros: exporters and runtimes take one."""
    import torch
    from torch import nn

    if not isinstance(layer, nn.Conv2d) or layer.bias is not None:
        return layer
    return _convolution_like(layer, layer.weight, torch.zeros(layer.out_channels))


def _fold_head(layers: "list[nn.Module]") -> "list[nn.Module]":
    """The layers without the batch norm that they begin with; rounded to float32 here and where one follows it."""
    import torch
    from torch import nn

    if not layers or not isinstance(layers[0], nn.BatchNorm2d):
        return layers
    norm, rest = layers[0], layers[1:]
    scale, shift = _scale_and_shift(norm)
    if rest and isinstance(rest[0], nn.Conv2d) and not any(rest[0].padding) and rest[0].groups == 1:
        convolution = rest[0]
        with torch.no_grad():
            weight = convolution.weight.double()
            bias = torch.einsum("oihw,i->o", weight, shift)
            if convolution.bias is not None:
                bias += convolution.bias.double()
        return [_convolution_like(convolution, weight * scale.view(1, -1, 1, 1), bias), *rest[1:]]
    alone = nn.Conv2d(norm.num_features, norm.num_features, 1, groups=norm.num_features)
    return [_convolution_like(alone, scale.view(-1, 1, 1, 1), shift), *rest]


def _fold_gates(layers: "list[nn.Module]") -> "list[nn.Module]":
    """`layers`, of which gates before a convolution are changed in place."""
    from itertools import pairwise

    import torch
    from torch import nn

    from search.operators import HardSigmoid, SqueezeExcite

    for gate, following in pairwise(layers):
        if not (isinstance(gate, SqueezeExcite) and isinstance(gate.gate, HardSigmoid)):
            continue
        if isinstance(following, nn.Conv2d) and gate.expand.bias is not None:
            with torch.no_grad():
                gate.expand.bias += 3.0
                following.weight /= 6.0
            gate.gate = nn.ReLU6()
    return layers


def _fold_pair(convolution: "nn.Conv2d", norm: "nn.BatchNorm2d") -> "nn.Conv2d":
    import torch

    scale, shift = _scale_and_shift(norm)
    with torch.no_grad():
        weight = convolution.weight.double() * scale.view(-1, 1, 1, 1)
        bias = shift if convolution.bias is None else shift + convolution.bias.double() * scale
    return _convolution_like(convolution, weight, bias)


def _scale_and_shift(norm: "nn.BatchNorm2d") -> "tuple[Tensor, Tensor]":
    """What a batch norm multiplies each channel with, and what it then adds, in float64."""
    import torch

    if norm.running_mean is None or norm.running_var is None:
        raise ExportError("a batch norm without running statistics cannot be folded: train with track_running_stats")
    with torch.no_grad():
        scale = (norm.running_var.double() + norm.eps).rsqrt()
        shift = -norm.running_mean.double() * scale
        if norm.affine:
            scale, shift = scale * norm.weight.double(), shift * norm.weight.double() + norm.bias.double()
    return scale, shift


def _convolution_like(convolution: "nn.Conv2d", weight: "Tensor", bias: "Tensor") -> "nn.Conv2d":
    from torch import nn

    result = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        convolution.kernel_size,  # type: ignore[arg-type]
        convolution.stride,  # type: ignore[arg-type]
        convolution.padding,  # type: ignore[arg-type]
        convolution.dilation,  # type: ignore[arg-type]
        convolution.groups,
    )
    result.weight.data, result.bias.data = weight.float(), bias.float()  # type: ignore[union-attr]
    return result.eval()
