"""Whether an exported file is of the format, and of the surface, that its manifest says: read, never run."""

import struct
from collections.abc import Collection
from typing import Any, Protocol

from deploy.manifest import TensorInfo
from deploy.tflite_schema import FILE_IDENTIFIER, SCHEMA_VERSION, custom_operators

# What a reader of flatbuffers raises when offsets lead elsewhere.
_DAMAGE = (struct.error, ValueError, IndexError, TypeError, AttributeError, OverflowError, MemoryError, RecursionError)
_SELECT_TF = "Flex"
_PTE_SCHEMA_VERSION = 0
_PTE_DELEGATES = frozenset({"XnnpackBackend"})


class Surface(Protocol):
    """What a file is to take and give: an entry of a manifest, or what is about to become one."""

    @property
    def input(self) -> TensorInfo: ...

    @property
    def output(self) -> TensorInfo: ...


def tflite_problems(content: bytes, file: Surface) -> list[str]:
    """What is wrong with a .tflite: schema version, operators that the stock interpreter lacks, surface."""
    from ai_edge_litert import schema_py_generated as schema

    if content[4:8] != FILE_IDENTIFIER:
        return ["is no .tflite file: its identifier is missing"]
    try:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        return _tflite_problems(model, file, schema)
    except _DAMAGE:
        return ["is damaged: its tables lead outside the file"]


def pte_problems(content: bytes, file: Surface, known_operators: Collection[str]) -> list[str]:
    """What is wrong with a .pte: schema version, delegates and operators that the stock runtime lacks, surface.

    known_operators: what the runtime has kernels for, `namespace::name.overload`.
    """
    from executorch.exir._serialize._program import deserialize_pte_binary

    try:
        program = deserialize_pte_binary(content).program
        return _pte_problems(program, file, known_operators)
    except _DAMAGE:
        return ["is no .pte file, or damaged: its tables lead outside the file"]


def _tflite_problems(model: Any, file: Surface, schema: Any) -> list[str]:
    problems = []
    if model.version != SCHEMA_VERSION:
        problems.append(f"is of schema {model.version}, {SCHEMA_VERSION} is what interpreters read")
    for name in custom_operators(model):
        kind = "a select-TF operator" if name.startswith(_SELECT_TF) else "a custom operator"
        problems.append(f"needs {kind}, {_shown(name)}, which the stock interpreter does not have")
    graph = model.subgraphs[0]
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        return [*problems, f"has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; one of each is needed"]
    kinds = {schema.TensorType.FLOAT32: "float32", schema.TensorType.UINT8: "uint8", schema.TensorType.INT8: "int8"}
    for what, wanted, index in (("input", file.input, graph.inputs[0]), ("output", file.output, graph.outputs[0])):
        tensor = graph.tensors[index]
        shape = tuple(int(size) for size in tensor.shape)
        problems += _surface(what, wanted, shape, kinds.get(tensor.type, f"type {tensor.type}"))
    return problems


def _pte_problems(program: Any, file: Surface, known_operators: Collection[str]) -> list[str]:
    problems = []
    if program.version != _PTE_SCHEMA_VERSION:
        problems.append(f"is of schema {program.version}, {_PTE_SCHEMA_VERSION} is what the runtime reads")
    plans = [plan for plan in program.execution_plan if plan.name == "forward"]
    if len(plans) != 1:
        return [*problems, "has no method `forward`"]
    (plan,) = plans
    for delegate in plan.delegates:
        if delegate.id not in _PTE_DELEGATES:
            problems.append(f"needs the delegate {_shown(delegate.id)}; phones have {', '.join(_PTE_DELEGATES)}")
    for operator in plan.operators:
        name = f"{operator.name}.{operator.overload}" if operator.overload else operator.name
        if name not in known_operators:
            problems.append(f"needs a custom operator, {_shown(name)}, which the stock runtime does not have")
    if len(plan.inputs) != 1 or len(plan.outputs) != 1:
        return [*problems, f"has {len(plan.inputs)} inputs and {len(plan.outputs)} outputs; one of each is needed"]
    for what, wanted, index in (("input", file.input, plan.inputs[0]), ("output", file.output, plan.outputs[0])):
        tensor = plan.values[index].val
        kind = {"FLOAT": "float32", "BYTE": "uint8", "CHAR": "int8"}.get(tensor.scalar_type.name, "another type")
        problems += _surface(what, wanted, tuple(tensor.sizes), kind)
        if list(tensor.dim_order) != sorted(tensor.dim_order):
            problems.append(f"lays its {what} out in the order {list(tensor.dim_order)}, not contiguously")
    return problems


def _surface(what: str, wanted: TensorInfo, shape: tuple[int, ...], kind: str) -> list[str]:
    if (shape, kind) == (wanted.shape, wanted.dtype):
        return []
    return [f"has an {what} of {kind} {list(shape)}, its manifest says {wanted.dtype} {list(wanted.shape)}"]


def _shown(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:80])
