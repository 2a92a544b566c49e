"""One operator as a .tflite file, with an input and the output that is right for it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.samples import INPUT, operator_copies, reference_names, store_tensors
from deploy.tflite_int8 import INT8_VERSION, quantise, to_int8, write_int8
from deploy.tflite_int8_reference import integer_outputs
from deploy.tflite_layers import graph_of, side_by_side
from deploy.tflite_writer import WRITER_VERSION, write_graph
from latency.opspec import OpSpec
from pocketnas_base.artifact import Precision

TFLITE_VERSION: dict[Precision, list[int]] = {"fp32": [WRITER_VERSION], "int8": [WRITER_VERSION, INT8_VERSION]}
"""What changes whenever the files written in a precision do: caches of operator files are keyed by it."""


def write_operator(op: OpSpec, seed: int, precision: Precision, path: Path, copies: int = 1) -> None:
    """Write the operator with its sample weights to `path`, and input and references beside it (`samples.INPUT`).

    precision: fp32, or int8, whose ranges are those that the operator's values have on its input.
    copies: how many of it the model holds side by side, each with weights and an output of its own.
    """
    samples = operator_copies(op, seed, copies)
    graph = side_by_side([graph_of([op], [sample.module]) for sample in samples])
    if precision == "fp32":
        path.write_bytes(write_graph(graph))
        store_tensors(samples[0].input, [sample.output for sample in samples], path.parent, channels_last=True)
        return
    image: NDArray[np.float32] = np.ascontiguousarray(samples[0].input.permute(0, 2, 3, 1).numpy())
    model = quantise(graph, image)
    integers = to_int8(image, model.values[0])
    path.write_bytes(write_int8(model))
    (path.parent / INPUT).write_bytes(integers.tobytes())
    for name, output in zip(reference_names(copies), integer_outputs(model, integers), strict=True):
        (path.parent / name).write_bytes(output.tobytes())
