"""Ranges of int8: what any of the calibration images reaches counts, whenever it came."""

import numpy as np
import pytest

from deploy.samples import operator_sample
from deploy.tflite_quantise import in_precision
from deploy.tflite_schema import unpack
from deploy.tflite_writer import write_tflite
from latency.opspec import OpSpec

OP = OpSpec("conv", 3, 8, 3, 1, 2, 16)


def input_range(model: bytes) -> tuple[float, float]:
    """What an int8 model's input can stand for."""
    graph = unpack(model).subgraphs[0]
    quantisation = graph.tensors[graph.inputs[0]].quantization
    scale, zero_point = float(quantisation.scale[0]), int(quantisation.zeroPoint[0])
    return scale * (-128 - zero_point), scale * (127 - zero_point)


@pytest.mark.parametrize("place", [0, 15])
def test_the_range_is_that_of_all_images(place: int) -> None:
    images = np.random.default_rng(0).uniform(-1, 1, (16, 16, 16, 3)).astype(np.float32)
    images[place] *= 10
    model = in_precision(write_tflite([OP], [operator_sample(OP, 0).module]), "int8", images)
    assert input_range(model) == pytest.approx((images.min(), images.max()), rel=0.02)


def test_a_range_that_is_known_is_taken() -> None:
    images = np.random.default_rng(0).uniform(0, 100, (4, 16, 16, 3)).astype(np.float32)
    float32 = write_tflite([OP], [operator_sample(OP, 0).module])
    assert input_range(in_precision(float32, "int8", images, input_range=(0.0, 255.0))) == pytest.approx((0, 255))
