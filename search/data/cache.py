"""The user's cache: what was fetched or decoded once and need not be again."""

import contextlib
import json
import os
from pathlib import Path

from pocketnas_base.errors import DataError
from pocketnas_base.files import replacing
from search.data.dataset import ImageData

MAX_DECODED_BYTES = 4 * 1024**3
_PARTS = ("train_images", "train_labels", "test_images", "test_labels")


def cache_dir() -> Path:
    """The folder of the user's cache; the environment variable POCKETNAS_CACHE names another."""
    override = os.environ.get("POCKETNAS_CACHE")
    if override:
        return Path(override)
    import platformdirs

    return Path(platformdirs.user_cache_dir("pocketnas"))


def _decoded_path(key: str) -> Path:
    return cache_dir() / "decoded" / f"{key}.safetensors"


def load_decoded(key: str) -> ImageData | None:
    """A data set that `store_decoded` wrote under `key`, or None when there is none that is whole and unchanged."""
    from safetensors import SafetensorError, safe_open

    path = _decoded_path(key)
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as stream:
            about = json.loads(stream.metadata()["about"])
            tensors = {part: stream.get_tensor(part) for part in _PARTS}
        data = ImageData(
            name=about["name"],
            classes=tuple(about["classes"]),
            source=about["source"],
            licence=about["licence"],
            **tensors,
        )
        return data if data.fingerprint == about["fingerprint"] else None
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, DataError):
        return None


def store_decoded(key: str, data: ImageData) -> None:
    """Keep a decoded data set for the next run. Where the cache cannot be written, nothing is kept."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {part: getattr(data, part).contiguous() for part in _PARTS}
    if sum(tensor.nbytes for tensor in tensors.values()) > MAX_DECODED_BYTES:
        return
    about = {
        "name": data.name,
        "classes": data.classes,
        "source": data.source,
        "licence": data.licence,
        "fingerprint": data.fingerprint,
    }
    # The cache saves time only: a full or read-only disk must not stop a run that has its data in memory.
    with contextlib.suppress(OSError, SafetensorError), replacing(_decoded_path(key)) as temporary:
        save_file(tensors, temporary, metadata={"about": json.dumps(about)})
