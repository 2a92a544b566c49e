"""Encoded images (PNG, JPEG, WebP, BMP) to uint8 arrays of one size. Nothing about the bytes is trusted."""

import io
import os
import struct
import warnings
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

from pocketnas_base.errors import DataError, InputError
from pocketnas_base.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
MAX_ENCODED_BYTES = 64 * 1024**2
MAX_PIXELS = 64_000_000
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_MODES = {1: "L", 3: "RGB"}
_CHUNK = 64


def memory_for_images() -> int:
    """How many bytes of images this machine may hold in memory: half of what it has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def check_form(resolution: int, channels: int, source: str) -> None:
    """Refuse what cannot be decoded to. Raises InputError."""
    if channels not in _MODES:
        raise InputError(f"{source}: images can be brought to 1 or 3 channels, not {channels}")
    if resolution < 1:
        raise InputError(f"{source}: resolution must be at least 1 pixel, not {resolution}")


def check_memory(count: int, resolution: int, channels: int, source: str) -> None:
    """Refuse what cannot be held. Raises DataError."""
    needed = count * channels * resolution**2
    if needed > memory_for_images():
        raise DataError(
            f"{source}: {count} images of {channels}x{resolution}x{resolution} need {needed / 1e9:.1f} GB, more than "
            f"half of this machine's memory; use fewer images or a lower resolution"
        )


def decode_image(data: bytes, *, name: str, resolution: int, channels: int) -> "Pixels":
    """One image as uint8 [channels, resolution, resolution]: upright, short side resized, centre cropped.

    channels: 1 (luma, ITU-R 601) or 3 (RGB). Raises DataError naming `name` when the bytes are no whole image of
    a known format, or when the image is larger than is decoded.
    """
    import numpy as np
    from PIL import Image, ImageOps, UnidentifiedImageError

    if len(data) > MAX_ENCODED_BYTES:
        raise DataError(f"image {name} has {len(data)} bytes; at most {MAX_ENCODED_BYTES} are read")
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=_FORMATS)
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise DataError(f"image {name} has {width}x{height} pixels; at most {MAX_PIXELS} in all are decoded")
        # JPEG decodes to a fraction of its size at a fraction of the time; twice the target keeps the resize clean.
        image.draft(None, (2 * resolution, 2 * resolution))
        image.load()
        image = ImageOps.exif_transpose(image)
        square = ImageOps.fit(_to_mode(image, channels), (resolution, resolution), Image.Resampling.BILINEAR)
    except UnidentifiedImageError:
        raise DataError(
            f"image {name} is damaged or not a PNG, JPEG, WebP or BMP image; replace or remove it"
        ) from None
    except Image.DecompressionBombError:
        raise DataError(f"image {name} has too many pixels; at most {MAX_PIXELS} are decoded") from None
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error, zlib.error) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"image {name} is truncated or damaged: {reason}; replace or remove it") from None
    pixels = np.asarray(square, dtype=np.uint8)
    return pixels[np.newaxis] if channels == 1 else pixels.transpose(2, 0, 1)


def _to_mode(image: "Image", channels: int) -> "Image":
    """Grey or RGB; 16-bit grey keeps its upper 8 bits, where Pillow's own conversion would clip."""
    import numpy as np
    from PIL import Image

    if image.mode.startswith("I;16") or image.mode == "I":
        upper = np.clip(np.asarray(image).astype(np.int64) >> 8, 0, 255).astype(np.uint8)
        image = Image.fromarray(upper)
    return image.convert(_MODES[channels])


def decode_images(
    encoded: Iterator[tuple[str, bytes]],
    pixels: "Pixels",
    *,
    places: Sequence[int] | None = None,
    what: str,
    progress: Progress,
) -> None:
    """Decode images, given as (name, bytes), on all cores into pixels [count, channels, resolution, resolution].

    places: which of them each image fills; None: one after another. Bytes are drawn from `encoded` only a few chunks
    ahead of the decoding. Raises DataError at the first bad image, or when `encoded` ends early or late.
    """
    from PIL import Image

    count, channels, resolution, _ = pixels.shape

    def work(start: int, chunk: list[tuple[str, bytes]]) -> int:
        for number, (name, data) in enumerate(chunk, start):
            place = number if places is None else places[number]
            pixels[place] = decode_image(data, name=name, resolution=resolution, channels=channels)
        return len(chunk)

    workers = os.cpu_count() or 1
    done = submitted = 0
    pending: deque[Future[int]] = deque()
    with warnings.catch_warnings(), ThreadPoolExecutor(workers) as pool:
        # MAX_PIXELS refuses such images, in one line.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            while chunk := list(islice(encoded, _CHUNK)):
                if submitted + len(chunk) > count:
                    raise DataError(f"{what}: more images were read than the {count} announced")
                pending.append(pool.submit(work, submitted, chunk))
                submitted += len(chunk)
                if len(pending) > 2 * workers:
                    done += pending.popleft().result()
                    progress(done, count, what)
            while pending:
                done += pending.popleft().result()
                progress(done, count, what)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    if done != count:
        raise DataError(f"{what}: {done} images were read where {count} were announced")
