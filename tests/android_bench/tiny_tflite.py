"""Smallest .tflite files, assembled from the schema that ai-edge-litert carries."""

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "float64": schema.TensorType.FLOAT64,
    "int8": schema.TensorType.INT8,
    "uint8": schema.TensorType.UINT8,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
}


class Builder:
    """One subgraph with one operator."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]
        self.graph = schema.SubGraphT()
        self.graph.tensors = []
        self.model.subgraphs = [self.graph]

    def tensor(self, name: str, shape: tuple[int, ...], dtype: str, data: NDArray[Any] | None = None) -> int:
        tensor = schema.TensorT()
        tensor.name = name
        tensor.shape = np.array([abs(size) for size in shape], np.int32)
        if min(shape) < 0:
            tensor.shapeSignature = np.array(shape, np.int32)
        tensor.type = TYPES[dtype]
        tensor.buffer = 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def finish(self, builtin: int, inputs: list[int], output: int, option_type: int, options: Any) -> schema.ModelT:
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = builtin
        code.version = 1
        self.model.operatorCodes = [code]
        operator = schema.OperatorT()
        operator.opcodeIndex = 0
        operator.inputs = np.array(inputs, np.int32)
        operator.outputs = np.array([output], np.int32)
        operator.builtinOptionsType = option_type
        operator.builtinOptions = options
        self.graph.operators = [operator]
        self.graph.inputs = np.array(inputs[:1], np.int32)
        self.graph.outputs = np.array([output], np.int32)
        return self.model


def conv_model(weights: NDArray[np.float32], image_shape: tuple[int, ...]) -> schema.ModelT:
    """A 1x1 convolution without bias and ReLU6. weights: (out, in); image_shape: NHWC, a negative size is dynamic."""
    builder = Builder()
    out, channels = weights.shape
    image = builder.tensor("image", image_shape, "float32")
    kernel = builder.tensor("kernel", (out, 1, 1, channels), "float32", weights.reshape(out, 1, 1, channels))
    bias = builder.tensor("bias", (out,), "float32", np.zeros(out, np.float32))
    result = builder.tensor("result", (*image_shape[:3], out), "float32")
    options = schema.Conv2DOptionsT()
    options.padding = schema.Padding.SAME
    options.strideW = options.strideH = options.dilationWFactor = options.dilationHFactor = 1
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU6
    return builder.finish(
        schema.BuiltinOperator.CONV_2D, [image, kernel, bias], result, schema.BuiltinOptions.Conv2DOptions, options
    )


def reshape_model(dtype: str, elements: int) -> schema.ModelT:
    """A model that gives back its input in another shape, whatever its type."""
    builder = Builder()
    flat = builder.tensor("flat", (1, elements), dtype)
    wanted = builder.tensor("shape", (2,), "int32", np.array([elements, 1], np.int32))
    result = builder.tensor("column", (elements, 1), dtype)
    options = schema.ReshapeOptionsT()
    options.newShape = np.array([elements, 1], np.int32)
    return builder.finish(
        schema.BuiltinOperator.RESHAPE, [flat, wanted], result, schema.BuiltinOptions.ReshapeOptions, options
    )


def write_model(path: Path, model: schema.ModelT) -> None:
    """Write a .tflite file."""
    builder = flatbuffers.Builder(1 << 12)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
