"""Fashion-MNIST: 60,000 + 10,000 grey 28x28 images of clothing in 10 classes (Xiao et al., arXiv 1708.07747)."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pocketnas_base.errors import DataError
from pocketnas_base.files import sha256_bytes, write_bytes
from pocketnas_base.progress import Progress, silent
from search.data.cache import cache_dir
from search.data.dataset import ImageData
from search.data.fetch import download, unpack_debian_package
from search.data.idx import find_idx, parse_idx, read_idx_content, unpack_idx

if TYPE_CHECKING:
    import numpy as np

    Arrays = dict[str, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@dataclass(frozen=True, slots=True)
class IdxPart:
    """One of the four files. sha256: of the uncompressed content."""

    field: str
    file: str
    shape: tuple[int, ...]
    sha256: str


# Taken from the content and not from the .gz files, because packagers compress anew: Debian's files differ from the
# authors' in the gzip header alone (with name and time put back, their md5 sums are the authors' published ones).
PARTS = (
    IdxPart(
        "train_images",
        "train-images-idx3-ubyte",
        (60_000, 28, 28),
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    IdxPart(
        "train_labels",
        "train-labels-idx1-ubyte",
        (60_000,),
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    IdxPart(
        "test_images",
        "t10k-images-idx3-ubyte",
        (10_000, 28, 28),
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    IdxPart(
        "test_labels",
        "t10k-labels-idx1-ubyte",
        (10_000,),
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)
MAX_FILE_BYTES = 64 * 1024**2
DEBIAN_PACKAGE = "dataset-fashion-mnist"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
MIRRORS = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
DOWNLOAD_TIMEOUT_S = 120


def load_fashion_mnist(
    folder: Path | None = None,
    *,
    progress: Progress = silent,
    debian_folder: Path = DEBIAN_FOLDER,
    mirrors: Sequence[str] = MIRRORS,
) -> ImageData:
    """All 70,000 images from the first place that has them: the user's cache, Debian's package if it is installed, the
    package fetched and unpacked without root, the authors' files over the network.

    Whatever the place, the content is checked by sha256; what was fetched is kept in the cache. With `folder`, only
    that folder is read. Raises DataError that lists every place and why it failed.
    """
    if folder is not None:
        return read_fashion_mnist(folder)
    cache = cache_dir() / "fashion-mnist"
    places: list[tuple[str, Callable[[], ImageData]]] = [
        (f"cache {cache}", lambda: read_fashion_mnist(cache)),
        (
            f"package {DEBIAN_PACKAGE} in {debian_folder}",
            lambda: read_fashion_mnist(debian_folder, source=f"Debian's package {DEBIAN_PACKAGE}"),
        ),
        ("apt-get", lambda: _from_debian_archive(cache, progress)),
    ]
    for base in mirrors:
        places.append((base, lambda base=base: _from_mirror(base, cache, progress)))  # type: ignore[misc]
    failures: list[str] = []
    for place, look in places:
        try:
            return look()
        except DataError as error:
            failures.append(f"{place}: {str(error).removeprefix('Fashion-MNIST: ')}")
        except OSError as error:
            failures.append(f"{place}: {error.strerror or error}")
    raise DataError(
        f"Fashion-MNIST was not found; looked at {'; '.join(failures)}. Install {DEBIAN_PACKAGE}, or name a "
        f"folder that holds its four files"
    )


def is_fashion_mnist(folder: Path) -> bool:
    """Whether the folder's small test label file is Fashion-MNIST's; the other IDX sets share the file names only."""
    part = PARTS[-1]
    path = find_idx(folder, part.file)
    return path is not None and sha256_bytes(read_idx_content(path, max_bytes=MAX_FILE_BYTES)) == part.sha256


def read_fashion_mnist(folder: Path, *, source: str | None = None) -> ImageData:
    """The data set from a folder with its four IDX files, compressed or not. Raises DataError unless genuine."""
    arrays: Arrays = {}
    for part in PARTS:
        path = find_idx(folder, part.file)
        if path is None:
            raise DataError(f"Fashion-MNIST: {part.file}[.gz] is not in {folder}")
        arrays[part.field] = _checked(part, read_idx_content(path, max_bytes=MAX_FILE_BYTES), str(path))
    return _assembled(arrays, source or str(folder))


def _checked(part: IdxPart, content: bytes, source: str) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    array = parse_idx(content, dimensions=len(part.shape), source=source)
    if array.shape != part.shape or sha256_bytes(content) != part.sha256:
        raise DataError(f"Fashion-MNIST: {source} is not the published file (sha256 of its content differs)")
    return array


def _assembled(arrays: "Arrays", source: str) -> ImageData:
    import torch

    # Copies, because torch warns of arrays that must not be written to.
    tensors = {field: torch.from_numpy(array.copy()) for field, array in arrays.items()}
    return ImageData(
        name="fashion-mnist",
        classes=CLASSES,
        train_images=tensors["train_images"].unsqueeze(1),
        train_labels=tensors["train_labels"].to(torch.int64),
        test_images=tensors["test_images"].unsqueeze(1),
        test_labels=tensors["test_labels"].to(torch.int64),
        source=source,
        licence="MIT",
    )


def _from_debian_archive(cache: Path, progress: Progress) -> ImageData:
    with tempfile.TemporaryDirectory(prefix="pocketnas-") as temporary:
        root = unpack_debian_package(DEBIAN_PACKAGE, Path(temporary), progress=progress)
        folder = root / DEBIAN_FOLDER.relative_to("/")
        data = read_fashion_mnist(folder, source=f"Debian's package {DEBIAN_PACKAGE}, fetched with apt-get")
        files = {}
        for part in PARTS:
            path = find_idx(folder, part.file)
            assert path is not None
            files[path.name] = path.read_bytes()
    return _kept(cache, files, data)


def _from_mirror(base: str, cache: Path, progress: Progress) -> ImageData:
    arrays: Arrays = {}
    files: dict[str, bytes] = {}
    for part in PARTS:
        name = f"{part.file}.gz"
        try:
            files[name] = download(
                base + name, max_bytes=MAX_FILE_BYTES, timeout_s=DOWNLOAD_TIMEOUT_S, progress=progress
            )
        except DataError as error:
            raise DataError(f"{name}: {error}") from None
        content = unpack_idx(files[name], max_bytes=MAX_FILE_BYTES, source=name)
        arrays[part.field] = _checked(part, content, name)
    return _kept(cache, files, _assembled(arrays, base))


def _kept(cache: Path, files: dict[str, bytes], data: ImageData) -> ImageData:
    """Put fetched files into the cache. A full or read-only disk stops nothing, but shows in the source."""
    from dataclasses import replace

    try:
        for name, content in files.items():
            write_bytes(cache / name, content)
    except OSError as error:
        return replace(data, source=f"{data.source} (not kept in {cache}: {error.strerror})")
    return data
