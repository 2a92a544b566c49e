"""Decoded images, kept for the next run: in memory where they fit, else mapped from a file of the user's cache."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketnas_base.errors import DataError, InputError
from pocketnas_base.files import read_json, replacing, write_json
from search.data.cache import MAX_DECODED_BYTES, cache_dir, load_decoded, store_decoded
from search.data.dataset import ImageData
from search.data.decode import memory_for_images

if TYPE_CHECKING:
    from search.data.decode import Pixels

MAX_HASHED_BYTES = 8 * 1024**3
"""Source files of up to so many bytes are read through at every start, to see whether they have changed."""
MAX_RECORD_BYTES = 1024**3

Shape = tuple[int, int, int, int]


def decoded(key: str, shape: Shape, source: str, fill: "Callable[[Pixels], ImageData]") -> ImageData:
    """The data set that was kept under `key`; or the one that `fill` makes of pixels [N, C, H, H], and keeps.

    fill: decodes into the whole array, training images first, and returns the data set made of it. Raises DataError
    where the images fit neither into memory nor onto the disk of the cache.
    """
    import numpy as np

    size = int(np.prod(shape, dtype=np.int64))
    if size > min(MAX_DECODED_BYTES, memory_for_images()):
        kept = _load_mapped(key, shape)
        if kept is None:
            _store_mapped(key, shape, source, fill)
            kept = _load_mapped(key, shape)
        if kept is None:
            raise DataError(f"{source}: its decoded images in {cache_dir()} were changed meanwhile; run it again")
        return kept
    kept = load_decoded(key)
    if kept is None:
        kept = fill(np.empty(shape, dtype=np.uint8))
        store_decoded(key, kept)
    return kept


def _paths(key: str) -> tuple[Path, Path]:
    """The file of pixels, and the record of what they are; the record is written last."""
    folder = cache_dir() / "decoded"
    return folder / f"{key}.pixels", folder / f"{key}.json"


def _store_mapped(key: str, shape: Shape, source: str, fill: "Callable[[Pixels], ImageData]") -> None:
    import numpy as np

    pixels_path, record_path = _paths(key)
    size = int(np.prod(shape, dtype=np.int64))
    try:
        with replacing(pixels_path) as temporary:
            with temporary.open("r+b") as stream:
                # A mapped file that the disk has no room for would end the process at some write.
                os.posix_fallocate(stream.fileno(), 0, size)
            data = fill(np.memmap(temporary, dtype=np.uint8, mode="r+", shape=shape))
            record = {
                "name": data.name,
                "classes": data.classes,
                "source": data.source,
                "licence": data.licence,
                "train_labels": data.train_labels.tolist(),
                "test_labels": data.test_labels.tolist(),
                "mean": data.mean,
                "std": data.std,
                "fingerprint": data.fingerprint,
            }
        write_json(record_path, record)
    except OSError as error:
        raise DataError(
            f"{source}: decoded images of {size / 1e9:.1f} GB are kept in {cache_dir()}, which failed: "
            f"{error.strerror or error}; make room there, or let POCKETNAS_CACHE name another folder"
        ) from error


def _load_mapped(key: str, shape: Shape) -> ImageData | None:
    """None where there is none that is whole. Its content is taken at its word: reading it through takes minutes."""
    import torch

    pixels_path, record_path = _paths(key)
    size = torch.Size(shape).numel()
    try:
        if pixels_path.stat().st_size != size:
            return None
        about: Any = read_json(record_path, what="record of decoded images", max_bytes=MAX_RECORD_BYTES)
        train, test = (torch.tensor(about[f"{part}_labels"], dtype=torch.int64) for part in ("train", "test"))
        images = torch.from_file(str(pixels_path), shared=False, size=size, dtype=torch.uint8).view(shape)
        data = ImageData(
            about["name"],
            tuple(about["classes"]),
            images[: len(train)],
            train,
            images[len(train) :],
            test,
            about["source"],
            about["licence"],
        )
        return data.recalling(about["fingerprint"], about["mean"], about["std"])
    except (InputError, OSError, ValueError, TypeError, KeyError):
        return None
