"""The images that `pocketnas export` calibrates with and checks on, from whatever the user names."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.subject import MAX_CALIBRATION_IMAGES
from pocketnas_base.errors import DataError, InputError
from pocketnas_base.files import read_bytes
from pocketnas_base.progress import Progress, silent
from search.data.dataset import chunks

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, eq=False)
class NamedImages:
    """uint8 pixels or prepared float32, [N, C, H, W]. labels: int64 [N], indices into `classes`; None where it has
    none."""

    images: "torch.Tensor"
    labels: "torch.Tensor | None"
    classes: tuple[str, ...] | None


def named_images(
    spec: str, shape: tuple[int, int, int], *, what: str, part: str, progress: Progress = silent
) -> NamedImages:
    """The images that `spec` names, for a network that takes [C, H, W].

    spec: a folder of images, whose own folders, if it has any, are classes; Parquet files, IDX files, a known name or
      `module:function`, as `[data]` of a configuration has them; a run's CONFIG.toml, which names one of these; or a
      .npy file of [N, C, H, W]: uint8 pixels, or float32 as the network takes them.
    what: for messages. part: `train` or `test`, where the data has both.
    Raises InputError and DataError, in one line, also where there are no images or they are of another shape.
    """
    path = Path(spec).expanduser()
    if path.suffix == ".npy":
        return NamedImages(_array(path, shape, what), None, None)
    if path.suffix == ".toml":
        from pocketnas.config import load_config

        return named_images(load_config(path)[0].data.source, shape, what=what, part=part, progress=progress)
    channels, height, width = shape
    if height != width or channels not in (1, 3):
        raise InputError(
            f"{what} {spec}: images become squares of 1 or 3 channels, and the network takes {list(shape)}; "
            "give them as a .npy file of that shape"
        )
    if path.is_dir() and (plain := _plain_images(path)):
        return NamedImages(_decoded(_spread(plain), shape, what, progress), None, None)
    from search.data.load import load_data

    data = load_data(spec, resolution=height, channels=channels, progress=progress)
    if part == "train":
        return NamedImages(data.train_images, data.train_labels, data.classes)
    return NamedImages(data.test_images, data.test_labels, data.classes)


def spread_over(images: "torch.Tensor", count: int) -> "torch.Tensor":
    """At most `count` of the images, evenly spread."""
    import torch

    if len(images) <= count:
        return images
    return images[torch.tensor(_places(len(images), count))]


def _spread(paths: list[Path]) -> list[Path]:
    """As many as are ever used of images without labels: no others are decoded."""
    return [paths[place] for place in _places(len(paths), min(len(paths), MAX_CALIBRATION_IMAGES))]


def _places(length: int, count: int) -> list[int]:
    """`count` places, evenly spread over so many."""
    return [number * length // count for number in range(count)]


def labels_as(named: NamedImages, class_names: tuple[str, ...] | None, outputs: int, what: str) -> "torch.Tensor":
    """Labels as places in a network's output: by name where the network's classes have these, else by number.

    Raises InputError when the images have no labels, or classes that the network does not know.
    """
    import torch

    if named.labels is None or named.classes is None:
        raise InputError(f"{what} have no labels: give a folder of classes, Parquet files, or another labelled set")
    if named.classes == class_names:
        return named.labels
    unknown = [name for name in named.classes if class_names is not None and name not in class_names]
    if class_names is not None and not unknown:
        if twice := [name for name in named.classes if class_names.count(name) > 1]:
            raise InputError(
                f"{what}: {twice[0]!r} stands for several of the network's classes; tell them apart in --labels"
            )
        places = torch.tensor([class_names.index(name) for name in named.classes])
        return places[named.labels]
    missing = unknown[0] if unknown else None
    if missing is not None and len(unknown) < len(named.classes):
        raise InputError(f"{what}: {missing!r} is none of its labels, as other classes are; name it as --labels does")
    if len(named.classes) != outputs:
        reason = f"; {missing!r} is none of its labels" if missing is not None else "; name its classes with --labels"
        raise InputError(f"{what} have {len(named.classes)} classes, the network {outputs}{reason}")
    return named.labels


def _plain_images(folder: Path) -> list[Path]:
    """The images right in a folder that has no folders of classes."""
    from search.data.decode import IMAGE_SUFFIXES

    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error
    if any(entry.is_dir() and not entry.name.startswith(".") for entry in entries):
        return []
    found = [entry for entry in entries if entry.suffix.lower() in IMAGE_SUFFIXES]
    if not found and not any(entry.suffix == ".parquet" or "idx" in entry.name for entry in entries):
        raise DataError(f"{folder} holds no images ({', '.join(IMAGE_SUFFIXES)})")
    return found


def _decoded(paths: list[Path], shape: tuple[int, int, int], what: str, progress: Progress) -> "torch.Tensor":
    import numpy as np
    import torch

    from search.data.decode import MAX_ENCODED_BYTES, check_memory, decode_images

    check_memory(len(paths), shape[1], shape[0], what)
    pixels = np.empty((len(paths), *shape), np.uint8)
    encoded = ((str(path), read_bytes(path, what="image", max_bytes=MAX_ENCODED_BYTES)) for path in paths)
    decode_images(encoded, pixels, what=f"decoding {what}", progress=progress)
    return torch.from_numpy(pixels)


def _array(path: Path, shape: tuple[int, int, int], what: str) -> "torch.Tensor":
    import numpy as np
    import torch

    try:
        # Mapped, so that it need not fit into memory; written to by nobody, but torch warns of what cannot be.
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except OSError as error:
        raise DataError(f"{what} {path} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # of a damaged header its parser raises whatever Python's own does
        raise DataError(f"{what} {path} is no .npy file of numbers: {' '.join(str(error).split()):.160}") from None
    if not isinstance(array, np.ndarray):
        raise DataError(f"{what} {path} is an archive of arrays (.npz); save the images alone, by numpy.save")
    if array.ndim != 4 or array.shape[1:] != shape or len(array) == 0:
        raise DataError(f"{what} {path} holds {list(array.shape)}; the network takes [N, {', '.join(map(str, shape))}]")
    if array.dtype not in (np.uint8, np.float32):
        raise DataError(f"{what} {path} holds {array.dtype}; uint8 pixels or float32 are taken")
    images = torch.from_numpy(array)
    if array.dtype == np.float32 and not all(bool(part.isfinite().all()) for part in chunks(images)):
        raise DataError(f"{what} {path} holds numbers that are none (NaN or infinite)")
    return images
