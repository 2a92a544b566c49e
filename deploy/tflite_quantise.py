"""A float32 .tflite in other precisions, by ai-edge-quantizer: the graph stays, its numbers become smaller."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.chatter import captured
from deploy.tflite_schema import INPUT_NAME, SIGNATURE
from pocketnas_base.artifact import Precision

# XNNPACK runs these with int8 weights and float32 activations; a depthwise convolution of that kind it leaves to the
# runtime's own kernels, which take ten times as long as its float32 one.
_DYNAMIC = ("CONV_2D", "FULLY_CONNECTED", "CONV_2D_TRANSPOSE")


def in_precision(content: bytes, precision: Precision, calibration: NDArray[np.float32] | None) -> bytes:
    """The model in another precision.

    calibration: images [N, H, W, C] as the model takes them; of int8 alone, whose activations get the ranges that they
    have on them. fp16: float16 weights, which runtimes widen or compute with. int8: weights by output channel,
    activations by tensor, int8 in and out (`tflite_surface`). int8-dynamic: int8 weights of convolutions and linear
    layers, activations float32. Raises ExportError.
    """
    if precision == "fp32":
        return content
    with captured(f"ai-edge-quantizer could not bring the network to {precision}"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _quantise(content, precision, calibration)


def _quantise(content: bytes, precision: Precision, calibration: NDArray[np.float32] | None) -> bytes:
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName as Operation
    from ai_edge_quantizer.quantizer import Quantizer

    quantizer: Any = Quantizer(content)
    ranges: Any = None
    if precision == "fp16":
        quantizer.add_weight_only_config(
            ".*", Operation.ALL_SUPPORTED, num_bits=16, algorithm_key=AlgorithmName.FLOAT_CASTING
        )
    elif precision == "int8-dynamic":
        for name in _DYNAMIC:
            quantizer.add_dynamic_config(".*", Operation(name), num_bits=8)
    else:
        assert calibration is not None
        quantizer.add_static_config(".*", Operation.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
        ranges = quantizer.calibrate({SIGNATURE: [{INPUT_NAME: image[None]} for image in calibration]}, num_threads=1)
    return bytes(quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False).quantized_model)
