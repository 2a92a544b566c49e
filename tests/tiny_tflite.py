"""Smallest .tflite files, assembled from the schema that ai-edge-litert carries."""

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

TYPES = {
    "float16": schema.TensorType.FLOAT16,
    "float32": schema.TensorType.FLOAT32,
    "float64": schema.TensorType.FLOAT64,
    "int8": schema.TensorType.INT8,
    "uint8": schema.TensorType.UINT8,
    "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
    "bool": schema.TensorType.BOOL,
}


class Builder:
    """One subgraph."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]
        self.graph = schema.SubGraphT()
        self.graph.tensors = []
        self.graph.operators = []
        self.model.operatorCodes = []
        self.model.subgraphs = [self.graph]

    def tensor(self, name: str | bytes, shape: tuple[int, ...], dtype: str, data: NDArray[Any] | None = None) -> int:
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

    def operator(
        self, builtin: int, inputs: list[int], outputs: list[int], option_type: int = 0, options: Any = None
    ) -> None:
        code = schema.OperatorCodeT()
        code.builtinCode = builtin
        code.deprecatedBuiltinCode = min(builtin, 127)
        code.version = 1
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes)
        operator.inputs = np.array(inputs, np.int32)
        operator.outputs = np.array(outputs, np.int32)
        operator.builtinOptionsType = option_type
        operator.builtinOptions = options
        self.model.operatorCodes.append(code)
        self.graph.operators.append(operator)

    def finish(self, inputs: list[int], outputs: list[int]) -> schema.ModelT:
        self.graph.inputs = np.array(inputs, np.int32)
        self.graph.outputs = np.array(outputs, np.int32)
        return self.model


def conv_model(weights: NDArray[np.float32], image_shape: tuple[int, ...]) -> schema.ModelT:
    """A 1x1 convolution without bias and ReLU6. weights: (out, in); image_shape: NHWC, a negative size is dynamic."""
    builder = Builder()
    image = builder.tensor("image", image_shape, "float32")
    return builder.finish([image], [_convolve(builder, image, image_shape, weights)])


def _convolve(builder: Builder, image: int, image_shape: tuple[int, ...], weights: NDArray[np.float32]) -> int:
    out, channels = weights.shape
    kernel = builder.tensor("kernel", (out, 1, 1, channels), "float32", weights.reshape(out, 1, 1, channels))
    bias = builder.tensor("bias", (out,), "float32", np.zeros(out, np.float32))
    result = builder.tensor("result", (*image_shape[:3], out), "float32")
    options = schema.Conv2DOptionsT()
    options.padding = schema.Padding.SAME
    options.strideW = options.strideH = options.dilationWFactor = options.dilationHFactor = 1
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU6
    operator = schema.BuiltinOperator.CONV_2D
    builder.operator(operator, [image, kernel, bias], [result], schema.BuiltinOptions.Conv2DOptions, options)
    return result


def half_delegated_model(size: int, name: str | bytes = "running sum") -> schema.ModelT:
    """Convolution, cumulative sum over the channels, convolution: XNNPACK has no cumulative sum. An image of
    size x size x 3; `name` is the sum's output."""
    builder = Builder()
    shape = (1, size, size, 3)
    weights = np.full((3, 3), 0.1, np.float32)
    image = builder.tensor("image", shape, "float32")
    first = _convolve(builder, image, shape, weights)
    summed = _accumulate(builder, first, shape, name)
    return builder.finish([image], [_convolve(builder, summed, shape, weights)])


def long_model(operators: int) -> schema.ModelT:
    """A chain of so many cumulative sums."""
    builder = Builder()
    first = last = builder.tensor("first", (1, 2), "float32")
    axis = builder.tensor("axis", (1,), "int32", np.array([1], np.int32))
    for _ in range(operators):
        last = _accumulate(builder, last, (1, 2), "sum", axis)
    return builder.finish([first], [last])


def _accumulate(
    builder: Builder, values: int, shape: tuple[int, ...], name: str | bytes, axis: int | None = None
) -> int:
    if axis is None:
        axis = builder.tensor("axis", (1,), "int32", np.array([len(shape) - 1], np.int32))
    summed = builder.tensor(name, shape, "float32")
    options = schema.CumsumOptionsT()
    builder.operator(
        schema.BuiltinOperator.CUMSUM, [values, axis], [summed], schema.BuiltinOptions.CumsumOptions, options
    )
    return summed


def select_model(elements: int) -> schema.ModelT:
    """Three inputs: a truth value picks from the second or the third."""
    builder = Builder()
    shape = (1, elements)
    inputs = [builder.tensor("chosen", shape, "bool")]
    inputs += [builder.tensor(name, shape, "float32") for name in ("yes", "no")]
    result = builder.tensor("result", shape, "float32")
    options = schema.SelectV2OptionsT()
    builder.operator(schema.BuiltinOperator.SELECT_V2, inputs, [result], schema.BuiltinOptions.SelectV2Options, options)
    return builder.finish(inputs, [result])


def compare_model(elements: int) -> schema.ModelT:
    """Two outputs, of different types: whether an input is positive, and the input again."""
    builder = Builder()
    shape = (1, elements)
    values = builder.tensor("values", shape, "float32")
    zero = builder.tensor("zero", (1, 1), "float32", np.zeros((1, 1), np.float32))
    positive = builder.tensor("positive", shape, "bool")
    result = builder.tensor("result", shape, "float32")
    greater = schema.GreaterOptionsT()
    builder.operator(
        schema.BuiltinOperator.GREATER, [values, zero], [positive], schema.BuiltinOptions.GreaterOptions, greater
    )
    added = schema.AddOptionsT()
    builder.operator(schema.BuiltinOperator.ADD, [values, zero], [result], schema.BuiltinOptions.AddOptions, added)
    return builder.finish([values], [positive, result])


def reshape_model(dtype: str, elements: int) -> schema.ModelT:
    """A model that gives back its input in another shape, whatever its type."""
    builder = Builder()
    flat = builder.tensor("flat", (1, elements), dtype)
    wanted = builder.tensor("shape", (2,), "int32", np.array([elements, 1], np.int32))
    result = builder.tensor("column", (elements, 1), dtype)
    options = schema.ReshapeOptionsT()
    options.newShape = np.array([elements, 1], np.int32)
    operator = schema.BuiltinOperator.RESHAPE
    builder.operator(operator, [flat, wanted], [result], schema.BuiltinOptions.ReshapeOptions, options)
    return builder.finish([flat], [result])


def write_model(path: Path, model: schema.ModelT) -> None:
    """Write a .tflite file."""
    builder = flatbuffers.Builder(1 << 12)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
