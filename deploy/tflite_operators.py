"""One operator as a .tflite file, with an input and the output that is right for it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.samples import INPUT, REFERENCE, operator_sample, store_tensors
from deploy.tflite_int8 import INT8_VERSION, quantise, to_int8, write_int8
from deploy.tflite_int8_reference import integer_output
from deploy.tflite_layers import graph_of
from deploy.tflite_writer import WRITER_VERSION, write_tflite
from latency.opspec import OpSpec
from pocketnas_base.artifact import Precision

TFLITE_VERSION: dict[Precision, list[int]] = {"fp32": [WRITER_VERSION], "int8": [WRITER_VERSION, INT8_VERSION]}
"""What changes whenever the files written in a precision do: caches of operator files are keyed by it."""


def write_operator(op: OpSpec, seed: int, precision: Precision, path: Path) -> None:
    """Write the operator with its sample weights to `path`, and input and reference beside it (`samples.INPUT`).

    precision: fp32, or int8, whose ranges are those that the operator's values have on its input.
    """
    sample = operator_sample(op, seed)
    if precision == "fp32":
        path.write_bytes(write_tflite([op], [sample.module]))
        store_tensors(sample, path.parent, channels_last=True)
        return
    image: NDArray[np.float32] = np.ascontiguousarray(sample.input.permute(0, 2, 3, 1).numpy())
    model = quantise(graph_of([op], [sample.module]), image)
    integers = to_int8(image, model.values[0])
    path.write_bytes(write_int8(model))
    (path.parent / INPUT).write_bytes(integers.tobytes())
    (path.parent / REFERENCE).write_bytes(integer_output(model, integers).tobytes())
