"""The training input pipeline. Without state: a resumed run sees the same data bit for bit.

Images lie in memory or in a memory-mapped file. One thread gathers batches ahead of their use; on a GPU they travel as
bytes from pinned memory, and are augmented and normalised there while the host gathers the next.
"""

import hashlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from pocketnas_base.errors import InputError
from search.augment import Augmentation, Draws
from search.data.dataset import ImageData
from search.ranks import ALONE, Ranks

if TYPE_CHECKING:
    import torch

BATCHES_AHEAD = 3
"""How many batches are gathered before they are asked for."""


@dataclass(frozen=True, slots=True)
class Normalisation:
    """(pixel / 255 - mean) / std per channel; mean and std are those of `ImageData`."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images: "torch.Tensor") -> "torch.Tensor":
        """uint8 or 0 to 255 [B, C, H, W] to float32 [B, C, H, W] in channels_last order, on the images' device."""
        import torch

        scale, offset = _scale_and_offset(self, images.device)
        return images.to(torch.float32, memory_format=torch.channels_last).mul_(scale).add_(offset)


@lru_cache(maxsize=32)
def _scale_and_offset(normalisation: Normalisation, device: "torch.device") -> "tuple[torch.Tensor, torch.Tensor]":
    # Kept: a GPU would wait for each of these small copies in every step.
    import torch

    scale = torch.tensor([1 / (255 * std) for std in normalisation.std])
    offset = torch.tensor([-mean / std for mean, std in zip(normalisation.mean, normalisation.std, strict=True)])
    return scale.view(1, -1, 1, 1).to(device), offset.view(1, -1, 1, 1).to(device)


@dataclass(frozen=True, slots=True)
class _Raw:
    """This rank's share of a batch, as it was gathered: images uint8 [B, C, H, H], labels int64 [B], and what chance
    decided for it."""

    images: "torch.Tensor"
    labels: "torch.Tensor"
    draws: Draws


@dataclass(frozen=True, eq=False)
class TrainingBatches:
    """Shuffled, augmented batches of (a part of) the training images.

    indices: int64 [N], which of `data`'s training images. device: where batches are wanted. The last, smaller batch of
    an epoch is left out, so that batch norm always sees `batch_size` images. Batch k of epoch e is a function of
    (seed, e, k) alone. ranks: among whom each batch is divided; batch_size is that of all together, and what is handed
    out below is this rank's share of B / ranks images. Raises InputError when there are fewer images than one batch
    holds, or when they cannot be augmented or divided so.
    """

    data: ImageData
    indices: "torch.Tensor"
    augmentation: Augmentation
    batch_size: int
    seed: int
    device: "torch.device"
    ranks: Ranks = ALONE

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= len(self.indices):
            raise InputError(f"batch size {self.batch_size} does not fit {len(self.indices)} training images")
        self.augmentation.check(self.data.resolution, self.data.channels)
        self.ranks.share(self.batch_size)

    @classmethod
    def of(
        cls,
        data: ImageData,
        indices: "torch.Tensor | None" = None,
        *,
        batch_size: int,
        seed: int,
        augmentation: Augmentation | None = None,
        device: "torch.device | str" = "cpu",
        ranks: Ranks = ALONE,
    ) -> "TrainingBatches":
        """Batches of `data`'s training images, or of those at `indices` (int64 [N], as `split` gives them)."""
        import torch

        if indices is None:
            indices = torch.arange(len(data.train_images))
        return cls(data, indices, augmentation or Augmentation(), batch_size, seed, torch.device(device), ranks)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.indices) // self.batch_size

    def order(self, epoch: int) -> "torch.Tensor":
        """The order of the images in an epoch: a permutation, int64 [N]."""
        import torch

        return torch.randperm(len(self.indices), generator=_generator(self.seed, "order", epoch))

    def at(self, number: int) -> "tuple[torch.Tensor, torch.Tensor]":
        """Batch `number` counted from the start of training, over as many epochs as it takes: float32 [B, C, H, H] in
        channels_last order, int64 [B]. Those after it are gathered meanwhile."""
        raw = self._ahead.take(number)
        images = raw.images.to(self.device, non_blocking=True)
        moved = self.augmentation.apply(images, raw.draws.to(self.device))
        return self.normalisation(moved), raw.labels.to(self.device, non_blocking=True)

    def unaugmented_count(self, count: int) -> int:
        """How many images `unaugmented` gives where about `count` are asked for."""
        return max(1, min(count, len(self.indices)) // self.batch_size) * self.batch_size

    def unaugmented(self, count: int) -> "Iterator[torch.Tensor]":
        """About `count` images as they are, drawn by the seed, in whole batches, one at least: normalised float32."""
        import torch

        chosen = self.indices[torch.randperm(len(self.indices), generator=_generator(self.seed, "unaugmented"))]
        for step in range(self.unaugmented_count(count) // self.batch_size):
            part = chosen[step * self.batch_size : (step + 1) * self.batch_size]
            yield self.normalisation(self.data.train_images[part].to(self.device))

    @property
    def normalisation(self) -> Normalisation:
        """What comes after augmentation, and before any net."""
        return normalisation_of(self.data)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over images, labels and how they are drawn: equal fingerprints give equal batches."""
        how = (self.data.fingerprint, self.augmentation, self.batch_size, self.seed, len(self.indices))
        digest = hashlib.sha256(repr(how).encode())
        digest.update(self.indices.contiguous().numpy().data)
        return digest.hexdigest()

    @cached_property
    def _ahead(self) -> "_Ahead":
        return _Ahead(self)


class _Ahead:
    """Gathers batches in one thread, from the last one asked for on. Asked for another, it starts anew from there."""

    def __init__(self, batches: TrainingBatches) -> None:
        self._batches = batches
        self._thread = ThreadPoolExecutor(1, "batches", initializer=_use, initargs=(batches.device,))
        self._futures: dict[int, Future[_Raw]] = {}
        self._epoch: tuple[int, torch.Tensor] | None = None

    def take(self, number: int) -> _Raw:
        """Batch `number`."""
        wanted = range(number, number + 1 + BATCHES_AHEAD)
        for other in [key for key in self._futures if key not in wanted]:
            self._futures.pop(other).cancel()
        for each in wanted:
            if each not in self._futures:
                self._futures[each] = self._thread.submit(self._gather, each)
        return self._futures.pop(number).result()

    def _gather(self, number: int) -> _Raw:
        import torch

        batches, data, size = self._batches, self._batches.data, self._batches.batch_size
        epoch, step = divmod(number, len(batches))
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, batches.order(epoch)
        share = batches.ranks.share(size)
        chosen = batches.indices[self._epoch[1][step * size : (step + 1) * size][share]]
        draws = batches.augmentation.draw(size, data.resolution, _generator(batches.seed, "augment", epoch, step))
        pinned = batches.device.type == "cuda"
        images = torch.empty((len(chosen), *data.train_images.shape[1:]), dtype=torch.uint8, pin_memory=pinned)
        torch.index_select(data.train_images, 0, chosen, out=images)
        labels = data.train_labels[chosen]
        return _Raw(images, labels.pin_memory() if pinned else labels, draws.of(share))


def _use(device: "torch.device") -> None:
    """Memory that this thread pins belongs to the GPU of this rank, not to the first one."""
    import torch

    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)


def _generator(*key: str | int) -> "torch.Generator":
    """A generator of its own for each key; hashed, because neighbouring seeds give related streams."""
    import torch

    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def normalisation_of(data: ImageData) -> Normalisation:
    """The normalisation that a net trained on `data` expects of its input."""
    return Normalisation(data.mean, data.std)
