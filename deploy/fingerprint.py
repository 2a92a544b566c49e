"""sha256 over what an export depends on, so that a file is made again exactly when something of it changed."""

import hashlib
import json
from typing import TYPE_CHECKING

from search.architecture import Architecture

if TYPE_CHECKING:
    from torch import Tensor, nn


def weights_sha256(network: "nn.Module") -> str:
    """Over the name, kind, shape and bytes of every tensor of the network's state, by name."""
    total = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        _add(total, name, tensor)
    return total.hexdigest()


def architecture_sha256(architecture: Architecture) -> str:
    """Over the operators; the name and the space it came from do not matter."""
    return hashlib.sha256(json.dumps([op.to_dict() for op in architecture.ops]).encode()).hexdigest()


def images_sha256(images: "Tensor", labels: "Tensor | None") -> str:
    """Over the images and, where there are any, the labels."""
    total = hashlib.sha256()
    _add(total, "images", images)
    if labels is not None:
        _add(total, "labels", labels)
    return total.hexdigest()


def _add(total: "hashlib._Hash", name: str, tensor: "Tensor") -> None:
    array = tensor.detach().cpu().contiguous().numpy()
    total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
    total.update(array.tobytes())
