"""Operators and networks with made-up but realistic weights: what is measured when nothing is trained yet."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from latency.opspec import OpSpec
from pocketnas_base.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from search.architecture import Architecture

SAMPLE_VERSION = 1
"""Raise it whenever the weights or the input drawn for an operator change: caches of operator files are keyed by it."""

INPUT, REFERENCE = "input.bin", "reference.bin"
"""An operator file's input, and the output that torch computes for it, in the folder of the model; of several copies
see `reference_names`."""

# So many values of every channel, at least, stand behind a batch norm's statistics.
_STATISTICS_PIXELS = 512
_MAX_STATISTICS_IMAGES = 64


@dataclass(frozen=True, slots=True)
class OperatorSample:
    """An operator ready to be exported: its module in evaluation mode, an input [1, C, H, W] and its output."""

    module: "nn.Module"
    input: "Tensor"
    output: "Tensor"


def operator_sample(op: OpSpec, seed: int) -> OperatorSample:
    """The operator with weights, input and output that depend on `op` and `seed` alone.

    Raises InputError for `zero`, which leaves nothing to run.
    """
    (sample,) = operator_copies(op, seed, 1)
    return sample


def operator_copies(op: OpSpec, seed: int, copies: int) -> list[OperatorSample]:
    """The operator so many times, on one input, each with weights of its own; the first is `operator_sample`'s.

    Raises InputError as that does.
    """
    import torch

    if op.kind == "zero":
        raise InputError(f"{op.key}: Zero runs nothing, so there is no file to make of it")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(_derived(seed, op.key))
        modules = [_module(op)]
        value = torch.randn(1, op.in_channels, op.resolution, op.resolution)
        for number in range(1, copies):
            torch.manual_seed(_derived(seed, f"{op.key}/{number}"))
            modules.append(_module(op))
        return [OperatorSample(module, value, module(value).contiguous()) for module in modules]


def _module(op: OpSpec) -> "nn.Module":
    from torch import nn

    if op.kind == "empty":
        module: nn.Module = nn.ReLU6()
    else:
        from search.operators import build_operator

        module = build_operator(op)
    _randomise(module, op.in_channels, op.resolution, op.out_resolution)
    return module


def reference_names(copies: int) -> tuple[str, ...]:
    """The files that hold the outputs expected of an operator's copies, in their order."""
    return (REFERENCE,) if copies == 1 else tuple(f"reference{number}.bin" for number in range(copies))


def store_tensors(image: "Tensor", outputs: "Sequence[Tensor]", folder: Path, *, channels_last: bool) -> None:
    """Write an input and its outputs as raw little-endian numbers: [1, H, W, C] if `channels_last`, else as torch.

    Not synced one by one: whoever reads them compares their hashes.
    """
    for name, tensor in zip((INPUT, *reference_names(len(outputs))), (image, *outputs), strict=True):
        value = tensor.permute(0, 2, 3, 1) if channels_last and tensor.ndim == 4 else tensor
        array: NDArray[np.generic] = value.contiguous().numpy()
        (folder / name).write_bytes(array.astype(array.dtype.newbyteorder("<")).tobytes())


def network_sample(architecture: "Architecture", seed: int) -> "nn.Module":
    """A network in evaluation mode whose weights depend on `architecture` and `seed` alone."""
    import torch

    from search.network import Network

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(_derived(seed, "/".join(op.key for op in architecture.ops)))
        network = Network(architecture)
        last = architecture.ops[-1].resolution
        _randomise(network, architecture.image_channels, architecture.resolution, last)
    return network


def _randomise(module: "nn.Module", channels: int, resolution: int, out_resolution: int) -> None:
    """Draw batch norms and biases so that about half of every ReLU6 is alive and little of it saturated.

    The running statistics are those of the layer's own activations on normal noise, so each batch norm's output has
    about the mean and deviation that its shift and scale say.
    """
    import torch
    from torch import nn

    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.uniform_(0.5, 1.5)
            layer.bias.normal_(0.0, 0.5)
        elif isinstance(layer, nn.Linear):
            layer.bias.normal_(0.0, 0.1)
    if norms:
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = None  # the statistics become those of the one pass below
        images = min(_MAX_STATISTICS_IMAGES, max(2, -(-_STATISTICS_PIXELS // out_resolution**2)))
        module.train()(torch.randn(images, channels, resolution, resolution))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    module.eval()


def _derived(seed: int, name: str) -> int:
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
