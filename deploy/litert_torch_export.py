"""A network to .tflite by litert-torch, in a worker process: the converter for what onnx2tf cannot take."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.program import exported_program, save_program
from deploy.tflite_schema import with_signature
from deploy.workers import Job, run_jobs

if TYPE_CHECKING:
    from torch import Tensor, nn

_WORKER = "deploy.litert_torch_worker"


def convert_by_litert_torch(module: "nn.Module", example: "Tensor", log: Path) -> bytes:
    """The float32 .tflite (input NHWC, batch 1, signature `serving_default`) of a module in evaluation mode.

    Raises ExportError; what the converter printed is then kept in `log`.
    """
    with tempfile.TemporaryDirectory(prefix="pocketnas-litert-torch-", dir=log.resolve().parent) as name:
        program, made = Path(name) / "program.pt2", Path(name) / "model.tflite"
        save_program(exported_program(module, example), program)
        job: Job = {"program": str(program), "shape": list(example.shape), "path": str(made)}
        run_jobs(_WORKER, [job], log.resolve())
        return with_signature(made.read_bytes())
