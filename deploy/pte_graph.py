"""The graph that ExecuTorch's XNNPACK delegate reads, built value by value and node by node."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.chatter import captured

Limits = tuple[float, float | str]
"""The least and the greatest number of an output; `+inf` is how the schema writes that there is none."""

# Order of the axes of a transposition, as XNNPACK takes it.
TO_CHANNELS_LAST, TO_CONTIGUOUS = (0, 2, 3, 1), (0, 3, 1, 2)


@dataclass(frozen=True, slots=True)
class Quantisation:
    """int8 activations: an integer q stands for (q - zero_point) * scale."""

    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class Delegate:
    """What XNNPACK is given: its graph in its own format, and the constants that the graph refers to by key."""

    graph: bytes
    constants: dict[str, bytes]


class XnnpackGraph:
    """Collects values and nodes in execution order; `finish` gives the delegate's data.

    One input. Values are numbered as they are defined, nodes as ExecuTorch's exporter numbers the torch
    operators that they stand for: the files are then equal to the exporter's, byte for byte.
    """

    def __init__(self) -> None:
        with captured("loading ExecuTorch"):
            from executorch.backends.xnnpack import xnnpack_preprocess as backend
            from executorch.backends.xnnpack.serialization import xnnpack_graph_schema as schema
            from executorch.backends.xnnpack.utils import xnnpack_constants
        self._schema = schema
        self._constants = xnnpack_constants
        # The handle of a node that stands for no torch operator.
        self._no_handle: int = backend.DEFAULT_DEBUG_HANDLE
        self._handle = 0
        self._stored: dict[str, bytes] = {}
        # Entry 0 stands for values that are no constants, by the schema's convention.
        self._graph = schema.XNNGraph("0", [], [], 0, [], [], [schema.ConstantDataOffset(0, 0)])

    def input(self, dims: Sequence[int], quantisation: Quantisation | None = None) -> int:
        """The value that the caller gives, int8 where a quantisation is given, else float32; returns its number.

        dims: in memory order, outermost first.
        """
        flags = self._constants.XNN_VALUE_FLAG_EXTERNAL_INPUT
        number = self._activation(dims, quantisation, external=0, flags=flags)
        self._graph.input_ids.append(number)
        return number

    def output(self, dims: Sequence[int], quantisation: Quantisation | None = None) -> int:
        """A value that the caller gets, after those that were asked for before."""
        flags = self._constants.XNN_VALUE_FLAG_EXTERNAL_OUTPUT
        number = self._activation(dims, quantisation, external=1 + len(self._graph.output_ids), flags=flags)
        self._graph.output_ids.append(number)
        return number

    def value(self, dims: Sequence[int], quantisation: Quantisation | None = None) -> int:
        """A value between two nodes."""
        return self._activation(dims, quantisation, external=self._constants.XNN_INVALID_VALUE_ID, flags=0)

    def constant(self, array: NDArray[np.generic]) -> int:
        """A float32 value that is stored in the file, under its hash."""
        return self._define(array.shape, external=self._constants.XNN_INVALID_VALUE_ID, constant=self._store(array))

    def integers(self, array: NDArray[np.generic], scales: NDArray[np.float32], axis: int) -> int:
        """An int8 or int32 value that is stored in the file, its steps by channel along `axis`."""
        constant, stored = self._store(array), self._store(scales, "scale_")
        parameters = self._schema.PerChannelQuant([], axis, scale_buffer_idx=stored, num_scales=scales.size)
        inner, kind = self._constants.XNN_INVALID_VALUE_ID, f"qcint{8 * array.itemsize}"
        return self._define(array.shape, external=inner, constant=constant, kind=kind, quantisation=parameters)

    def skip(self, operators: int) -> None:
        """Count operators of the torch graph that no node stands for."""
        self._handle += operators

    def node(self, kind: str, *, clamp: Limits | None = None, of_last: bool = False, **fields: int) -> None:
        """Append a node. kind: its class in the schema, whose fields are given but for `flags`, 0 where it is not.

        clamp: limits of its output, of an operator that came after it. of_last: whether it stands for the same torch
        operator as the node before.
        """
        self._append(kind, {"flags": 0} | fields, self._handle if of_last else self._next_handle(), clamp)
        if clamp is not None:
            self.skip(1)

    def clamp(self, source: int, target: int, limits: Limits) -> None:
        """Append a clamp that no other node absorbed."""
        self._append("XNNClamp", {"input_id": source, "output_id": target, "flags": 0}, self._next_handle(), limits)

    def pad_channels(self, source: int, target: int, more: int) -> None:
        """Append channels of zeros behind those of an image that lies channels last."""
        fields = {"pre_paddings": [0] * 4, "post_paddings": [0, 0, 0, more], "padding_value": 0.0}
        ends = {"input_id": source, "output_id": target, "flags": 0}
        self._append("XNNStaticConstantPad", fields | ends, self._next_handle(), None)

    def reshape(self, source: int, target: int, dims: Sequence[int]) -> None:
        """Append a change of shape to `dims`; the memory stays as it is."""
        fields = {"num_dims": len(dims), "new_shape": list(dims), "input_id": source, "output_id": target, "flags": 0}
        self._append("XNNStaticReshape", fields, self._next_handle(), None)

    def quantise(self, source: int, target: int) -> None:
        """Append a change from float32 to int8."""
        self._append("XNNConvert", {"input_id": source, "output_id": target, "flags": 0}, self._next_handle(), None)

    def dequantise(self, source: int, target: int, *, transposed: bool) -> None:
        """Append a change from int8 to float32, counted with the node before it unless that is a transposition."""
        handle = self._no_handle if transposed else self._handle
        self._append("XNNConvert", {"input_id": source, "output_id": target, "flags": 0}, handle, None)

    def transpose(self, source: int, target: int, order: Sequence[int]) -> None:
        """Append a change of memory order, which stands for no torch operator."""
        fields = {"num_dims": len(order), "perm": list(order), "input_id": source, "output_id": target, "flags": 0}
        self._append("XNNStaticTranspose", fields, self._no_handle, None)

    def finish(self) -> Delegate:
        """The delegate's data."""
        from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import serialize_xnnpack_binary

        self._graph.num_externs = len(self._graph.input_ids) + len(self._graph.output_ids)
        return Delegate(serialize_xnnpack_binary(self._graph, bytearray()), dict(self._stored))

    def _next_handle(self) -> int:
        self._handle += 1
        return self._handle

    def _activation(self, dims: Sequence[int], quantisation: Quantisation | None, *, external: int, flags: int) -> int:
        if quantisation is None:
            return self._define(dims, external=external, flags=flags)
        parameters = self._schema.PerTensorQuant(quantisation.scale, quantisation.zero_point)
        return self._define(dims, external=external, flags=flags, kind="qint8", quantisation=parameters)

    def _store(self, array: NDArray[Any], prefix: str = "") -> int:
        """Keep a constant's bytes; returns its entry."""
        content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        key = prefix + hashlib.sha256(content).hexdigest()
        self._stored[key] = content
        entry = self._schema.ConstantDataOffset(self._constants.UINT64_MAX, len(content), named_key=key)
        self._graph.constant_data.append(entry)
        return len(self._graph.constant_data) - 1

    def _define(
        self,
        dims: Sequence[int],
        *,
        external: int,
        flags: int = 0,
        constant: int = 0,
        kind: str = "fp32",
        quantisation: Any = None,
    ) -> int:
        number = len(self._graph.xvalues)
        value = self._schema.XNNTensorValue(
            datatype=self._schema.XNNDatatype[f"xnn_datatype_{kind}"],
            num_dims=len(dims),
            dims=list(dims),
            constant_buffer_idx=constant,
            external_id=external,
            flags=flags,
            id_out=number,
        )
        if quantisation is not None:
            value = self._schema.XNNQuantizedTensorValue(value, quantisation)
        self._graph.xvalues.append(self._schema.XValue(value))
        return number

    def _append(self, kind: str, fields: dict[str, Any], handle: int, clamp: Limits | None) -> None:
        limits = None if clamp is None else self._schema.OutputMinMax(*clamp)
        self._graph.xnodes.append(self._schema.XNode(getattr(self._schema, kind)(**fields), handle, limits))
