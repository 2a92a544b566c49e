"""The training input pipeline for images in memory. Without state: a resumed run sees the same data bit for bit."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pocketnas_base.errors import InputError
from search.data.dataset import ImageData

if TYPE_CHECKING:
    import torch

SHIFT_DIVISOR = 8
"""Images are shifted by up to an eighth of their size (4 of 32 pixels, the usual CIFAR recipe)."""


@dataclass(frozen=True, slots=True)
class Normalisation:
    """(pixel / 255 - mean) / std per channel; mean and std are those of `ImageData`."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images: "torch.Tensor") -> "torch.Tensor":
        """uint8 [B, C, H, W] to float32 [B, C, H, W] in channels_last order."""
        import torch

        scale = torch.tensor([1 / (255 * std) for std in self.std]).view(1, -1, 1, 1)
        offset = torch.tensor([-mean / std for mean, std in zip(self.mean, self.std, strict=True)]).view(1, -1, 1, 1)
        return images.to(torch.float32, memory_format=torch.channels_last).mul_(scale).add_(offset)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What is done to a training batch: shift by up to `shift_px` pixels (black comes in), mirror half the images."""

    normalisation: Normalisation
    shift_px: int
    flip: bool = True

    def __call__(self, images: "torch.Tensor", generator: "torch.Generator") -> "torch.Tensor":
        """uint8 [B, C, H, H] to normalised float32 [B, C, H, H] in channels_last order."""
        import torch
        from torch.nn import functional

        count, channels, size, _ = images.shape
        reach = self.shift_px
        down = torch.randint(0, 2 * reach + 1, (count, 1), generator=generator)
        right = torch.randint(0, 2 * reach + 1, (count, 1), generator=generator)
        mirrored = torch.rand((count, 1), generator=generator) < (0.5 if self.flip else 0.0)
        steps = torch.arange(size)
        rows = steps + down
        columns = torch.where(mirrored, size - 1 - steps, steps) + right
        padded = functional.pad(images, (reach, reach, reach, reach)).view(count, channels, -1)
        # One gather over flattened pixels: shift and mirror together, without a loop over images.
        places = (rows[:, :, None] * (size + 2 * reach) + columns[:, None, :]).view(count, 1, size * size)
        moved = padded.gather(2, places.expand(count, channels, size * size)).view(count, channels, size, size)
        return self.normalisation(moved)


@dataclass(frozen=True, eq=False)
class TrainingBatches:
    """Shuffled, augmented batches of (a part of) the training images.

    images: uint8 [N, C, H, H]; labels: int64 [N]. The last, smaller batch of an epoch is left out, so that batch norm
    always sees `batch_size` images. Batch k of epoch e is a function of (seed, e, k) alone. Raises InputError when
    there are fewer images than one batch holds.
    """

    images: "torch.Tensor"
    labels: "torch.Tensor"
    augment: Augmentation
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= len(self.images):
            raise InputError(f"batch size {self.batch_size} does not fit {len(self.images)} training images")

    @classmethod
    def of(
        cls,
        data: ImageData,
        indices: "torch.Tensor | None" = None,
        *,
        batch_size: int,
        seed: int,
        shift_px: int | None = None,
        flip: bool = True,
    ) -> "TrainingBatches":
        """Batches of `data`'s training images, or of those at `indices` (int64 [N], as `split` gives them)."""
        shift = data.resolution // SHIFT_DIVISOR if shift_px is None else shift_px
        if not 0 <= shift < data.resolution:
            raise InputError(f"images of {data.resolution} pixels cannot be shifted by up to {shift}")
        augment = Augmentation(Normalisation(data.mean, data.std), shift, flip)
        if indices is None:
            return cls(data.train_images, data.train_labels, augment, batch_size, seed)
        return cls(data.train_images[indices], data.train_labels[indices], augment, batch_size, seed)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.images) // self.batch_size

    def order(self, epoch: int) -> "torch.Tensor":
        """The order of the images in an epoch: a permutation, int64 [N]."""
        import torch

        return torch.randperm(len(self.images), generator=_generator(self.seed, "order", epoch))

    def batch(self, epoch: int, step: int) -> "tuple[torch.Tensor, torch.Tensor]":
        """Batch `step` of an epoch: float32 [B, C, H, H] in channels_last order, int64 [B]."""
        return self._batch(self.order(epoch), epoch, step)

    def at(self, number: int) -> "tuple[torch.Tensor, torch.Tensor]":
        """Batch `number` counted from the start of training, over as many epochs as it takes."""
        return self.batch(*divmod(number, len(self)))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over images, labels and how they are drawn: equal fingerprints give equal batches."""
        digest = hashlib.sha256(repr((self.augment, self.batch_size, self.seed, tuple(self.images.shape))).encode())
        for tensor in (self.images, self.labels):
            digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()

    def epoch(self, epoch: int, first_step: int = 0) -> "Iterator[tuple[torch.Tensor, torch.Tensor]]":
        """The batches of an epoch from `first_step` on."""
        order = self.order(epoch)
        for step in range(first_step, len(self)):
            yield self._batch(order, epoch, step)

    def _batch(self, order: "torch.Tensor", epoch: int, step: int) -> "tuple[torch.Tensor, torch.Tensor]":
        if not 0 <= step < len(self):
            raise IndexError(f"an epoch has {len(self)} batches; there is no batch {step}")
        chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
        generator = _generator(self.seed, "augment", epoch, step)
        return self.augment(self.images[chosen], generator), self.labels[chosen]


def _generator(*key: str | int) -> "torch.Generator":
    """A generator of its own for each key; hashed, because neighbouring seeds give related streams."""
    import torch

    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def normalisation_of(data: ImageData) -> Normalisation:
    """The normalisation that a net trained on `data` expects of its input."""
    return Normalisation(data.mean, data.std)
