"""What a .tflite takes and gives: float32 or uint8 pixels in, float32 out, whatever it computes in between."""

from typing import Any

import numpy as np

from deploy.tflite_schema import INPUT_NAME, OUTPUT_NAME, pack, sign, unpack
from pocketnas_base.errors import ExportError

# The first versions of these operators that take the types below (tools/versioning/op_version.cc).
_VERSIONS = {"QUANTIZE": 2, "DEQUANTIZE": 2, "CAST": 1}


def with_surface(content: bytes, *, pixels: bool) -> bytes:
    """The model with a float32 input, or with a uint8 one where it takes pixels from 0 to 255, and a float32 output.

    What is missing between these and the tensors that the model has is added as its first and last operator: QUANTIZE,
    DEQUANTIZE, or CAST. A model of pixels in int8 takes each of the 256 for one step of its own, exactly.
    Raises ExportError for a model with other tensors at its ends.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = unpack(content)
    graph, kinds = model.subgraphs[0], schema.TensorType
    first, last = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    if not {first.type, last.type} <= {kinds.FLOAT32, kinds.INT8}:
        raise ExportError("the converter made a model whose input or output is neither float32 nor int8")
    if pixels:
        scale_of_pixels = None
        if first.type == kinds.INT8:
            _stand_for_pixels(first)
            scale_of_pixels = first
        made = _tensor_like(model, first, "pixels", kinds.UINT8, quantised_like=scale_of_pixels)
        _first(model, "QUANTIZE" if first.type == kinds.INT8 else "CAST", made)
    elif first.type == kinds.INT8:
        _first(model, "QUANTIZE", _tensor_like(model, first, INPUT_NAME, kinds.FLOAT32))
    if last.type == kinds.INT8:
        made = _tensor_like(model, last, OUTPUT_NAME, kinds.FLOAT32)
        _operator(model, "DEQUANTIZE", int(graph.outputs[0]), made, place=len(graph.operators))
        graph.outputs = np.array([made], np.int32)
    sign(model)
    return pack(model)


def _stand_for_pixels(tensor: Any) -> None:
    """int8 whose steps are the 256 values of a pixel. Raises ExportError where it was calibrated to something else."""
    scale = float(tensor.quantization.scale[0])
    if not 0.5 < scale <= 1.0 + 1e-6:
        raise ExportError(f"the pixels of the calibration images reach from 0 to {255 * scale:.0f}, not to 255")
    tensor.quantization.scale = np.array([1.0], np.float32)
    tensor.quantization.zeroPoint = np.array([-128], np.int64)


def _tensor_like(model: Any, like: Any, name: str, kind: int, quantised_like: Any = None) -> int:
    from ai_edge_litert import schema_py_generated as schema

    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name, like.shape, kind, 0
    if quantised_like is not None:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = np.array([1.0], np.float32)
        tensor.quantization.zeroPoint = np.array([0], np.int64)
    tensors = model.subgraphs[0].tensors
    tensors.append(tensor)
    return len(tensors) - 1


def _first(model: Any, kind: str, source: int) -> None:
    graph = model.subgraphs[0]
    _operator(model, kind, source, int(graph.inputs[0]), place=0)
    graph.inputs = np.array([source], np.int32)


def _operator(model: Any, kind: str, source: int, target: int, *, place: int) -> None:
    from ai_edge_litert import schema_py_generated as schema

    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)
    code.version = _VERSIONS[kind]
    model.operatorCodes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs, operator.outputs = np.array([source], np.int32), np.array([target], np.int32)
    if kind == "CAST":
        operator.builtinOptionsType = schema.BuiltinOptions.CastOptions
        operator.builtinOptions = schema.CastOptionsT()
        operator.builtinOptions.inDataType = schema.TensorType.UINT8
        operator.builtinOptions.outDataType = schema.TensorType.FLOAT32
    model.subgraphs[0].operators.insert(place, operator)
