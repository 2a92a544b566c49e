"""One door to every kind of data: a name, a folder, Parquet files or a function, in the form a space asks for."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pocketnas_base.errors import DataError, InputError
from pocketnas_base.progress import Progress, silent
from search.data.dataset import ImageData, split
from search.data.fashion_mnist import CLASSES, PARTS, IdxPart, is_fashion_mnist, load_fashion_mnist
from search.data.fit import fit_images
from search.data.folder import folder_labels, read_folder
from search.data.function import read_function
from search.data.idx import find_idx, read_idx
from search.data.parquet import has_parquet, parquet_labels, read_parquet
from search.user_function import is_function_spec

if TYPE_CHECKING:
    import torch

FASHION_MNIST = "fashion-mnist"
_KNOWN = (
    f"{FASHION_MNIST}, a folder of images by class, a .parquet file or a folder of train*.parquet files, or "
    f"module:function of your own"
)


def check_source(spec: str) -> None:
    """Raises InputError where `spec` names nothing; what it names is not looked into."""
    path = Path(spec).expanduser()
    named = path.is_dir() or (path.suffix == ".parquet" and path.is_file())
    if not (named or spec == FASHION_MNIST or is_function_spec(spec)):
        raise InputError(f"unknown data {spec!r}: no such name, folder or .parquet file; known: {_KNOWN}")


def check_data(spec: str, *, resolution: int, channels: int, classes: int, holdout: int) -> None:
    """Refuse data that no run of a space with so many classes could work with, or of which `holdout` training images
    cannot be held out: by the labels alone, no image is decoded. A function of the user's own is called for them.

    Raises InputError and DataError as `load_data` and `split` would.
    """
    names, labels = _labels(spec, resolution, channels)
    _check_classes(spec, len(names), classes)
    split(labels, holdout, seed=0)


def load_data(
    spec: str, *, resolution: int, channels: int, classes: int | None = None, progress: Progress = silent
) -> ImageData:
    """Load the data set that `spec` names, as square images of `resolution` pixels and `channels` (1 or 3) channels.

    spec: `fashion-mnist`, a folder of images by class, a folder of IDX files (MNIST's four names), a .parquet file or a
    folder of them, or `module:function` of the user's own (function.py). classes: how many the space has; None accepts
    any number.
    Raises InputError for an unknown spec, DataError when the data cannot be used.
    """
    data = _load(spec, resolution, channels, progress)
    if classes is not None:
        _check_classes(spec, len(data.classes), classes)
    return data


def _check_classes(spec: str, found: int, asked: int) -> None:
    if found != asked:
        raise DataError(
            f"{spec} has {found} classes where {asked} are asked for; take a space file of your own that says "
            f"classes = {found} (docs/spaces.md)"
        )


def _labels(spec: str, resolution: int, channels: int) -> "tuple[tuple[str, ...], torch.Tensor]":
    """Classes, and the training images' labels, int64 [N]."""
    if spec == FASHION_MNIST:
        return _fashion_mnist_labels()
    path = Path(spec).expanduser()
    if path.is_dir():
        if find_idx(path, PARTS[0].file):
            return _fashion_mnist_labels() if is_fashion_mnist(path) else _idx_labels(path)
        return parquet_labels(path) if has_parquet(path) else folder_labels(path)
    if path.suffix == ".parquet":
        return parquet_labels(path)
    check_source(spec)
    data = read_function(spec, resolution=resolution, channels=channels)
    return data.classes, data.train_labels


def _fashion_mnist_labels() -> "tuple[tuple[str, ...], torch.Tensor]":
    """In another order than its own: as many of each class, for which nothing need be fetched."""
    import torch

    return CLASSES, torch.arange(len(CLASSES)).repeat(PARTS[0].shape[0] // len(CLASSES))


def _idx_labels(folder: Path) -> "tuple[tuple[str, ...], torch.Tensor]":
    import torch

    labels = _idx_part(folder, PARTS[1]).to(torch.int64)
    return tuple(str(number) for number in range(max(labels.tolist(), default=-1) + 1)), labels


def _idx_part(folder: Path, part: IdxPart) -> "torch.Tensor":
    import torch

    path = find_idx(folder, part.file)
    if path is None:
        raise DataError(f"{folder} holds {PARTS[0].file} but not {part.file}[.gz]")
    return torch.from_numpy(read_idx(path, dimensions=len(part.shape)).copy())


def _load(spec: str, resolution: int, channels: int, progress: Progress) -> ImageData:
    if spec == FASHION_MNIST:
        return _fitted(load_fashion_mnist(progress=progress), resolution, channels)
    path = Path(spec).expanduser()
    if path.is_dir():
        if find_idx(path, PARTS[0].file):
            native = load_fashion_mnist(path) if is_fashion_mnist(path) else _read_idx_folder(path)
            return _fitted(native, resolution, channels)
        reader = read_parquet if has_parquet(path) else read_folder
        return reader(path, resolution=resolution, channels=channels, progress=progress)
    if path.suffix == ".parquet":
        return read_parquet(path, resolution=resolution, channels=channels, progress=progress)
    check_source(spec)
    return read_function(spec, resolution=resolution, channels=channels)


def _fitted(data: ImageData, resolution: int, channels: int) -> ImageData:
    if (data.resolution, data.channels) == (resolution, channels):
        return data
    return replace(
        data,
        train_images=fit_images(data.train_images, resolution=resolution, channels=channels),
        test_images=fit_images(data.test_images, resolution=resolution, channels=channels),
    )


def _read_idx_folder(folder: Path) -> ImageData:
    """Another data set in MNIST's four files; its classes are numbers."""
    import torch

    classes, labels = _idx_labels(folder)
    train_images, _, test_images, test_labels = (_idx_part(folder, part) for part in PARTS)
    return ImageData(
        folder.resolve().name,
        classes,
        train_images.unsqueeze(1),
        labels,
        test_images.unsqueeze(1),
        test_labels.to(torch.int64),
        str(folder),
        None,
    )
