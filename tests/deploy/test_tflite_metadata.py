"""The metadata inside a .tflite, read by the places that metadata_schema.fbs 1.1.0 gives its fields."""

import io
import zipfile
from typing import Any

import numpy as np
import pytest
from android_labels import read_labels
from flatbuffers import number_types
from flatbuffers.encode import Get
from flatbuffers.packer import uoffset
from flatbuffers.table import Table
from numpy.typing import NDArray

from deploy.manifest import Normalisation
from deploy.tflite_metadata import with_metadata
from deploy.tflite_schema import TfliteBuilder, unpack

LABELS = ("cat", "Füchse 🦊", "plain")


def model(channels: int, **changes: Any) -> bytes:
    """A model that pools one pixel, with metadata."""
    builder = TfliteBuilder("test")
    source = builder.tensor("a", (1, 1, 1, channels))
    target = builder.tensor("b", (1, 1, 1, channels))
    builder.operator("RELU6", [source], target)
    wanted = {"name": "pets", "channels": channels, "normalisation": None, "labels": LABELS, "licence": "MIT"} | changes
    return with_metadata(builder.finish(source, [target]), **wanted)


def metadata(content: bytes) -> Table:
    """The root table, ModelMetadata."""
    plain = unpack(content)
    (entry,) = [entry for entry in plain.metadata if entry.name == b"TFLITE_METADATA"]
    data = bytearray(np.asarray(plain.buffers[entry.buffer].data, np.uint8).tobytes())
    assert data[4:8] == b"M001"
    return Table(data, Get(uoffset, data, 0))


def place(table: Table, field: int) -> int:
    """Where a field of a table lies, counted from the schema's first."""
    offset = table.Offset(4 + 2 * field)
    assert offset, f"field {field} is not there"
    return int(table.Pos + offset)


def text(table: Table, field: int) -> str:
    return bytes(table.String(place(table, field))).decode()


def inner(table: Table, field: int) -> Table:
    return Table(table.Bytes, table.Indirect(place(table, field)))


def only(table: Table, field: int) -> Table:
    """The only element of a vector of tables."""
    offset = table.Offset(4 + 2 * field)
    assert table.VectorLen(offset) == 1
    return Table(table.Bytes, table.Indirect(table.Vector(offset)))


def number(table: Table, field: int) -> int:
    """A byte; 0 where the default was left out."""
    offset = table.Offset(4 + 2 * field)
    return int(table.Get(number_types.Uint8Flags, table.Pos + offset)) if offset else 0


def floats(table: Table, field: int) -> NDArray[np.float32]:
    found: NDArray[np.float32] = table.GetVectorAsNumpy(number_types.Float32Flags, table.Offset(4 + 2 * field))
    return found


@pytest.mark.parametrize(("channels", "colours"), [(1, 2), (3, 1), (4, 0)], ids=["grey", "RGB", "unknown"])
def test_every_field_lies_where_the_schema_has_it(channels: int, colours: int) -> None:
    normalisation = Normalisation((1.5,) * channels, (2.5,) * channels)
    root = metadata(model(channels, normalisation=normalisation))
    assert (text(root, 0), text(root, 5), text(root, 7)) == ("pets", "MIT", "1.0.0")
    graph = only(root, 3)
    source, target = only(graph, 2), only(graph, 3)
    assert (text(source, 0), text(target, 0)) == ("input", "output")
    content = inner(source, 3)
    assert number(content, 0) == 2, "ImageProperties"
    assert number(inner(content, 1), 0) == colours
    unit = only(source, 4)
    assert number(unit, 0) == 1, "NormalizationOptions"
    options = inner(unit, 1)
    assert floats(options, 0).tolist() == [1.5] * channels
    assert floats(options, 1).tolist() == [2.5] * channels
    file = only(target, 6)
    assert (text(file, 0), number(file, 2)) == ("labels.txt", 2), "TENSOR_AXIS_LABELS"


def test_labels_are_a_stored_file_behind_the_model() -> None:
    content = model(3)
    assert read_labels(content) == LABELS
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (entry,) = archive.infolist()
        assert (entry.filename, entry.compress_type) == ("labels.txt", zipfile.ZIP_STORED)
        assert archive.read(entry).decode().split("\n") == [*LABELS, ""]


def test_what_is_not_known_is_left_out() -> None:
    content = model(3, labels=None, licence=None)
    assert not zipfile.is_zipfile(io.BytesIO(content))
    root = metadata(content)
    assert root.Offset(4 + 2 * 5) == 0
    graph = only(root, 3)
    assert only(graph, 2).Offset(4 + 2 * 4) == 0, "of a model that normalises by itself, or of which nobody said"
    assert only(graph, 3).Offset(4 + 2 * 6) == 0
