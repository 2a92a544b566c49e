"""Whole networks as .pte files by ExecuTorch's own exporter, one file a precision, in worker processes."""

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deploy.program import exported_program, save_program
from deploy.subject import Subject, deployed_module
from deploy.workers import Job, run_jobs
from pocketnas_base.artifact import Precision

if TYPE_CHECKING:
    import torch
    from torch import nn

_WORKER = "deploy.pte_network_worker"
# A worker holds the exporter and a copy of the network.
_MAX_WORKERS = 2


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
    Raises ExportError; what the exporter printed is then kept in `log`.
    """
    with tempfile.TemporaryDirectory(prefix="pocketnas-executorch-") as name:
        folder = Path(name)
        plain = deployed_module(subject, from_pixels=subject.uint8_input)
        example = subject.example()
        jobs: dict[Precision, Job] = {}
        if set(paths) - {"fp16"}:
            save_program(exported_program(plain, example), folder / "float32.pt2")
        if "fp16" in paths:
            save_program(exported_program(_in_half(plain, subject), example), folder / "float16.pt2")
        if "int8" in paths:
            assert subject.calibration is not None
            np.save(folder / "calibration.npy", subject.taken(subject.calibration).numpy(), allow_pickle=False)
        for precision, path in paths.items():
            jobs[precision] = {
                "program": str(folder / ("float16.pt2" if precision == "fp16" else "float32.pt2")),
                "calibration": str(folder / "calibration.npy") if precision == "int8" else None,
                "path": str(path.resolve()),
            }
        names = list(jobs)
        workers = min(_MAX_WORKERS, os.cpu_count() or 1, len(jobs))
        run_jobs(
            _WORKER,
            [jobs[each] for each in names],
            log.resolve(),
            workers=workers,
            finished=lambda index: finished(names[index]),
        )


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
