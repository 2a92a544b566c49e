"""A labelled image data set, in memory or mapped from a file, and how its training images are divided."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pocketnas_base.errors import DataError, InputError

if TYPE_CHECKING:
    import torch

_CHUNK_BYTES = 64 * 1024**2


@dataclass(frozen=True, eq=False)
class ImageData:
    """Training and test images of one resolution, with their labels.

    train_images, test_images: uint8 [N, C, H, W] with H == W. train_labels, test_labels: int64 [N], indices into
    `classes`. source: where the images came from, for people. licence: None where it is not known.
    Raises DataError when the parts do not fit each other or a class has no training image.
    """

    name: str
    classes: tuple[str, ...]
    train_images: "torch.Tensor"
    train_labels: "torch.Tensor"
    test_images: "torch.Tensor"
    test_labels: "torch.Tensor"
    source: str
    licence: str | None

    def __post_init__(self) -> None:
        import torch

        for part in ("train", "test"):
            images, labels = getattr(self, f"{part}_images"), getattr(self, f"{part}_labels")
            if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[2] != images.shape[3]:
                raise DataError(
                    f"{self.name}: {part} images must be square uint8 [N, C, H, W], not {images.dtype} "
                    f"{list(images.shape)}"
                )
            if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
                raise DataError(f"{self.name}: {len(images)} {part} images need as many int64 labels")
            if len(images) == 0:
                raise DataError(f"{self.name}: there are no {part} images")
            if int(labels.min()) < 0 or int(labels.max()) >= len(self.classes):
                raise DataError(f"{self.name}: a {part} label lies outside the {len(self.classes)} classes")
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise DataError(f"{self.name}: training and test images differ in size or channels")
        counts = torch.bincount(self.train_labels, minlength=len(self.classes)).tolist()
        for label, count in zip(self.classes, counts, strict=True):
            if count == 0:
                raise DataError(f"{self.name}: class {label} has no training image")

    @property
    def resolution(self) -> int:
        """Height and width in pixels."""
        return self.train_images.shape[2]

    @property
    def channels(self) -> int:
        return self.train_images.shape[1]

    @cached_property
    def _moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        import torch

        # Whole numbers, so that the outcome depends neither on the order of summation nor on the thread count.
        total = torch.zeros(self.channels, dtype=torch.int64)
        squares = torch.zeros(self.channels, dtype=torch.int64)
        for chunk in chunks(self.train_images):
            wide = chunk.to(torch.int32)
            total += wide.sum(dim=(0, 2, 3), dtype=torch.int64)
            squares += wide.square_().sum(dim=(0, 2, 3), dtype=torch.int64)
        count = len(self.train_images) * self.resolution**2
        means = [value / count for value in total.tolist()]
        # count^2 times the variance, as a whole number: no cancellation.
        spreads = [
            count * square - value * value for square, value in zip(squares.tolist(), total.tolist(), strict=True)
        ]
        # A constant channel carries nothing; a divisor of one keeps it finite.
        deviations = [(spread**0.5 / count) / 255 or 1.0 for spread in spreads]
        return tuple(mean / 255 for mean in means), tuple(deviations)

    @property
    def mean(self) -> tuple[float, ...]:
        """Per-channel mean of the training images, with pixels scaled to 0..1."""
        return self._moments[0]

    @property
    def std(self) -> tuple[float, ...]:
        """Per-channel standard deviation of the training images, with pixels scaled to 0..1; 1 if constant."""
        return self._moments[1]

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over classes, images and labels; name and source left out."""
        digest = hashlib.sha256(json.dumps(self.classes).encode())
        for tensor in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            digest.update(json.dumps([str(tensor.dtype), list(tensor.shape)]).encode())
            for chunk in chunks(tensor):
                digest.update(chunk.contiguous().numpy().data)
        return digest.hexdigest()

    def recalling(self, fingerprint: str, mean: Sequence[float], std: Sequence[float]) -> "ImageData":
        """This data set, told what was computed of it before: for images that take minutes to read through."""
        self.__dict__["fingerprint"] = fingerprint
        self.__dict__["_moments"] = (tuple(mean), tuple(std))
        return self


def chunks(images: "torch.Tensor") -> "Iterator[torch.Tensor]":
    """Views of the images, a bounded number at a time, for work that needs wider numbers than uint8."""
    step = max(1, _CHUNK_BYTES // max(1, images[:1].nbytes))
    for start in range(0, len(images), step):
        yield images[start : start + step]


def split(labels: "torch.Tensor", holdout: int, seed: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """Divide a training set into images for the weights and `holdout` class-balanced images for the architecture.

    Every class gives equally many images (ProxylessNAS, section 4.2: 50,000 class-balanced images of the training
    set), but none more than half of its own; what a small class cannot give, the others do.
    labels: int64 [N]. Returns two ascending int64 index vectors that together hold 0..N-1 once. Raises InputError.
    """
    import torch

    counts = torch.bincount(labels).tolist()
    capacity = [count // 2 for count in counts]
    if not 1 <= holdout <= sum(capacity):
        raise InputError(
            f"cannot hold out {holdout} of {len(labels)} training images: at least 1 and at most "
            f"{sum(capacity)} (half of every class) are possible; change data.holdout"
        )
    shares = [0] * len(counts)
    remaining = holdout
    while remaining:
        open_classes = [index for index, share in enumerate(shares) if share < capacity[index]]
        each = max(1, remaining // len(open_classes))
        for index in open_classes[:remaining]:
            given = min(each, capacity[index] - shares[index])
            shares[index] += given
            remaining -= given
    return _draw(labels, shares, seed)


def stratified_split(labels: "torch.Tensor", fraction: float, seed: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """Divide a data set that comes without test images: about `fraction` of every class becomes test images.

    Every class keeps at least one image on both sides. labels: int64 [N]. Returns ascending int64 index vectors
    (train, test). Raises InputError when a class has a single image.
    """
    import torch

    counts = torch.bincount(labels).tolist()
    for index, count in enumerate(counts):
        if count == 1:
            raise InputError(f"class number {index} has a single image: it cannot be in training and test images both")
    shares = [min(max(1, round(count * fraction)), count - 1) if count else 0 for count in counts]
    return _draw(labels, shares, seed)


def _draw(labels: "torch.Tensor", shares: list[int], seed: int) -> "tuple[torch.Tensor, torch.Tensor]":
    import torch

    generator = torch.Generator().manual_seed(seed)
    taken = torch.zeros(len(labels), dtype=torch.bool)
    for index, share in enumerate(shares):
        members = torch.nonzero(labels == index).flatten()
        taken[members[torch.randperm(len(members), generator=generator)[:share]]] = True
    return torch.nonzero(~taken).flatten(), torch.nonzero(taken).flatten()
