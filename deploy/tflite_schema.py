"""The .tflite flatbuffer: building one from tensors and operators, reading one back, giving one a signature."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketnas_base.errors import ExportError

SCHEMA_VERSION = 3
FILE_IDENTIFIER = b"TFL3"
SIGNATURE = "serving_default"
INPUT_NAME = "input"
OUTPUT_NAME = "output"
NO_TENSOR = -1
# schema.fbs: Buffer.data is force_align 16; the generated Python code does not do it.
DATA_ALIGNMENT = 16

_LAST_SMALL_CODE = 127
_INT32_LIMIT = 2**31


@dataclass(frozen=True, slots=True)
class TfliteOperator:
    """One operator of a .tflite file: what it is and everything about it that its latency depends on.

    options: the fields of its builtin options table. constants: values of its integer constant inputs (paddings, axes).
    """

    name: str
    version: int
    input_shapes: tuple[tuple[int, ...], ...]
    output_shape: tuple[int, ...]
    options: tuple[tuple[str, object], ...]
    constants: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Quantisation:
    """How an integer tensor stands for real numbers: real = scale * (integer - zero_point).

    scales: one for the whole tensor, or one for every index of `axis`; those have zero point 0.
    """

    scales: tuple[float, ...]
    zero_point: int = 0
    axis: int = 0

    @property
    def scale(self) -> float:
        """The scale of a tensor that has a single one."""
        (only,) = self.scales
        return only


class TfliteBuilder:
    """Collects tensors and operators of one subgraph in execution order; `finish` gives the file's bytes."""

    def __init__(self, description: str) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._graph = schema.SubGraphT()
        self._graph.name = "main"
        self._graph.tensors, self._graph.operators = [], []
        self._model = schema.ModelT()
        self._model.version = SCHEMA_VERSION
        self._model.description = description
        self._model.buffers = [schema.BufferT()]  # buffer 0 is the empty one, by the schema's convention
        self._model.operatorCodes = []
        self._model.subgraphs = [self._graph]
        self._codes: dict[tuple[int, int], int] = {}

    def tensor(self, name: str, shape: Sequence[int], quantisation: Quantisation | None = None) -> int:
        """A tensor that an operator or the caller fills, float32, or int8 where it is quantised; returns its index."""
        kinds = self._schema.TensorType
        return self._add(name, shape, kinds.FLOAT32 if quantisation is None else kinds.INT8, 0, quantisation)

    def constant(
        self,
        name: str,
        value: NDArray[np.float32] | NDArray[np.int32] | NDArray[np.int8],
        quantisation: Quantisation | None = None,
    ) -> int:
        """A tensor whose value is stored in the file; returns its index."""
        kinds = {
            np.dtype(np.float32): self._schema.TensorType.FLOAT32,
            np.dtype(np.int32): self._schema.TensorType.INT32,
            np.dtype(np.int8): self._schema.TensorType.INT8,
        }
        buffer = self._schema.BufferT()
        little_endian = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<"))
        buffer.data = np.frombuffer(little_endian.tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        return self._add(name, value.shape, kinds[value.dtype], len(self._model.buffers) - 1, quantisation)

    def operator(
        self, kind: str, inputs: Sequence[int], output: int, options: str = "", *, version: int = 1, **fields: object
    ) -> None:
        """Append an operator. kind: its name in BuiltinOperator. options: its options table, with the fields given."""
        schema = self._schema
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code(getattr(schema.BuiltinOperator, kind), version)
        operator.inputs = np.array(inputs, np.int32)
        operator.outputs = np.array([output], np.int32)
        if options:
            table = getattr(schema, f"{options}T")()
            for name, value in fields.items():
                setattr(table, name, value)
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = table
        self._graph.operators.append(operator)

    def finish(self, model_input: int, model_outputs: Sequence[int]) -> bytes:
        """The file, with its signature. Raises ExportError when it would pass the format's 2 GiB."""
        self._graph.inputs = np.array([model_input], np.int32)
        self._graph.outputs = np.array(model_outputs, np.int32)
        sign(self._model)
        return pack(self._model)

    def _add(self, name: str, shape: Sequence[int], kind: int, buffer: int, quantisation: Quantisation | None) -> int:
        tensor = self._schema.TensorT()
        tensor.name = name
        tensor.shape = np.array(shape, np.int32)
        tensor.type = kind
        tensor.buffer = buffer
        if quantisation is not None:
            tensor.quantization = self._schema.QuantizationParametersT()
            tensor.quantization.scale = np.array(quantisation.scales, np.float32)
            tensor.quantization.zeroPoint = np.full(len(quantisation.scales), quantisation.zero_point, np.int64)
            tensor.quantization.quantizedDimension = quantisation.axis
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _code(self, builtin: int, version: int) -> int:
        if (builtin, version) not in self._codes:
            code = self._schema.OperatorCodeT()
            code.builtinCode = builtin
            code.deprecatedBuiltinCode = min(builtin, _LAST_SMALL_CODE)
            code.version = version
            self._codes[builtin, version] = len(self._model.operatorCodes)
            self._model.operatorCodes.append(code)
        return self._codes[builtin, version]


def with_signature(content: bytes) -> bytes:
    """The same model with a SignatureDef `serving_default` (`input` to `output`), which onnx2tf leaves out.

    Raises ExportError when `content` is not a .tflite model of one subgraph, one input and one output.
    """
    model = unpack(content)
    if len(model.subgraphs) != 1 or len(model.subgraphs[0].outputs) != 1:
        raise ExportError("a model of one subgraph and one output was expected from the converter")
    sign(model)
    return pack(model)


def read_operators(content: bytes) -> list[TfliteOperator]:
    """The operators of a model's first subgraph, in execution order. Raises ExportError when it is no .tflite model."""
    from ai_edge_litert import schema_py_generated as schema

    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    model = unpack(content)
    tensors = model.subgraphs[0].tensors
    found = []
    for operator in model.subgraphs[0].operators:
        code = model.operatorCodes[operator.opcodeIndex]
        inputs = [tensors[index] for index in operator.inputs if index != NO_TENSOR]
        constants = [
            tuple(np.asarray(model.buffers[tensor.buffer].data, np.uint8).view("<i4").tolist())
            for tensor in inputs
            if tensor.type == schema.TensorType.INT32 and model.buffers[tensor.buffer].data is not None
        ]
        found.append(
            TfliteOperator(
                names[max(code.builtinCode, code.deprecatedBuiltinCode)],
                code.version,
                tuple(tuple(int(size) for size in tensor.shape) for tensor in inputs),
                tuple(int(size) for size in tensors[operator.outputs[0]].shape),
                tuple(sorted(vars(operator.builtinOptions).items())) if operator.builtinOptions else (),
                tuple(constants),
            )
        )
    return found


def custom_operators(model: Any) -> list[str]:
    """The names, as the file has them, of a model's operators that are none of the format's own."""
    from ai_edge_litert import schema_py_generated as schema

    return [
        (code.customCode or b"").decode(errors="replace")
        for code in model.operatorCodes
        if max(code.builtinCode, code.deprecatedBuiltinCode) == schema.BuiltinOperator.CUSTOM
    ]


def unpack(content: bytes) -> Any:
    """The model as the schema's own objects, every buffer with its data. Raises ExportError when it is none."""
    from ai_edge_litert import schema_py_generated as schema

    if content[4:8] != FILE_IDENTIFIER:
        raise ExportError("this is not a .tflite model: its file identifier is missing")
    model = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
    for buffer in model.buffers:
        # schema.fbs: data may lie behind the flatbuffer, where `offset` says; 0 and 1 say nothing.
        if buffer.offset > 1:
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def sign(model: Any) -> None:
    """Give a model the SignatureDef that every file of ours has."""
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    if len(graph.inputs) != 1:
        raise ExportError("a model of one input was expected from the converter")
    signature = schema.SignatureDefT()
    signature.signatureKey = SIGNATURE
    signature.subgraphIndex = 0
    signature.inputs = [_named(INPUT_NAME, graph.inputs[0])]
    names = [OUTPUT_NAME] if len(graph.outputs) == 1 else [f"{OUTPUT_NAME}{n}" for n in range(len(graph.outputs))]
    signature.outputs = [_named(name, index) for name, index in zip(names, graph.outputs, strict=True)]
    model.signatureDefs = [signature]


def _named(name: str, index: int) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    entry = schema.TensorMapT()
    entry.name = name
    entry.tensorIndex = int(index)
    return entry


def pack(model: Any) -> bytes:
    """The file of a model. Raises ExportError when it would pass the format's 2 GiB."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    class AlignedBuffer(schema.BufferT):  # type: ignore[misc]
        """A buffer whose data starts at a multiple of 16 bytes of the file."""

        def Pack(self, builder: Any) -> Any:  # noqa: N802
            data = np.asarray(self.data, np.uint8)
            builder.StartVector(1, data.size, DATA_ALIGNMENT)
            builder.head -= data.size
            builder.Bytes[builder.head : builder.head + data.size] = data.tobytes()
            vector = builder.EndVector()
            schema.BufferStart(builder)
            schema.BufferAddData(builder, vector)
            return schema.BufferEnd(builder)

    total = sum(0 if buffer.data is None else len(buffer.data) for buffer in model.buffers)
    if total >= _INT32_LIMIT:
        raise ExportError(f"the model's {total} bytes of weights pass the 2 GiB that a .tflite file may have")
    model.buffers = [buffer if buffer.data is None else AlignedBuffer(buffer.data) for buffer in model.buffers]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())
