"""A folder of images by class: ROOT/train/CLASS/*.png with ROOT/test (or val), or ROOT/CLASS/*.png alone."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pocketnas_base.errors import DataError, InputError
from pocketnas_base.files import read_bytes
from pocketnas_base.progress import Progress, silent
from search.data.dataset import ImageData, stratified_split
from search.data.decode import IMAGE_SUFFIXES, MAX_ENCODED_BYTES, check_form, decode_images
from search.data.decoded import MAX_HASHED_BYTES, decoded

if TYPE_CHECKING:
    import torch

    from search.data.decode import Pixels

TEST_NAMES = ("test", "val", "validation")
TEST_FRACTION = 0.2
SPLIT_SEED = 0
_CACHE_VERSION = 1


@dataclass(frozen=True, slots=True)
class _Listing:
    """The images of one part, in a fixed order: class by class, by name."""

    paths: tuple[Path, ...]
    labels: tuple[int, ...]


def read_folder(root: Path, *, resolution: int, channels: int, progress: Progress = silent) -> ImageData:
    """Decode a folder of images, its classes being the names of the folders in sorted order.

    Without a test (or val) folder beside `train`, or with class folders directly below `root`, a fifth of every class
    is drawn as test images with a fixed seed. Decoded images are kept in the user's cache, addressed by their content.
    Raises DataError naming the file or folder at fault: no images, a class without any, a class that is in the test
    images only or not at all, a damaged or oversized image.
    """
    import torch

    check_form(resolution, channels, str(root))
    classes, train, test, source = _divided(root)
    paths, held = train.paths + test.paths, len(train.paths)
    labels = torch.tensor(train.labels + test.labels, dtype=torch.int64)

    def encoded() -> Iterator[tuple[str, bytes]]:
        for path in paths:
            yield str(path), _read(path)

    def fill(pixels: "Pixels") -> ImageData:
        decode_images(encoded(), pixels, what=f"decoding {root.name} images", progress=progress)
        images = torch.from_numpy(pixels)
        parts = (images[:held], labels[:held], images[held:], labels[held:])
        return ImageData(root.resolve().name, classes, *parts, source, None)

    key = _key(root, paths, resolution, channels, progress)
    return decoded(key, (len(paths), channels, resolution, resolution), str(root), fill)


def folder_labels(root: Path) -> "tuple[tuple[str, ...], torch.Tensor]":
    """The classes of such a folder, and its training images' labels, int64 [N]; no image is read. Raises DataError."""
    import torch

    classes, train, _, _ = _divided(root)
    return classes, torch.tensor(train.labels, dtype=torch.int64)


def _divided(root: Path) -> tuple[tuple[str, ...], _Listing, _Listing, str]:
    """Classes, training and test images, and where they come from, for people."""
    import torch

    train_root, test_root = _parts(root)
    classes = _classes(train_root)
    listing = _listing(train_root, classes)
    if test_root is not None:
        if _classes(test_root) != classes:
            different = sorted(set(_classes(test_root)) ^ set(classes))
            raise DataError(f"{test_root} and {train_root} must have the same classes; {different[0]} is in one only")
        return classes, listing, _listing(test_root, classes), str(root)
    drawn = draw_test_images(torch.tensor(listing.labels, dtype=torch.int64), classes, str(root))
    train, test = (
        _Listing(
            tuple(listing.paths[index] for index in part.tolist()),
            tuple(listing.labels[index] for index in part.tolist()),
        )
        for part in drawn
    )
    return classes, train, test, f"{root} ({TEST_FRACTION:.0%} of every class drawn as test images)"


def draw_test_images(
    labels: "torch.Tensor", classes: tuple[str, ...], source: str
) -> "tuple[torch.Tensor, torch.Tensor]":
    """Divide a data set that has no test images of its own: indices (train, test) into labels, int64 [N]."""
    import torch

    for label, count in zip(classes, torch.bincount(labels, minlength=len(classes)).tolist(), strict=True):
        if count < 2:
            raise DataError(
                f"{source}: class {label} has {count} images; where a data set has no test images of its own, "
                "two of every class are needed, to draw one"
            )
    return stratified_split(labels, TEST_FRACTION, SPLIT_SEED)


def _parts(root: Path) -> tuple[Path, Path | None]:
    if not root.is_dir():
        raise DataError(f"{root} is not a folder")
    if not (root / "train").is_dir():
        return root, None
    tests = [root / name for name in TEST_NAMES if (root / name).is_dir()]
    return root / "train", tests[0] if tests else None


def _folders(parent: Path) -> list[Path]:
    try:
        return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"{parent} cannot be read: {error.strerror}") from error


def _classes(part: Path) -> tuple[str, ...]:
    names = tuple(path.name for path in _folders(part))
    if len(names) < 2:
        raise DataError(f"{part} needs at least two folders of images, one for each class, and has {len(names)}")
    return names


def _listing(part: Path, classes: tuple[str, ...]) -> _Listing:
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        nested = _folders(part / name)
        if nested:
            raise DataError(f"{nested[0]} is a folder inside a class; images must lie directly in {part / name}")
        found = sorted(
            path
            for path in (part / name).iterdir()
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
        )
        if not found:
            raise DataError(f"class folder {part / name} holds no image ({', '.join(IMAGE_SUFFIXES)})")
        paths += found
        labels += [label] * len(found)
    return _Listing(tuple(paths), tuple(labels))


def _read(path: Path) -> bytes:
    try:
        return read_bytes(path, what="image", max_bytes=MAX_ENCODED_BYTES)
    except InputError as error:
        raise DataError(str(error)) from error


def _key(root: Path, paths: tuple[Path, ...], resolution: int, channels: int, progress: Progress) -> str:
    """Address of what these files decode to: by their content, or where that takes minutes to read, by name, size and
    time of change."""
    digest = hashlib.sha256(json.dumps(["folder", _CACHE_VERSION, str(root.resolve()), resolution, channels]).encode())
    stats = [path.stat() for path in paths]
    by_content = sum(stat.st_size for stat in stats) <= MAX_HASHED_BYTES
    for done, (path, stat) in enumerate(zip(paths, stats, strict=True), start=1):
        name = str(path.relative_to(root)).encode("utf-8", "surrogateescape")
        content = _read(path) if by_content else f"{stat.st_size} {stat.st_mtime_ns}".encode()
        digest.update(hashlib.sha256(name).digest() + hashlib.sha256(content).digest())
        if done % 256 == 0 or done == len(paths):
            progress(done, len(paths), f"reading {root.name}")
    return digest.hexdigest()
