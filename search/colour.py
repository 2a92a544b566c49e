"""Colour jitter on whole batches: brightness, contrast, saturation and hue, each image by a factor of its own.

The four are torchvision's (`ColorJitter`, after Krizhevsky et al. 2012 and Howard 2013), on floats from 0 to 255 that
are kept in range after each and rounded nowhere. Images: [B, C, H, W], C being 1 or 3; factors: [B].
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    Change = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]

WHITE = 255.0
LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in brightness as it is seen (ITU-R BT.601)."""


def change_colours(images: "torch.Tensor", factors: "torch.Tensor", order: tuple[int, ...]) -> "torch.Tensor":
    """Brightness, contrast, saturation and hue by the rows 0 to 3 of `factors` [4, B], those in `order` alone."""
    for index in order:
        images = _CHANGES[index](images, factors[index].to(images.dtype))
    return images


def brightness(images: "torch.Tensor", factors: "torch.Tensor") -> "torch.Tensor":
    """Every pixel times the image's factor: 0 is black, 1 changes nothing."""
    return (images * factors.view(-1, 1, 1, 1)).clamp_(0, WHITE)


def contrast(images: "torch.Tensor", factors: "torch.Tensor") -> "torch.Tensor":
    """Distances to the image's mean luma times its factor: 0 is an even grey."""
    return _away_from(_luma(images).mean((1, 2, 3), keepdim=True), images, factors)


def saturation(images: "torch.Tensor", factors: "torch.Tensor") -> "torch.Tensor":
    """Distances to each pixel's own luma times the image's factor: 0 is a grey picture."""
    return _away_from(_luma(images), images, factors)


def hue(images: "torch.Tensor", turns: "torch.Tensor") -> "torch.Tensor":
    """Every colour turned on the circle of hues by the image's share of it; lightest and darkest channel stay (HSV)."""
    import torch

    red, green, blue = images.unbind(1)
    value, darkest = images.amax(1), images.amin(1)
    chroma = value - darkest
    divisor = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    sixths = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    turned = sixths + 6 * turns.view(-1, 1, 1)
    # Smith 1978, without cases: a channel falls from the value by how near its hue lies to the opposite one.
    # 5, 3 and 1 for red, green and blue; counted out where the images are, since a copy would make a GPU wait.
    places = torch.arange(5, 0, -2, device=images.device, dtype=images.dtype).view(1, 3, 1, 1)
    near = (places + turned.unsqueeze(1)).remainder(6)
    falls = torch.minimum(near, 4 - near).clamp_(0, 1)
    return value.unsqueeze(1) - chroma.unsqueeze(1) * falls


def _luma(images: "torch.Tensor") -> "torch.Tensor":
    """[B, 1, H, W]"""
    if images.shape[1] == 1:
        return images
    red, green, blue = LUMA
    return red * images[:, :1] + green * images[:, 1:2] + blue * images[:, 2:]


def _away_from(grey: "torch.Tensor", images: "torch.Tensor", factors: "torch.Tensor") -> "torch.Tensor":
    return (grey + (images - grey) * factors.view(-1, 1, 1, 1)).clamp_(0, WHITE)


_CHANGES: "tuple[Change, ...]" = (brightness, contrast, saturation, hue)
