"""Outputs and top-1 accuracy of anything that turns images into logits."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pocketnas_base.errors import InputError
from pocketnas_base.progress import Progress, silent

if TYPE_CHECKING:
    from torch import nn

Images = NDArray[np.float32] | NDArray[np.uint8]
Model = Callable[[Images], NDArray[np.float32]]

IMAGES_PER_CALL = 256


def outputs_of(model: Model, images: Images, *, what: str, progress: Progress = silent) -> NDArray[np.float32]:
    """The model's outputs [N, ...] for images [N, C, H, W], called with a few hundred at a time."""
    parts = []
    for start in range(0, len(images), IMAGES_PER_CALL):
        progress(start, len(images), what)
        parts.append(model(images[start : start + IMAGES_PER_CALL]))
    progress(len(images), len(images), what)
    return np.concatenate(parts)


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
    five = np.argpartition(-logits, 4, axis=1)[:, :5]
    return 100.0 * int(np.sum((five == labels[:, None]).any(1))) / len(labels)


def accuracy(
    model: Model, images: NDArray[np.float32], labels: NDArray[np.int64], *, progress: Progress = silent
) -> float:
    """Top-1 of a model over a test set, in percent."""
    return top1_percent(outputs_of(model, images, what="images", progress=progress), labels)


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
