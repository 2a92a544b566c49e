"""Batch norm folded into the convolution before it: what every exporter starts from."""

from typing import TYPE_CHECKING

from pocketnas_base.errors import ExportError, InputError

if TYPE_CHECKING:
    from torch import nn


def folded(module: "nn.Module") -> "nn.Module":
    """A copy of `module` in evaluation mode on the CPU, every batch norm folded into the convolution before it.

    y = g * (conv(x) - mean) / sqrt(var + eps) + b becomes one convolution with bias, computed in float64 and rounded
    to float32 once. The weights are laid out contiguously, as the exporters need them. The copy computes what `module`
    computes in evaluation mode, up to rounding. Raises ExportError for a batch norm that no convolution precedes.
    """
    from torch import nn

    result = evaluated(module)
    for part in list(result.modules()):
        if isinstance(part, nn.Sequential):
            layers = _fold_layers(list(part))
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
    return kept


def _fold_pair(convolution: "nn.Conv2d", norm: "nn.BatchNorm2d") -> "nn.Conv2d":
    import torch
    from torch import nn

    if norm.running_mean is None or norm.running_var is None:
        raise ExportError("a batch norm without running statistics cannot be folded: train with track_running_stats")
    with torch.no_grad():
        scale = (norm.running_var.double() + norm.eps).rsqrt()
        shift = -norm.running_mean.double() * scale
        if norm.affine:
            scale, shift = scale * norm.weight.double(), shift * norm.weight.double() + norm.bias.double()
        weight = convolution.weight.double() * scale.view(-1, 1, 1, 1)
        bias = shift if convolution.bias is None else shift + convolution.bias.double() * scale
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
