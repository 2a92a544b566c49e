"""TFLite metadata: label names and normalisation inside the .tflite itself, where Android's libraries look for them.

The format is tflite-support's metadata_schema.fbs (schema 1.1.0, file identifier M001): a flatbuffer in the model's
buffer TFLITE_METADATA, and the label file in a ZIP archive behind the model, which readers of the model do not see.
"""

import io
import zipfile
from typing import Any

import numpy as np

from deploy.manifest import Normalisation
from deploy.tflite_schema import INPUT_NAME, OUTPUT_NAME, pack, unpack

LABEL_FILE = "labels.txt"

_NAME = "TFLITE_METADATA"
_IDENTIFIER = b"M001"
_MIN_PARSER_VERSION = "1.0.0"
# Enumerations and places of fields in the schema's tables.
_IMAGE_PROPERTIES, _NORMALISATION_OPTIONS, _TENSOR_AXIS_LABELS = 2, 1, 2
_COLOURS_UNKNOWN, _RGB, _GRAYSCALE = 0, 1, 2
_TENSOR_FIELDS, _GRAPH_FIELDS, _MODEL_FIELDS = 7, 7, 8


def with_metadata(
    content: bytes,
    *,
    name: str,
    channels: int,
    normalisation: Normalisation | None,
    labels: tuple[str, ...] | None,
    licence: str | None,
) -> bytes:
    """The model with its metadata. normalisation: what the caller has to do to pixels; None: nothing, or not known."""
    from ai_edge_litert import schema_py_generated as schema

    model = unpack(content)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(_metadata(name, channels, normalisation, labels, licence), np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = _NAME, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    packed = pack(model)
    return packed if labels is None else _with_labels(packed, labels)


def _with_labels(packed: bytes, labels: tuple[str, ...]) -> bytes:
    stream = io.BytesIO(packed)
    # Appended, so that the archive's offsets count from the file's beginning, as Android's reader takes them.
    # Uncompressed and dated to the format's beginning: Android maps it, and the same labels are the same bytes.
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(LABEL_FILE), "".join(f"{label}\n" for label in labels))
    return stream.getvalue()


def _metadata(
    name: str, channels: int, normalisation: Normalisation | None, labels: tuple[str, ...] | None, licence: str | None
) -> bytes:
    import flatbuffers

    builder: Any = flatbuffers.Builder(1024)
    tensors = [_input_tensor(builder, channels, normalisation), _output_tensor(builder, labels)]
    inputs, outputs = (_vector(builder, [tensor]) for tensor in tensors)
    graph = _table(builder, _GRAPH_FIELDS, {2: inputs, 3: outputs})
    graphs = _vector(builder, [graph])
    fields = {0: builder.CreateString(name), 3: graphs, 7: builder.CreateString(_MIN_PARSER_VERSION)}
    if licence is not None:
        fields[5] = builder.CreateString(licence)
    builder.Finish(_table(builder, _MODEL_FIELDS, fields), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _input_tensor(builder: Any, channels: int, normalisation: Normalisation | None) -> Any:
    name = builder.CreateString(INPUT_NAME)
    builder.StartObject(2)  # ImageProperties
    builder.PrependInt8Slot(0, {1: _GRAYSCALE, 3: _RGB}.get(channels, _COLOURS_UNKNOWN), 0)
    image = builder.EndObject()
    builder.StartObject(3)  # Content
    builder.PrependUint8Slot(0, _IMAGE_PROPERTIES, 0)
    builder.PrependUOffsetTRelativeSlot(1, image, 0)
    fields = {0: name, 3: builder.EndObject()}
    if normalisation is not None:
        options = _table(
            builder, 2, dict(enumerate(_floats(builder, n) for n in (normalisation.mean, normalisation.std)))
        )
        builder.StartObject(2)  # ProcessUnit
        builder.PrependUint8Slot(0, _NORMALISATION_OPTIONS, 0)
        builder.PrependUOffsetTRelativeSlot(1, options, 0)
        fields[4] = _vector(builder, [builder.EndObject()])
    return _table(builder, _TENSOR_FIELDS, fields)


def _output_tensor(builder: Any, labels: tuple[str, ...] | None) -> Any:
    fields = {0: builder.CreateString(OUTPUT_NAME)}
    if labels is not None:
        file_name = builder.CreateString(LABEL_FILE)
        builder.StartObject(5)  # AssociatedFile
        builder.PrependUOffsetTRelativeSlot(0, file_name, 0)
        builder.PrependInt8Slot(2, _TENSOR_AXIS_LABELS, 0)
        fields[6] = _vector(builder, [builder.EndObject()])
    return _table(builder, _TENSOR_FIELDS, fields)


def _table(builder: Any, size: int, fields: dict[int, Any]) -> Any:
    """A table of `size` fields, those given being offsets."""
    builder.StartObject(size)
    for place, offset in fields.items():
        builder.PrependUOffsetTRelativeSlot(place, offset, 0)
    return builder.EndObject()


def _vector(builder: Any, offsets: list[Any]) -> Any:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _floats(builder: Any, numbers: tuple[float, ...]) -> Any:
    builder.StartVector(4, len(numbers), 4)
    for number in reversed(numbers):
        builder.PrependFloat32(number)
    return builder.EndVector()
