"""Whether a model file can be measured at all."""

import struct
from typing import Any

from pocketnas_base.artifact import Artifact, Precision
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_bytes

MAX_MODEL_BYTES = 2 * 1024**3
_TFLITE_IDENTIFIER = b"TFL3"


def check_file(artifact: Artifact) -> None:
    """Raises InputError when a .tflite file is not a whole model with fixed input shapes.

    LiteRT trusts a file blindly: one that was cut off may load, compute nothing and look very fast, and a size that
    was left open becomes 1. ExecuTorch and its runner check their files by themselves.
    """
    if artifact.runtime != "tflite":
        return
    content = read_bytes(artifact.path, what="the model", max_bytes=MAX_MODEL_BYTES)
    if content[4:8] != _TFLITE_IDENTIFIER:
        raise InputError(f"{artifact.path} is not a .tflite model")
    from ai_edge_litert import schema_py_generated as schema

    try:
        # Unpacking visits every table and every byte of weights, so whatever points past the end is found.
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        shapes = _input_shapes(model)
        outside = any((buffer.offset or 0) + (buffer.size or 0) > len(content) for buffer in model.buffers)
        empty = not model.subgraphs[0].operators
    except (struct.error, ValueError, IndexError, TypeError, AttributeError, OverflowError, MemoryError):
        raise InputError(f"{artifact.path} is damaged or cut off; export it again") from None
    if outside or empty:
        raise InputError(f"{artifact.path} is {'cut off' if outside else 'without operators'}; export it again")
    for index, shape in enumerate(shapes):
        if min(shape, default=0) < 0:
            raise InputError(
                f"{artifact.path} has a dynamic shape {shape} for input {index}; export it with a fixed one"
            )


def precision_of(artifact: Artifact) -> Precision | None:
    """What a .tflite file computes in: int8 where it holds int8 weights (int8-dynamic where only they are int8), else
    fp16 where it holds fp16 weights, else fp32. None for a .pte file, whose delegates keep their numbers to themselves.
    Raises InputError as `check_file`."""
    if artifact.runtime != "tflite":
        return None
    check_file(artifact)
    from ai_edge_litert import schema_py_generated as schema

    content = read_bytes(artifact.path, what="the model", max_bytes=MAX_MODEL_BYTES)
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    held: set[int] = set()
    computed: set[int] = set()
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            stored = 0 <= tensor.buffer < len(model.buffers) and model.buffers[tensor.buffer].data is not None
            (held if stored else computed).add(tensor.type)
    if schema.TensorType.INT8 in held:
        return "int8" if schema.TensorType.INT8 in computed else "int8-dynamic"
    return "fp16" if schema.TensorType.FLOAT16 in held else "fp32"


def _input_shapes(model: Any) -> list[list[int]]:
    """The shapes of the first subgraph's inputs, with -1 for a size left open."""
    graph = model.subgraphs[0]
    tensors = [graph.tensors[index] for index in graph.inputs]
    shapes = [tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature for tensor in tensors]
    return [[] if shape is None else [int(size) for size in shape] for shape in shapes]
