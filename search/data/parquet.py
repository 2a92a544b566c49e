"""Parquet files of encoded images and labels, in the column layout that published data sets use."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketnas_base.errors import DataError
from pocketnas_base.files import sha256_file
from pocketnas_base.progress import Progress, silent
from search.data.dataset import ImageData
from search.data.decode import check_form, decode_images
from search.data.decoded import MAX_HASHED_BYTES, decoded
from search.data.folder import TEST_FRACTION, TEST_NAMES, draw_test_images

if TYPE_CHECKING:
    import torch

    from search.data.decode import Pixels

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMN = "label"
MAX_CLASSES = 65_536
_CACHE_VERSION = 1
_BATCH_ROWS = 512


@dataclass(frozen=True, slots=True)
class _Labels:
    """What the rows of one part say: their label, and the folder in their image's path where there is one."""

    numbers: tuple[int | str, ...]
    folders: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of all files. labels: int64 [N], those of the `held` training images first. places: where among them
    each row's image belongs; None: one after another. source: for people."""

    files: tuple[Path, ...]
    classes: tuple[str, ...]
    labels: "torch.Tensor"
    held: int
    places: list[int] | None
    source: str


def has_parquet(folder: Path) -> bool:
    """Whether `folder` (or its subfolder `data`, the layout of published sets) holds training rows in Parquet."""
    return bool(_files(folder, ("train",)))


def read_parquet(path: Path, *, resolution: int, channels: int, progress: Progress = silent) -> ImageData:
    """Decode the images of one .parquet file, or of a folder with train*.parquet and test*.parquet (or val*).

    Columns: `img` or `image` (encoded bytes, or a struct {bytes, path}) and `label` (whole numbers from 0, or text).
    Class names come from the schema's `huggingface` metadata, else from the folders in the images' paths, else they are
    the numbers. Without test files a fifth of every class is drawn with a fixed seed. Decoded images are kept in the
    user's cache, addressed by content. Raises DataError naming the file, and the row where one is at fault.
    """
    import torch

    check_form(resolution, channels, str(path))
    rows, name = _divided(path), path.resolve().stem
    labels, held = rows.labels, rows.held

    def fill(pixels: "Pixels") -> ImageData:
        what = f"decoding {name} images"
        decode_images(_encoded(rows.files), pixels, places=rows.places, what=what, progress=progress)
        images = torch.from_numpy(pixels)
        parts = (images[:held], labels[:held], images[held:], labels[held:])
        return ImageData(name, rows.classes, *parts, rows.source, None)

    key = _key(path, rows.files, resolution, channels)
    return decoded(key, (len(labels), channels, resolution, resolution), str(path), fill)


def parquet_labels(path: Path) -> "tuple[tuple[str, ...], torch.Tensor]":
    """The classes of such files, and their training rows' labels, int64 [N]; no image is read. Raises DataError."""
    rows = _divided(path)
    return rows.classes, rows.labels[: rows.held]


def _divided(path: Path) -> _Rows:
    import torch

    train_files, test_files = _parts(path)
    train, test = _labels(train_files), _labels(test_files) if test_files else None
    classes = _class_names(train_files[0], train, test, str(path))
    labels = _numbers(train, classes, str(train_files[0]))
    if test is not None:
        both = torch.cat([labels, _numbers(test, classes, str(test_files[0]))])
        return _Rows((*train_files, *test_files), classes, both, len(labels), None, str(path))
    kept, drawn = draw_test_images(labels, classes, str(path))
    order = torch.cat([kept, drawn])
    source = f"{path} ({TEST_FRACTION:.0%} of every class drawn as test images)"
    return _Rows(train_files, classes, labels[order], len(kept), order.argsort().tolist(), source)


def _key(path: Path, files: tuple[Path, ...], resolution: int, channels: int) -> str:
    """Address of what these files decode to: by their content, or where that takes minutes to read, by name, size and
    time of change."""
    digest = hashlib.sha256(json.dumps(["parquet", _CACHE_VERSION, str(path.resolve()), resolution, channels]).encode())
    stats = [file.stat() for file in files]
    by_content = sum(stat.st_size for stat in stats) <= MAX_HASHED_BYTES
    for file, stat in zip(files, stats, strict=True):
        try:
            content = sha256_file(file) if by_content else f"{stat.st_size} {stat.st_mtime_ns}"
        except OSError as error:
            raise DataError(f"Parquet file {file} cannot be read: {error.strerror}") from error
        digest.update(f"{file.name} {content}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _files(folder: Path, prefixes: tuple[str, ...]) -> tuple[Path, ...]:
    for place in (folder, folder / "data"):
        for prefix in prefixes:
            found = sorted(file for file in place.glob(f"{prefix}*.parquet") if file.is_file())
            if found:
                return tuple(found)
    return ()


def _parts(path: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    if path.is_file():
        return (path,), ()
    if not path.is_dir():
        raise DataError(f"Parquet data {path} does not exist")
    train = _files(path, ("train",))
    if not train:
        raise DataError(f"{path} holds no train*.parquet file")
    return train, _files(path, TEST_NAMES)


def _open(file: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        reader = pq.ParquetFile(file, memory_map=True)
        _ = reader.schema_arrow.names  # a ValueError where one is not UTF-8
        return reader
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{file} is not a whole Parquet file: {_one_line(error)}") from None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where a file has its encoded bytes and, if anywhere, the paths they once had; in pyarrow's dotted names."""

    content: str
    path: str | None


def _columns(file: Path, schema: Any) -> _Columns:
    """The image columns' names, after checking the types of image and label."""
    import pyarrow.types as types

    image = next((name for name in IMAGE_COLUMNS if name in schema.names), None)
    if image is None or LABEL_COLUMN not in schema.names:
        raise DataError(
            f"{file} needs the columns {' or '.join(IMAGE_COLUMNS)} and {LABEL_COLUMN}; "
            f"it has {', '.join(schema.names)}"
        )
    kind, content, path = schema.field(image).type, image, None
    if types.is_struct(kind):
        fields = {field.name: field.type for field in kind}
        kind, content, path = fields.get("bytes"), f"{image}.bytes", f"{image}.path" if "path" in fields else None
    if kind is None or not (types.is_binary(kind) or types.is_large_binary(kind)):
        raise DataError(f"{file}: column {image} must hold encoded bytes or a struct with bytes, not {kind}")
    label = schema.field(LABEL_COLUMN).type
    if not (types.is_integer(label) or types.is_string(label) or types.is_large_string(label)):
        raise DataError(f"{file}: column {LABEL_COLUMN} must hold whole numbers or text, not {label}")
    return _Columns(content, path)


def _labels(files: tuple[Path, ...]) -> _Labels:
    """Labels and folders of all rows, without reading an image."""
    numbers: list[int | str] = []
    folders: list[str | None] = []
    for file in files:
        reader = _open(file)
        place = _columns(file, reader.schema_arrow).path
        for row, (label, path) in enumerate(_rows(file, reader, (LABEL_COLUMN, place or LABEL_COLUMN))):
            if label is None:
                raise DataError(f"{file} row {row} has no label")
            numbers.append(label)
            folders.append(_folder_of(path if place and isinstance(path, str) else None))
    return _Labels(tuple(numbers), tuple(folders))


def _encoded(files: tuple[Path, ...]) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every row's image."""
    for file in files:
        reader = _open(file)
        content = _columns(file, reader.schema_arrow).content
        for row, (data,) in enumerate(_rows(file, reader, (content,))):
            if not data:
                raise DataError(f"{file} row {row} has no image bytes")
            yield f"{file} row {row}", data


def _rows(file: Path, reader: Any, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """Values of these columns (a dotted name is a struct's field), row by row."""
    import pyarrow as pa

    row = 0
    try:
        for batch in reader.iter_batches(batch_size=_BATCH_ROWS, columns=list(dict.fromkeys(columns))):
            values = [_values(batch, column) for column in columns]
            for each in zip(*values, strict=True):
                yield each
                row += 1
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{file} is damaged near row {row}: {_one_line(error)}") from None


def _values(batch: Any, column: str) -> list[Any]:
    outer, _, field = column.partition(".")
    values: list[Any] = batch.column(outer).to_pylist()
    return [None if value is None else value[field] for value in values] if field else values


def _folder_of(path: str | None) -> str | None:
    parts = path.replace("\\", "/").split("/") if path else []
    return parts[-2] if len(parts) > 1 and parts[-2] else None


def _class_names(file: Path, train: _Labels, test: _Labels | None, source: str) -> tuple[str, ...]:
    if any(isinstance(label, str) for label in train.numbers):
        return tuple(sorted({str(label) for label in train.numbers}))
    stated = _stated_names(file)
    if stated is not None:
        return stated
    both = zip(
        train.numbers + (test.numbers if test else ()), train.folders + (test.folders if test else ()), strict=True
    )
    highest = max(label for label in train.numbers if isinstance(label, int)) if train.numbers else -1
    if highest >= MAX_CLASSES:
        raise DataError(f"{source}: label {highest} is too large; at most {MAX_CLASSES} classes are read")
    folders: dict[int | str, set[str | None]] = {}
    for label, folder in both:
        folders.setdefault(label, set()).add(folder)
    names = [
        next(iter(found)) if len(found := folders.get(label, {None})) == 1 else None for label in range(highest + 1)
    ]
    if None not in names and len(set(names)) == len(names):
        return tuple(str(name) for name in names)
    return tuple(str(label) for label in range(highest + 1))


def _stated_names(file: Path) -> tuple[str, ...] | None:
    """Class names in the schema's `huggingface` metadata; None when there are none."""
    try:
        about = json.loads((_open(file).schema_arrow.metadata or {})[b"huggingface"])
        names = about["info"]["features"][LABEL_COLUMN]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names)


def _numbers(labels: _Labels, classes: tuple[str, ...], source: str) -> "torch.Tensor":
    import torch

    by_name = {name: number for number, name in enumerate(classes)}
    numbers: list[int] = []
    for row, label in enumerate(labels.numbers):
        number = by_name.get(label, -1) if isinstance(label, str) else label
        if not 0 <= number < len(classes):
            raise DataError(f"{source} row {row}: label {label!r} is none of the {len(classes)} classes")
        numbers.append(number)
    return torch.tensor(numbers, dtype=torch.int64)
