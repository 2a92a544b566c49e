"""Outputs and accuracy of anything that turns images into logits."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deploy.parity import parts
from pocketnas_base.errors import InputError
from pocketnas_base.progress import Progress, silent

if TYPE_CHECKING:
    from torch import nn

Images = NDArray[np.float32] | NDArray[np.uint8]
Model = Callable[[Images], NDArray[np.float32]]

MAX_IMAGES_PER_CALL = 256
# Of one call's images in float32: a test set of any size is never in memory as floats, and what torch keeps between two
# layers stays near the size of the caches.
_BYTES_PER_CALL = 32 * 1024**2


def outputs_of(model: Model, images: Images, *, what: str, progress: Progress = silent) -> NDArray[np.float32]:
    """The model's outputs [N, ...] for images [N, C, H, W], called with at most a few hundred, and 32 MB, at a time.

    Raises InputError where it does not give one row an image.
    """
    step = max(1, min(MAX_IMAGES_PER_CALL, _BYTES_PER_CALL // (4 * images[0].size)))
    progress(0, len(images), what)
    first = model(images[:step])
    if len(first) != min(step, len(images)):
        raise InputError(f"the network gives {list(first.shape)} for {min(step, len(images))} images, not a row each")
    # Filled in place: small results kept between large ones that are given back would leave holes in memory.
    found = np.empty((len(images), *first.shape[1:]), np.float32)
    found[:step] = first
    for start in range(step, len(images), step):
        progress(start, len(images), what)
        found[start : start + step] = model(images[start : start + step])
    progress(len(images), len(images), what)
    return found


def top1_percent(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Percent of images whose largest logit is their label's. Raises InputError when the two differ in number."""
    if logits.shape[:1] != labels.shape or len(labels) == 0:
        raise InputError(f"{len(logits)} outputs cannot be compared with {len(labels)} labels")
    return 100.0 * int(np.sum(logits.argmax(1) == labels)) / len(labels)


def top5_percent(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float | None:
    """Percent of images whose label's logit is one of the five largest; None where there are five classes or fewer.

    Raises InputError when the two differ in number.
    """
    if logits.shape[:1] != labels.shape or len(labels) == 0:
        raise InputError(f"{len(logits)} outputs cannot be compared with {len(labels)} labels")
    if logits.shape[1] <= 5:
        return None
    hits = 0
    for part in parts(*logits.shape):
        five = np.argpartition(-logits[part], 4, axis=1)[:, :5]
        hits += int(np.sum((five == labels[part, None]).any(1)))
    return 100.0 * hits / len(labels)


def torch_model(network: "nn.Module") -> Model:
    """A network as a function of arrays, in evaluation mode and without changing the network."""
    import copy

    import torch

    module = copy.deepcopy(network).cpu().eval()

    def run(images: Images) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = module(torch.from_numpy(images)).numpy()
        return logits

    return run
