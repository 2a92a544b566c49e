"""ExecuTorch with XNNPACK: .pte files of operators, made in worker processes."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.folding import folded
from deploy.workers import Job, run_jobs
from latency.opspec import OpSpec
from pocketnas_base.artifact import Precision
from pocketnas_base.errors import ExportError

if TYPE_CHECKING:
    from torch import Tensor, nn

LOWERING_VERSION = 4
"""Raise it whenever the .pte made of an operator changes: caches of operator files are keyed by it."""

_WORKER = "deploy.executorch_worker"
# A worker spends as long on its imports as on about so many operators.
_OPERATORS_PER_WORKER = 50
_MAX_WORKERS = 8


def lower(module: "nn.Module", example: "Tensor") -> bytes:
    """The .pte of a module for one input, in float32, batch norms folded, wholly delegated to XNNPACK.

    example: [1, C, H, W]; its memory layout, contiguous or channels last, becomes the program's input layout.
    Imports ExecuTorch, which prints: call it in a worker. Raises ExportError when an operator is left to no delegate.
    """
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    exported = torch.export.export(folded(module), (example,))
    lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
    nodes = [node for node in lowered.exported_program().graph.nodes if node.op == "call_function"]
    names = [getattr(node.target, "__name__", str(node.target)) for node in nodes]
    left = sorted({name for name in names if name not in ("executorch_call_delegate", "getitem")})
    if left or names.count("executorch_call_delegate") != 1:
        raise ExportError(f"XNNPACK did not take the whole model as one piece; left over: {', '.join(left) or 'a cut'}")
    return bytes(lowered.to_executorch().buffer)


def takes_channels_last(op: OpSpec) -> bool:
    """Whether an operator's own .pte has its tensors as [N, H, W, C] in memory.

    Inside a network XNNPACK passes activations on channels last, so an operator measured alone takes and gives them so
    too: with contiguous ones it would be charged two transpositions (a fifth of a small block's time) that the
    network does not make. Left contiguous: what has one channel or one pixel on either side (both layouts are then the
    same in memory, XNNPACK takes one for the other, and the exporter's program fails), and the classifier (channels
    last, its reshape would fall out of the delegate).
    """
    return op.kind not in ("classifier", "empty") and min(op.in_channels, op.out_channels, op.out_resolution) > 1


def lower_operators(
    jobs: "Sequence[tuple[OpSpec, Path]]",
    seed: int,
    log: Path,
    finished: Callable[[int], None],
    precision: Precision = "fp32",
    copies: int = 1,
) -> None:
    """Write the .pte of every operator, with its sample weights, to its path, on all cores (`pte_operators`).

    copies: how many of the operator a program holds. The sample's input and outputs are written beside it, in the
    memory order and the number type of the .pte.
    Raises ExportError naming the log, which is kept only then.
    """
    count = min(_MAX_WORKERS, os.cpu_count() or 1, -(-len(jobs) // _OPERATORS_PER_WORKER))
    described: list[Job] = [
        {"op": op.to_dict(), "seed": seed, "precision": precision, "copies": copies, "path": str(path.resolve())}
        for op, path in jobs
    ]
    run_jobs(_WORKER, described, log.resolve(), workers=count, finished=finished)
