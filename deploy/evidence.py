"""What is known of an exported file: what it was made of, how it was made, and how near it comes to torch."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from deploy.accuracy import Model, outputs_of, top1_percent, top5_percent, torch_model
from deploy.fingerprint import weights_sha256
from deploy.interpreters import load_interpreter, runtime_version
from deploy.kinds import Kind
from deploy.manifest import ExportedFile, TensorInfo
from deploy.parity import check_parity, keeps_accuracy
from deploy.subject import Subject, deployed_module
from deploy.tflite_network import Converter
from deploy.tflite_schema import INPUT_NAME, OUTPUT_NAME
from pocketnas_base.artifact import Artifact, Precision, Runtime
from pocketnas_base.errors import InputError
from pocketnas_base.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

SUFFIX: dict[Runtime, str] = {"tflite": ".tflite", "executorch": ".pte"}

RECIPE_VERSION = 3
"""Raise it whenever other files are made of the same network by the same converters: older ones are then made again."""


@dataclass(frozen=True, slots=True)
class Ends:
    """What a file of a network takes and gives."""

    input: TensorInfo
    output: TensorInfo


@dataclass(frozen=True, slots=True)
class Expected:
    """What torch gives for the subject's images: outputs [N, ...], and with labels its accuracy in percent."""

    outputs: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    top1: float | None
    top5: float | None


def expected_of(subject: Subject, progress: Progress) -> Expected:
    """Run torch on all of the subject's images. Raises InputError where its labels do not fit its outputs."""
    model = _fed(torch_model(deployed_module(subject, from_pixels=False)), subject.prepared)
    outputs = outputs_of(model, subject.images.detach().cpu().numpy(), what="torch", progress=progress)
    if subject.labels is None:
        return Expected(outputs, None, None, None)
    labels = subject.labels.detach().cpu().numpy().astype(np.int64)
    if outputs.ndim != 2 or int(labels.max()) >= outputs.shape[1] or int(labels.min()) < 0:
        raise InputError(f"labels up to {labels.max()} do not fit outputs of {list(outputs.shape[1:])}")
    return Expected(outputs, labels, top1_percent(outputs, labels), top5_percent(outputs, labels))


def ends_of(subject: Subject, runtime: Runtime, expected: Expected) -> Ends:
    """What the runtime's files of the subject take and give."""
    return Ends(_input(subject, runtime), _output(expected.outputs.shape[1:], runtime))


def described(
    subject: Subject, converter: Converter, artifact: Artifact, expected: Expected, progress: Progress
) -> ExportedFile:
    """Run a file on all of the subject's images, and describe it by what it gives."""
    model = _fed(load_interpreter(artifact), subject.taken)
    images = subject.images.detach().cpu().numpy()
    found = outputs_of(model, images, what=artifact.path.name, progress=progress)
    labels = expected.labels
    return ExportedFile(
        name=subject.name,
        artifact=artifact,
        bytes=artifact.path.stat().st_size,
        input=_input(subject, artifact.runtime),
        output=_output(expected.outputs.shape[1:], artifact.runtime),
        parity=check_parity(expected.outputs, found, artifact.precision),
        top1=None if labels is None else top1_percent(found, labels),
        torch_top1=expected.top1,
        top5=None if labels is None else top5_percent(found, labels),
        torch_top5=expected.top5,
        labelled_images=0 if labels is None else len(labels),
        **identity(subject, artifact.runtime, artifact.precision, converter),
        tool_version=_tool_version(),
    )


def why_rejected(file: ExportedFile) -> str | None:
    """What keeps a file from being deployed; None: nothing."""
    if not file.parity.passed:
        return f"computes otherwise than torch: {file.parity.describe()}"
    if file.top1 is None or file.torch_top1 is None:
        return None
    if keeps_accuracy(file.torch_top1, file.top1, file.labelled_images, file.artifact.precision):
        return None
    return f"is right on {file.top1:.2f} % of {file.labelled_images} images, torch on {file.torch_top1:.2f} %"


def identity(subject: Subject, runtime: Runtime, precision: Precision, converter: Converter) -> dict[str, Any]:
    """The fields of a file that decide whether it would be made again just so."""
    return {
        "weights_sha256": weights_sha256(subject.network),
        "architecture_sha256": subject.structure_sha256,
        "images_sha256": subject.images_sha256,
        "runtime_version": runtime_version(runtime),
        "exporter": exporter_of(runtime, converter),
        "normalisation": subject.normalisation,
        "softmax": subject.softmax,
        "labels": subject.class_names,
        "calibration": subject.calibrated_with if precision == "int8" else None,
        "weights_licence": subject.weights_licence,
    }


def exporter_of(runtime: Runtime, converter: Converter = "onnx2tf") -> str:
    """What makes such files, with versions; `recipe` is how we ask it to."""
    names = {
        "executorch": ("executorch", "torch"),
        "onnx2tf": ("onnx2tf", "tensorflow", "onnx", "ai-edge-quantizer", "torch"),
        "litert-torch": ("litert-torch", "ai-edge-quantizer", "torch"),
    }[converter if runtime == "tflite" else "executorch"]
    return ", ".join([*(f"{name} {version(name)}" for name in names), f"recipe {RECIPE_VERSION}"])


def kind_of(file: ExportedFile) -> Kind:
    """Its runtime and precision."""
    return file.artifact.runtime, file.artifact.precision


def file_stem(name: str) -> str:
    """A name as a file name's beginning: all but letters, digits, `.`, `_`, `-` becomes `-`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-") or "network"


def file_name(subject: Subject, runtime: Runtime, precision: Precision) -> str:
    """What a file of the subject is called."""
    return f"{file_stem(subject.name)}_{precision}{SUFFIX[runtime]}"


def _input(subject: Subject, runtime: Runtime) -> TensorInfo:
    channels, height, width = subject.input_shape
    kind: Literal["uint8", "float32"] = "uint8" if subject.uint8_input else "float32"
    if runtime == "tflite":
        return TensorInfo(INPUT_NAME, (1, height, width, channels), "NHWC", kind)
    return TensorInfo(INPUT_NAME, (1, channels, height, width), "NCHW", kind)


def _output(shape: tuple[int, ...], runtime: Runtime) -> TensorInfo:
    """shape: of one image's output, as torch has it."""
    if len(shape) != 3:
        return TensorInfo(OUTPUT_NAME, (1, *shape), "NC" if len(shape) == 1 else "other")
    channels, height, width = shape
    if runtime == "tflite":
        return TensorInfo(OUTPUT_NAME, (1, height, width, channels), "NHWC")
    return TensorInfo(OUTPUT_NAME, (1, channels, height, width), "NCHW")


def _fed(model: Model, prepare: Callable[["Tensor"], "Tensor"]) -> Model:
    """A model of images as the subject has them: prepared a few hundred at a time, since floats of all of them may not
    fit into memory."""
    import torch

    return lambda images: model(prepare(torch.from_numpy(images)).numpy())


def _tool_version() -> str:
    try:
        return version("pocketnas")
    except PackageNotFoundError:
        return "unknown"
