"""A .pte program of one delegate: ExecuTorch's own schema and serialiser, without its exporter."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.chatter import captured
from deploy.pte_graph import Delegate

# executorch.exir: MemoryPlanningPass aligns every tensor so, apply_algo leaves so much room behind XNNPACK's.
_MEMORY_ALIGNMENT = 16
_XNNPACK_PADDING = 64
_FLOAT_BYTES = 4
# Memory 0 is that of constants, by the schema's convention.
_ACTIVATIONS = 1


@dataclass(frozen=True, slots=True)
class TensorShape:
    """A tensor of the program's surface: int8 if `integers`, else float32.

    sizes: as torch counts them. channels_last: as it lies in memory.
    """

    sizes: tuple[int, ...]
    channels_last: bool
    integers: bool

    @property
    def dim_order(self) -> tuple[int, ...]:
        """Axes from the outermost in memory to the innermost."""
        return (0, 2, 3, 1) if self.channels_last else tuple(range(len(self.sizes)))

    @property
    def bytes(self) -> int:
        """Memory that is planned for it, alignment included."""
        size = math.prod(self.sizes) * (1 if self.integers else _FLOAT_BYTES)
        return -(-size // _MEMORY_ALIGNMENT) * _MEMORY_ALIGNMENT


def write_program(delegate: Delegate, source: TensorShape, targets: Sequence[TensorShape]) -> bytes:
    """The .pte of a program `forward(source) -> targets` that is one call of the XNNPACK delegate; of several targets
    it gives a tuple.

    Byte for byte what `to_edge_transform_and_lower(...).to_executorch()` writes with its default configuration.
    """
    with captured("loading ExecuTorch"):
        from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import CONSTANT_TENSOR_ALIGNMENT
        from executorch.backends.xnnpack.xnnpack_preprocess import XnnpackBackend
        from executorch.exir import ExecutorchBackendConfig, schema
        from executorch.exir._serialize._named_data_store import NamedDataStore
        from executorch.exir._serialize._program import PTEFile, serialize_pte_binary
        from executorch.exir.version import EXECUTORCH_SCHEMA_VERSION

    tensors = (source, *targets)
    offsets = _plan(tensors)
    values = [
        schema.EValue(
            schema.Tensor(
                scalar_type=schema.ScalarType.CHAR if tensor.integers else schema.ScalarType.FLOAT,
                storage_offset=0,
                sizes=list(tensor.sizes),
                dim_order=list(tensor.dim_order),
                requires_grad=False,
                layout=0,
                data_buffer_idx=0,
                allocation_info=schema.AllocationDetails(_ACTIVATIONS, offset % 2**32, offset >> 32),
                shape_dynamism=schema.TensorShapeDynamism.STATIC,
            )
        )
        for tensor, offset in zip(tensors, offsets, strict=True)
    ]
    call = schema.Instruction(schema.DelegateCall(delegate_index=0, args=list(range(len(tensors)))))
    location = schema.BackendDelegateDataReference(schema.DataLocation.INLINE, 0)
    plan = schema.ExecutionPlan(
        name="forward",
        container_meta_type=schema.ContainerMetadata(*_call_signature(len(targets))),
        values=values,
        inputs=[0],
        outputs=list(range(1, len(tensors))),
        chains=[schema.Chain(inputs=[], outputs=[], instructions=[call], stacktrace=None)],
        operators=[],
        delegates=[schema.BackendDelegate(XnnpackBackend.__name__, location, compile_specs=[])],
        non_const_buffer_sizes=[0, sum(tensor.bytes for tensor in tensors) + _XNNPACK_PADDING],
    )
    program = schema.Program(
        version=EXECUTORCH_SCHEMA_VERSION,
        execution_plan=[plan],
        constant_buffer=[schema.Buffer(b"")],  # buffer 0 stands for tensors that are no constants
        backend_delegate_data=[schema.BackendDelegateInlineData(delegate.graph)],
        segments=[],
        constant_segment=schema.SubsegmentOffsets(segment_index=0, offsets=[]),
    )
    store = NamedDataStore()
    for key, content in delegate.constants.items():
        store.add_named_data(key, content, CONSTANT_TENSOR_ALIGNMENT)
    named = store.get_named_data_store_output() if delegate.constants else None
    config = ExecutorchBackendConfig()
    written = serialize_pte_binary(
        PTEFile(program, named_data=named),
        extract_delegate_segments=config.extract_delegate_segments,
        segment_alignment=config.segment_alignment,
        constant_tensor_alignment=config.constant_tensor_alignment,
        delegate_alignment=config.delegate_alignment,
    )
    return bytes(written)


def _plan(tensors: Sequence[TensorShape]) -> list[int]:
    """Where each tensor lies, in bytes from the memory's beginning: all alive at once, the largest first.

    Of equals the later one comes first, as in ExecuTorch's greedy plan.
    """
    offsets = [0] * len(tensors)
    taken = 0
    for index in sorted(range(len(tensors)), key=lambda index: (tensors[index].bytes, index), reverse=True):
        offsets[index] = taken
        taken += tensors[index].bytes
    return offsets


def _call_signature(targets: int) -> tuple[str, str]:
    """How `forward(tensor)` is called and what it returns, as torch writes such trees."""
    from torch.utils import _pytree as pytree

    arguments, result = pytree.tree_structure(((0,), {})), pytree.tree_structure(0 if targets == 1 else (0,) * targets)
    return pytree.treespec_dumps(arguments), pytree.treespec_dumps(result)
