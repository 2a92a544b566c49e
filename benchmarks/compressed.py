"""Images as people keep them, compressed in Parquet files: what it takes to decode them, and what comes out afterwards.

The product decodes every image once, on all cores, before the first step, and keeps the pixels in the user's cache;
epochs gather, augment and normalise pixels. So there are two figures: of the decoding, and of the batches behind it.
"""

import io
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from search.data.dataset import ImageData
from search.data.load import load_data
from search.space import Space

ENCODINGS = ("JPEG", "PNG")
TEST_IMAGES = 64
# Photographs vary slowly from pixel to pixel, with some noise on top: pure noise would be larger and slower to decode.
COARSE, NOISE = 8, 6.0


@dataclass(frozen=True)
class Decoded:
    """What one set of compressed images became. count: images; file_bytes: of their Parquet files; decode_s: from files
    to pixels, kept in an empty cache; cached_s: the same again, from the cache."""

    data: ImageData
    count: int
    file_bytes: int
    decode_s: float
    cached_s: float

    @property
    def decoded_per_s(self) -> float:
        """Images per second of the decoding."""
        return self.count / self.decode_s


@contextmanager
def decoded_images(space: Space, count: int, encoding: str, pixels: int) -> Iterator[Decoded]:
    """`count` training images of `pixels` x `pixels`, written to Parquet and read as the product reads them.

    The user's own cache is left alone. Files are in the operating system's memory when they are read: the disk is not
    what is measured.
    """
    with tempfile.TemporaryDirectory(prefix="pocketnas-") as name:
        folder = Path(name)
        images = folder / "images"
        images.mkdir()
        write_images(images / "train.parquet", count, space, encoding, pixels)
        write_images(images / "test.parquet", TEST_IMAGES, space, encoding, pixels)
        size = sum(file.stat().st_size for file in images.iterdir())
        with _cache_in(folder / "cache"):
            data, decode_s = _loaded(images, space)
            again, cached_s = _loaded(images, space)
            if again.fingerprint != data.fingerprint:
                raise SystemExit("decoded images are not what the cache gave back")
            yield Decoded(data, count + TEST_IMAGES, size, decode_s, cached_s)


@contextmanager
def _cache_in(folder: Path) -> Iterator[None]:
    before = os.environ.get("POCKETNAS_CACHE")
    os.environ["POCKETNAS_CACHE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["POCKETNAS_CACHE"]
        else:
            os.environ["POCKETNAS_CACHE"] = before


def _loaded(folder: Path, space: Space) -> tuple[ImageData, float]:
    started = time.perf_counter()
    data = load_data(str(folder), resolution=space.resolution, channels=space.image_channels, classes=space.classes)
    return data, time.perf_counter() - started


def write_images(path: Path, count: int, space: Space, encoding: str, pixels: int) -> None:
    """A Parquet file of `count` made-up photographs (columns image and label), labels in turn."""
    drawn = np.random.default_rng(count)
    encoded = [encode(photograph(drawn, pixels, space.image_channels), encoding) for _ in range(count)]
    # The highest label of the training file says how many classes there are.
    labels = [space.classes - 1 - number % space.classes for number in range(count)]
    pq.write_table(pa.table({"image": pa.array(encoded, pa.binary()), "label": pa.array(labels, pa.int64())}), path)


def photograph(drawn: np.random.Generator, pixels: int, channels: int) -> np.ndarray:  # type: ignore[type-arg]
    """uint8 [pixels, pixels, channels]: coarse colours, smoothly between them, and noise."""
    coarse = Image.fromarray(drawn.integers(0, 256, (COARSE, COARSE, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((pixels, pixels), Image.Resampling.BICUBIC), dtype=np.float32)[..., :channels]
    noisy = smooth + drawn.normal(0.0, NOISE, smooth.shape)
    return noisy.clip(0, 255).astype(np.uint8)


def encode(image: np.ndarray, encoding: str) -> bytes:  # type: ignore[type-arg]
    """A whole JPEG (quality 90) or PNG file of uint8 [H, W, C]."""
    stream = io.BytesIO()
    options = {"quality": 90} if encoding == "JPEG" else {}
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(stream, encoding, **options)
    return stream.getvalue()
