"""What a .tflite file computes on the way: the value of every tensor that its operators fill."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.chatter import captured
from deploy.interpreters import tflite_module
from deploy.tflite_schema import unpack


@dataclass(frozen=True, slots=True)
class FilledTensor:
    """The output of an operator. index: among the graph's tensors. quantisation: scale and zero point; None where it
    holds real numbers."""

    index: int
    name: str
    shape: tuple[int, ...]
    quantisation: tuple[float, int] | None


class ObservedFile:
    """A .tflite file that keeps every tensor, run by the runtime's own kernels: a delegate has no tensors inside.

    filled: in the order of computation; integers that stand for nothing (shapes, indices) are left out.
    Raises ExportError where it cannot be run.
    """

    def __init__(self, content: bytes, what: str) -> None:
        module = tflite_module()
        self._what = what
        with captured(f"{what} cannot be run without delegates"):
            self._interpreter: Any = module.Interpreter(
                model_content=content,
                num_threads=1,
                experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                experimental_preserve_all_tensors=True,
            )
            self._interpreter.allocate_tensors()
        self._input: int = self._interpreter.get_input_details()[0]["index"]
        self.filled = _filled(content)

    def run(self, image: NDArray[Any]) -> None:
        """Compute every tensor for one image [1, C, H, W] of the file's type. Raises ExportError."""
        with captured(f"{self._what} cannot be run without delegates"):
            self._interpreter.set_tensor(self._input, np.ascontiguousarray(image.transpose(0, 2, 3, 1)))
            self._interpreter.invoke()

    def value(self, tensor: FilledTensor) -> NDArray[np.float32]:
        """What a tensor stands for after the last run, in real numbers and the file's layout."""
        found: NDArray[Any] = self._interpreter.get_tensor(tensor.index)
        if tensor.quantisation is None:
            return found.astype(np.float32, copy=False)
        scale, zero_point = tensor.quantisation
        return (found.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def _filled(content: bytes) -> tuple[FilledTensor, ...]:
    from ai_edge_litert import schema_py_generated as schema

    graph = unpack(content).subgraphs[0]
    found = []
    for index in (int(index) for operator in graph.operators for index in operator.outputs):
        tensor = graph.tensors[index]
        scales = [] if tensor.quantization is None else tensor.quantization.scale
        quantisation = None
        if scales is not None and len(scales) == 1 and tensor.type != schema.TensorType.FLOAT32:
            quantisation = float(scales[0]), int(tensor.quantization.zeroPoint[0])
        if quantisation is not None or tensor.type == schema.TensorType.FLOAT32:
            name = tensor.name.decode() if isinstance(tensor.name, bytes) else str(tensor.name)
            shape = () if tensor.shape is None else tuple(int(size) for size in tensor.shape)
            found.append(FilledTensor(index, name, shape, quantisation))
    return tuple(found)
