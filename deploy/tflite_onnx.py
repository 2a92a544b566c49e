"""A network to .tflite by way of ONNX and onnx2tf, the converter that the product's files come from."""

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deploy.tflite_schema import INPUT_NAME, OUTPUT_NAME, with_signature
from deploy.workers import Job, Workers
from pocketnas_base.errors import ExportError

if TYPE_CHECKING:
    from torch import Tensor, nn

ONNX_OPSET = 17

_WORKER = "deploy.onnx2tf_worker"
# onnx2tf downloads this file unless the working directory holds it, and takes it as it is: NHWC, values in 0 to 1.
_SAMPLE_FILE = "calibration_image_sample_data_20x128x128x3_float32.npy"
_SAMPLE_IMAGES, _SAMPLE_SIZE, _SAMPLE_CHANNELS = 20, 128, 3


def convert_by_onnx2tf(module: "nn.Module", images: "Tensor", log: Path, *, strict: bool) -> bytes:
    """The float32 .tflite (input NHWC, batch 1, signature `serving_default`) of a module in evaluation mode.

    images: [N, C, H, W] float32, real ones: their size becomes the model's, and the converter's checks run on them.
    strict: onnx2tf compares every operator with ONNX Runtime and tries other axes where they differ, at several times
    the cost. It runs in a process of its own inside a fresh folder, without network access.
    Raises ExportError; what the converter printed is then kept in `log`.
    """
    with tempfile.TemporaryDirectory(prefix="pocketnas-onnx2tf-", dir=log.resolve().parent) as name:
        folder = Path(name)
        with Workers(_WORKER, log.resolve(), directory=folder) as started:
            write_onnx(module, images[:1], folder / "model.onnx")
            np.save(folder / _SAMPLE_FILE, _sample_images(images), allow_pickle=False)
            job: Job = {"onnx": "model.onnx", "folder": "converted", "strict": strict}
            started.run([job])
        converted = folder / "converted" / "model_float32.tflite"
        if not converted.is_file():
            raise ExportError(f"onnx2tf ended well but wrote no {converted.name}, so there is no .tflite file")
        return with_signature(converted.read_bytes())


def write_onnx(module: "nn.Module", example: "Tensor", path: Path) -> None:
    """Write a module as ONNX, for inputs of `example`'s shape. Raises ExportError."""
    import torch

    try:
        with warnings.catch_warnings(), torch.no_grad():
            # The newer exporter needs onnxscript and writes what onnx2tf 1.28 does not read. Control flow, of which the
            # tracer warns, is refused before.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                (example,),
                str(path),
                input_names=[INPUT_NAME],
                output_names=[OUTPUT_NAME],
                opset_version=ONNX_OPSET,
                dynamo=False,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ExportError(f"torch could not write the network as ONNX: {reason:.300}") from error


def _sample_images(images: "Tensor") -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    """The user's own images in the shape that onnx2tf looks for."""
    from torch.nn import functional

    chosen = images[:_SAMPLE_IMAGES].float()
    chosen = chosen.repeat(-(-_SAMPLE_IMAGES // len(chosen)), 1, 1, 1)[:_SAMPLE_IMAGES]
    chosen = chosen.repeat(1, -(-_SAMPLE_CHANNELS // chosen.shape[1]), 1, 1)[:, :_SAMPLE_CHANNELS]
    chosen = functional.interpolate(chosen, size=(_SAMPLE_SIZE, _SAMPLE_SIZE), mode="bilinear", align_corners=False)
    low, high = chosen.min(), chosen.max()
    scaled = (chosen - low) / (high - low).clamp_min(1e-6)
    return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).numpy(), np.float32)
