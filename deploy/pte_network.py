"""Whole networks as .pte files by ExecuTorch's own exporter, one file a precision, in worker processes."""

import os
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deploy.program import exported_program, save_program
from deploy.subject import Subject, deployed_module
from deploy.workers import Job, Workers
from pocketnas_base.artifact import Precision
from pocketnas_base.errors import ExportError

if TYPE_CHECKING:
    import torch
    from torch import nn

_WORKER = "deploy.pte_network_worker"
# A worker holds the exporter and a copy of the network.
_MAX_WORKERS = 2

_FLOAT32, _FLOAT16, _CALIBRATION = "float32.pt2", "float16.pt2", "calibration.npy"


def convert_to_pte(
    subject: Subject,
    paths: Mapping[Precision, Path],
    log: Path,
    finished: Callable[[Precision], None] = lambda _precision: None,
) -> None:
    """Write a .pte (input [1, C, H, W], contiguous) of every precision to its path.

    fp32: as it is. fp16: weights and activations float16, converted at the two ends, which stay float32; the file keeps
    convolution weights as float32, which is how XNNPACK takes them. int8: as XNNPACKQuantizer has it, weights by output
    channel, activations by tensor with the ranges seen on `subject.calibration`; its two ends stay float32.
    Operators that XNNPACK does not take are left to ExecuTorch's own kernels.
    finished: told of every precision whose file is there.
    Raises ExportError, when all others are done, with every precision that failed; what the exporter printed is then
    kept in `log`.
    """
    failures: dict[Precision, str] = {}
    with tempfile.TemporaryDirectory(prefix="pocketnas-executorch-", dir=log.resolve().parent) as name:
        folder = Path(name)
        workers = min(_MAX_WORKERS, os.cpu_count() or 1, len(paths))
        with Workers(_WORKER, log.resolve(), count=workers) as started:
            failures |= _save_inputs(subject, paths, folder)
            ready = [precision for precision in paths if precision not in failures]
            started.run(
                [_job(precision, paths[precision], folder) for precision in ready],
                lambda index: finished(ready[index]),
                lambda index, why: failures.update({ready[index]: why}),
            )
    if failures:
        said = "; ".join(f"{precision}: {failures[precision]}" for precision in paths if precision in failures)
        raise ExportError(said + (f"; what the exporter printed is in {log.resolve()}" if log.exists() else ""))


def _save_inputs(subject: Subject, precisions: Collection[Precision], folder: Path) -> dict[Precision, str]:
    """The programs and images that jobs name; what went wrong with one precision alone is returned."""
    plain, example = deployed_module(subject, from_pixels=subject.uint8_input), subject.example()
    if set(precisions) - {"fp16"}:
        save_program(exported_program(plain, example), folder / _FLOAT32)
    if "int8" in precisions:
        assert subject.calibration is not None
        np.save(folder / _CALIBRATION, subject.taken(subject.calibration).numpy(), allow_pickle=False)
    if "fp16" in precisions:
        # Code may hold float32 numbers of its own, which half-precision weights do not go with.
        try:
            save_program(exported_program(_in_half(plain, subject), example), folder / _FLOAT16)
        except ExportError as error:
            return {"fp16": str(error)}
    return {}


def _job(precision: Precision, path: Path, folder: Path) -> Job:
    return {
        "program": str(folder / (_FLOAT16 if precision == "fp16" else _FLOAT32)),
        "calibration": str(folder / _CALIBRATION) if precision == "int8" else None,
        "path": str(path.resolve()),
    }


def _in_half(plain: "nn.Module", subject: Subject) -> "nn.Module":
    """The module in float16 between two ends in float32; pixels are normalised before, in float32."""
    import copy

    import torch
    from torch import nn

    class Half(nn.Module):
        """float32 in and out."""

        def __init__(self, before: nn.Module, inner: nn.Module) -> None:
            super().__init__()
            self.before, self.inner = before, inner

        def forward(self, images: "torch.Tensor") -> "torch.Tensor":
            result: torch.Tensor = self.inner(self.before(images).half()).float()
            return result

    parts = copy.deepcopy(plain)
    if not subject.uint8_input:
        return Half(nn.Identity(), parts.half()).eval()
    assert isinstance(parts, nn.Sequential)
    return Half(parts[0], nn.Sequential(*list(parts)[1:]).half()).eval()
