"""A trainable network of one architecture, and its weights on disk."""

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pocketnas_base.errors import InputError
from pocketnas_base.files import replacing
from search.architecture import Architecture
from search.operators import build_operator
from search.wiring import walk

M = TypeVar("M", bound=nn.Module)


class Network(nn.Module):
    """The operators of an architecture, connected as it says: images [N, C, r, r] to logits [N, classes].

    `ops` stands parallel to `architecture.ops`, Zero included, so that weights keep their place's name.
    """

    def __init__(self, architecture: Architecture, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.ops = nn.ModuleList(build_operator(op, dropout=dropout) for op in architecture.ops)
        self._connections = architecture.connections

    def forward(self, x: Tensor) -> Tensor:
        return walk(x, self._connections, lambda number, *values: self.ops[number](*values))


def channels_last(module: M) -> M:
    """Lay a module's weights out as [N, H, W, C]: depthwise convolutions run about twice as fast on CPUs that way."""
    # Module.to's overloads do not name memory_format alone.
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def save_weights(weights: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write tensors as safetensors, whole or not at all. `metadata` is kept as text. Raises OSError."""
    with replacing(path) as temporary:
        try:
            save_file({name: value.contiguous() for name, value in weights.items()}, temporary, dict(metadata))
        except SafetensorError as error:
            # The library names the system's error in its text alone.
            number = errno.ENOSPC if f"os error {errno.ENOSPC}" in str(error) else errno.EIO
            raise OSError(number, str(error), str(path)) from error


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file. Raises InputError when it is missing, truncated or something else."""
    if not path.is_file():
        raise InputError(f"weights {path} do not exist")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"weights {path} cannot be read: {error}; give a .safetensors file (safetensors.torch.save_file of the "
            "network's state_dict)"
        ) from error


def load_network(architecture: Architecture, path: Path) -> Network:
    """The trained network in evaluation mode. Raises InputError when the weights are of another architecture."""
    network = Network(architecture)
    try:
        network.load_state_dict(load_weights(path))
    except RuntimeError:
        raise InputError(f"weights {path} do not fit architecture {architecture.name}") from None
    return network.eval()
