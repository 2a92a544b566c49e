"""sha256 over what an export depends on, so that a file is made again exactly when something of it changed."""

import hashlib
import json
from typing import TYPE_CHECKING, Any

from search.architecture import Architecture
from search.data.dataset import chunks

if TYPE_CHECKING:
    from torch import Tensor, nn


def weights_sha256(network: "nn.Module") -> str:
    """Over the name, kind, shape and bytes of every tensor of the network's state, by name."""
    total = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        _add(total, name, tensor)
    return total.hexdigest()


def architecture_sha256(architecture: Architecture) -> str:
    """Over the operators and how they are connected; the name and the space it came from do not matter."""
    plain: list[object] = [op.to_dict() for op in architecture.ops]
    if architecture.inputs is not None:
        plain.append(architecture.inputs)
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()


def program_sha256(program: Any) -> str:
    """Over what a program of torch.export computes, apart from its weights: operations, and numbers in its code."""
    import torch

    total = hashlib.sha256()
    for name, part in program.graph_module.named_modules():
        if isinstance(part, torch.fx.GraphModule):
            total.update(f"{name}\n{part.graph}\n".encode())
    for name, constant in sorted(program.constants.items()):
        if isinstance(constant, torch.Tensor):
            _add(total, name, constant)
    return total.hexdigest()


def images_sha256(images: "Tensor", labels: "Tensor | None") -> str:
    """Over the images and, where there are any, the labels."""
    total = hashlib.sha256()
    _add(total, "images", images)
    if labels is not None:
        _add(total, "labels", labels)
    return total.hexdigest()


def _add(total: "hashlib._Hash", name: str, tensor: "Tensor") -> None:
    kind = tensor.new_empty(0, device="cpu").numpy().dtype.str
    total.update(f"{name} {kind} {tuple(tensor.shape)}\n".encode())
    # A part at a time: a large test set is mapped from a file, and need not fit into memory.
    for part in chunks(tensor) if tensor.ndim else [tensor]:
        total.update(part.detach().cpu().contiguous().numpy().data)
