"""One door to every kind of data: a name, a folder, Parquet files or a function, in the form a space asks for."""

from dataclasses import replace
from pathlib import Path

from pocketnas_base.errors import DataError, InputError
from pocketnas_base.progress import Progress, silent
from search.data.dataset import ImageData
from search.data.fashion_mnist import PARTS, is_fashion_mnist, load_fashion_mnist
from search.data.fit import fit_images
from search.data.folder import read_folder
from search.data.function import read_function
from search.data.idx import find_idx, read_idx
from search.data.parquet import has_parquet, read_parquet
from search.user_function import is_function_spec

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
    if classes is not None and len(data.classes) != classes:
        raise DataError(
            f"{spec} has {len(data.classes)} classes where {classes} are asked for; change the space's classes"
        )
    return data


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

    tensors: dict[str, torch.Tensor] = {}
    for part in PARTS:
        path = find_idx(folder, part.file)
        if path is None:
            raise DataError(f"{folder} holds {PARTS[0].file} but not {part.file}[.gz]")
        tensors[part.field] = torch.from_numpy(read_idx(path, dimensions=len(part.shape)).copy())
    labels = tensors["train_labels"].tolist()
    classes = tuple(str(number) for number in range(max(labels, default=-1) + 1))
    return ImageData(
        folder.resolve().name,
        classes,
        tensors["train_images"].unsqueeze(1),
        tensors["train_labels"].to(torch.int64),
        tensors["test_images"].unsqueeze(1),
        tensors["test_labels"].to(torch.int64),
        str(folder),
        None,
    )
