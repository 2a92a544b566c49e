"""Images that are already arrays, brought to the resolution and channels that a space asks for."""

from typing import TYPE_CHECKING

from pocketnas_base.errors import InputError
from search.data.dataset import chunks
from search.data.decode import check_form, check_memory

if TYPE_CHECKING:
    import torch

MAX_PADDING_RATIO = 1.25
"""Up to this growth images get a black border instead of being resized (28 -> 32, as LeNet-5 did with MNIST)."""


def fit_images(images: "torch.Tensor", *, resolution: int, channels: int) -> "torch.Tensor":
    """uint8 [N, C, H, H] to uint8 [N, channels, resolution, resolution], the same on every call.

    A somewhat larger resolution pads with black, any other resizes (bilinear, antialiased); grey is repeated to RGB,
    RGB becomes luma (ITU-R 601). Raises InputError for other channels, DataError when memory is too small.
    """
    import torch
    from torch.nn import functional

    count, native_channels, native = images.shape[0], images.shape[1], images.shape[2]
    check_form(resolution, channels, "the data set")
    check_memory(count, resolution, channels, "the data set")
    if native_channels not in (1, 3):
        raise InputError(f"images have 1 or 3 channels, not {native_channels}")
    if (native_channels, channels) == (3, 1):
        weights = torch.tensor([19_595, 38_470, 7_471], dtype=torch.int32).view(1, 3, 1, 1)
        grey = [
            ((chunk.to(torch.int32) * weights).sum(1, keepdim=True) + 32_768 >> 16).to(torch.uint8)
            for chunk in chunks(images)
        ]
        images = torch.cat(grey)
    if native < resolution <= native * MAX_PADDING_RATIO:
        before = (resolution - native) // 2
        after = resolution - native - before
        images = functional.pad(images, (before, after, before, after))
    elif resolution != native:
        resized = [
            functional.interpolate(chunk.float(), size=(resolution, resolution), mode="bilinear", antialias=True)
            .round_()
            .clamp_(0, 255)
            .to(torch.uint8)
            for chunk in chunks(images)
        ]
        images = torch.cat(resized)
    if (native_channels, channels) == (1, 3):
        images = images.repeat(1, 3, 1, 1)
    return images.contiguous()
