"""Augmentation of whole batches on the device that trains: what chance decides first, then the work on pixels.

Draws are made on the CPU from the batch's own generator, so that a batch is the same wherever and however often it is
made. Pixels are moved by one gather (shift, mirror) or one sampling (crop, resize, mirror); colours are colour.py's.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pocketnas_base.errors import InputError

if TYPE_CHECKING:
    import torch

SHIFT_DIVISOR = 8
"""Images are shifted by up to an eighth of their size (4 of 32 pixels, the usual CIFAR recipe)."""
CROP_ATTEMPTS = 10
MAX_STRENGTH = 10.0


@dataclass(frozen=True, slots=True)
class Draws:
    """What chance decided for a batch of B images.

    mirrored: bool [B, 1]. offsets: int64 [2, B, 1], rows and columns of a shift, from 0 to 2 shift_px; None with crops.
    boxes: float32 [4, B, 1], top, left, height and width of a crop in whole pixels; None with shifts.
    colour: float32 [4, B], factors of brightness, contrast and saturation, and the turn of the hue; None where colours
    stay. order: in which order colours change, as indices of `colour`'s rows; those that stay are left out.
    """

    mirrored: "torch.Tensor"
    offsets: "torch.Tensor | None"
    boxes: "torch.Tensor | None"
    colour: "torch.Tensor | None"
    order: tuple[int, ...]

    def to(self, device: "torch.device") -> "Draws":
        """The same draws where the images are."""

        def there(value: "torch.Tensor | None") -> "torch.Tensor | None":
            return None if value is None else value.to(device, non_blocking=True)

        mirrored = self.mirrored.to(device, non_blocking=True)
        return Draws(mirrored, there(self.offsets), there(self.boxes), there(self.colour), self.order)

    def of(self, images: slice) -> "Draws":
        """The draws of some of the batch's images."""
        return Draws(
            self.mirrored[images],
            None if self.offsets is None else self.offsets[:, images],
            None if self.boxes is None else self.boxes[:, images],
            None if self.colour is None else self.colour[:, images],
            self.order,
        )


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What is done to a training batch. Defaults: a shift, and half the images mirrored.

    shift_px: images are shifted by up to so many pixels, black comes in; None: an eighth of their size.
    crop_scale, crop_ratio: random resized crop (Szegedy et al. 2015): a box of a share of the image's area within
    crop_scale, its width by its height within crop_ratio, resized to the whole image; it takes the shift's place. None:
    no crop. brightness, contrast, saturation: every image's factor is drawn from 1 - s to 1 + s, not below 0.
    hue: turned by up to this share of the colour circle, at most 0.5. ProxylessNAS's `normal` colours are brightness
    32/255 and saturation 0.5, its `strong` ones 0.4, 0.4, 0.4 and 0.1; the order of the four is drawn for each batch.
    Raises InputError on values that mean nothing.
    """

    shift_px: int | None = None
    flip: bool = True
    crop_scale: tuple[float, float] | None = None
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, name) <= MAX_STRENGTH:
                raise InputError(f"augmentation: {name} must lie within 0 and {MAX_STRENGTH:g}")
        if not 0 <= self.hue <= 0.5:
            raise InputError(f"augmentation: hue must lie within 0 and 0.5, not {self.hue}")
        if self.shift_px is not None and self.crop_scale is not None:
            raise InputError("augmentation: give shift_px or crop_scale: a crop takes the shift's place")
        if self.shift_px is not None and self.shift_px < 0:
            raise InputError(f"augmentation: shift_px must be at least 0, not {self.shift_px}")
        if self.crop_scale is not None and not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise InputError(f"augmentation: crop_scale must rise within 0 and 1, not {list(self.crop_scale)}")
        if not 0 < self.crop_ratio[0] <= self.crop_ratio[1] < math.inf:
            raise InputError(f"augmentation: crop_ratio must rise above 0, not {list(self.crop_ratio)}")

    @property
    def strengths(self) -> tuple[float, float, float, float]:
        """In the order of `Draws.colour`."""
        return self.brightness, self.contrast, self.saturation, self.hue

    def reach(self, resolution: int) -> int:
        """Greatest shift in pixels of images of this size."""
        return resolution // SHIFT_DIVISOR if self.shift_px is None else self.shift_px

    def check(self, resolution: int, channels: int) -> None:
        """Raises InputError where such images cannot be augmented so."""
        if self.crop_scale is None and self.reach(resolution) >= resolution:
            raise InputError(f"images of {resolution} pixels cannot be shifted by up to {self.shift_px}")
        if channels != 3 and (self.saturation or self.hue):
            raise InputError(
                f"augmentation: saturation and hue are of colours, and images of {channels} channel have none; leave "
                f"them 0"
            )

    def draw(self, count: int, resolution: int, generator: "torch.Generator") -> Draws:
        """The draws of one batch of `count` images, made on the CPU."""
        import torch

        offsets = boxes = colour = None
        if self.crop_scale is None:
            steps = 2 * self.reach(resolution) + 1
            down = torch.randint(0, steps, (count, 1), generator=generator)
            right = torch.randint(0, steps, (count, 1), generator=generator)
            offsets = torch.stack([down, right])
        mirrored = torch.rand((count, 1), generator=generator) < (0.5 if self.flip else 0.0)
        if self.crop_scale is not None:
            boxes = _boxes(count, resolution, self.crop_scale, self.crop_ratio, generator)
        order: tuple[int, ...] = ()
        if any(self.strengths):
            spread = torch.rand((4, count), generator=generator) * 2 - 1
            strengths = torch.tensor(self.strengths)[:, None]
            colour = spread * strengths
            colour[:3] = (colour[:3] + 1).clamp_min(0)
            turns = torch.randperm(4, generator=generator).tolist()
            order = tuple(index for index in turns if self.strengths[index])
        return Draws(mirrored, offsets, boxes, colour, order)

    def apply(self, images: "torch.Tensor", draws: Draws) -> "torch.Tensor":
        """uint8 [B, C, H, H] to the same form, as uint8 or as float32 from 0 to 255, on the device of both."""
        from search.colour import change_colours

        if draws.boxes is not None:
            images = _cropped(images, draws.boxes, draws.mirrored)
        elif draws.offsets is not None:
            images = _shifted(images, draws.offsets, draws.mirrored, self.reach(images.shape[2]))
        if draws.colour is not None:
            images = change_colours(images.float(), draws.colour, draws.order)
        return images


def _boxes(
    count: int, size: int, scale: tuple[float, float], ratio: tuple[float, float], generator: "torch.Generator"
) -> "torch.Tensor":
    """Boxes [4, B, 1] as torchvision's RandomResizedCrop draws them: ten attempts, then the whole image, its longer
    side cut where the ratio asks for it."""
    import torch

    area = size * size * torch.empty(count, CROP_ATTEMPTS).uniform_(*scale, generator=generator)
    aspect = torch.empty(count, CROP_ATTEMPTS).uniform_(*(math.log(end) for end in ratio), generator=generator).exp()
    width, height = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (width >= 1) & (width <= size) & (height >= 1) & (height <= size)
    first = fits.int().argmax(1, keepdim=True)
    found = fits.gather(1, first)
    # A square lies within every ratio's reach but one that excludes it.
    whole_width = round(size * min(1.0, ratio[1]))
    whole_height = round(size * min(1.0, 1 / ratio[0]))
    width = torch.where(found, width.gather(1, first), torch.tensor(float(max(1, whole_width))))
    height = torch.where(found, height.gather(1, first), torch.tensor(float(max(1, whole_height))))
    place = torch.rand((2, count, 1), generator=generator)
    centre = torch.stack([(size - height) / 2, (size - width) / 2]).floor()
    room = torch.stack([size - height, size - width])
    corner = torch.where(found, (place * (room + 1)).floor().minimum(room), centre)
    return torch.cat([corner, torch.stack([height, width])])


def _shifted(images: "torch.Tensor", offsets: "torch.Tensor", mirrored: "torch.Tensor", reach: int) -> "torch.Tensor":
    import torch
    from torch.nn import functional

    count, channels, size, _ = images.shape
    steps = torch.arange(size, device=images.device)
    rows = steps + offsets[0]
    columns = torch.where(mirrored, size - 1 - steps, steps) + offsets[1]
    padded = functional.pad(images, (reach, reach, reach, reach)).view(count, channels, -1)
    # One gather over flattened pixels: shift and mirror together, without a loop over images.
    places = (rows[:, :, None] * (size + 2 * reach) + columns[:, None, :]).view(count, 1, size * size)
    return padded.gather(2, places.expand(count, channels, size * size)).view(count, channels, size, size)


def _cropped(images: "torch.Tensor", boxes: "torch.Tensor", mirrored: "torch.Tensor") -> "torch.Tensor":
    """Every image's box, resized bilinearly to the whole image. A box is never larger than the image, so that no pixel
    is passed over and nothing is left for antialiasing to do."""
    import torch
    from torch.nn import functional

    size = images.shape[2]
    top, left, height, width = boxes
    steps = torch.arange(size, device=images.device, dtype=torch.float32) + 0.5
    across = torch.where(mirrored, size - steps, steps)
    # Pixel centres of the box; beyond its outermost centres its edge is repeated, as if it were cut out first.
    rows = ((steps * height / size - 0.5).clamp_min(0).minimum(height - 1)) + top
    columns = ((across * width / size - 0.5).clamp_min(0).minimum(width - 1)) + left
    middle = max(size - 1, 1) / 2
    across_grid = (columns / middle - 1)[:, None, :].expand(-1, size, -1)
    down_grid = (rows / middle - 1)[:, :, None].expand(-1, -1, size)
    grid = torch.stack([across_grid, down_grid], dim=-1)
    return functional.grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=True)
