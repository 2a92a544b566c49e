"""A float32 .tflite in other precisions, by ai-edge-quantizer: the graph stays, its numbers become smaller."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.chatter import captured
from deploy.tflite_schema import INPUT_NAME, SIGNATURE, unpack
from pocketnas_base.artifact import Precision

# XNNPACK runs these with int8 weights and float32 activations; a depthwise convolution of that kind it leaves to the
# runtime's own kernels, which take ten times as long as its float32 one.
_DYNAMIC = ("CONV_2D", "FULLY_CONNECTED", "CONV_2D_TRANSPOSE")


def in_precision(
    content: bytes,
    precision: Precision,
    calibration: NDArray[np.float32] | None,
    *,
    input_range: tuple[float, float] | None = None,
) -> bytes:
    """The model in another precision.

    calibration: images [N, H, W, C] as the model takes them; of int8 alone, whose activations get the ranges that they
    have on all of them. input_range: of its input, where that is known without them.
    fp16: float16 weights, which runtimes widen or compute with. int8: weights by output channel, activations by tensor,
    int8 in and out (`tflite_surface`). int8-dynamic: int8 weights of convolutions and linear layers, activations
    float32. Raises ExportError.
    """
    if precision == "fp32":
        return content
    with captured(f"ai-edge-quantizer could not bring the network to {precision}"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _quantise(content, precision, calibration, input_range)


def _quantise(
    content: bytes,
    precision: Precision,
    calibration: NDArray[np.float32] | None,
    input_range: tuple[float, float] | None,
) -> bytes:
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
        ranges = _ranges(content, quantizer.get_quantization_recipe(), calibration)
        if input_range is not None:
            name = _input_tensor(content)
            ranges[name] = {
                end: np.full_like(ranges[name][end], limit)
                for end, limit in zip(("min", "max"), input_range, strict=True)
            }
    return bytes(quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False).quantized_model)


def _ranges(content: bytes, recipe: Any, calibration: NDArray[np.float32]) -> Any:
    """Least and largest value of every tensor over all images, by the tensor's name.

    `Quantizer.calibrate` takes a moving average instead, in which an image counts the less the earlier it came, and
    which cuts off about half of all images' largest activations.
    """
    from ai_edge_quantizer.calibrator import Calibrator
    from ai_edge_quantizer.recipe_manager import RecipeManager
    from ai_edge_quantizer.utils.qsv_utils import min_max_update

    recipes = RecipeManager()
    recipes.load_quantization_recipe(recipe)
    calibrator = Calibrator(content, num_threads=1, qsv_update_func=min_max_update)
    calibrator.calibrate({SIGNATURE: [{INPUT_NAME: image[None]} for image in calibration]}, recipes)
    return calibrator.get_model_qsvs()


def _input_tensor(content: bytes) -> str:
    graph = unpack(content).subgraphs[0]
    name: str | bytes = graph.tensors[graph.inputs[0]].name
    return name.decode() if isinstance(name, bytes) else name
