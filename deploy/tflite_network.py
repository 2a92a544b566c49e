"""Whole networks as .tflite files: one conversion to float32, from which every precision is made."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from deploy.litert_torch_export import convert_by_litert_torch
from deploy.parity import check_parity
from deploy.subject import Subject, deployed_module
from deploy.tflite_metadata import with_metadata
from deploy.tflite_onnx import convert_by_onnx2tf
from deploy.tflite_quantise import in_precision
from deploy.tflite_schema import custom_operators, unpack
from deploy.tflite_surface import with_surface
from pocketnas_base.artifact import Precision
from pocketnas_base.errors import ExportError, MissingDependencyError

if TYPE_CHECKING:
    from torch import Tensor

Converter = Literal["onnx2tf", "litert-torch"]
CONVERTERS: tuple[Converter, ...] = get_args(Converter)

# What a fresh conversion is compared with torch on, before anything is made of it.
_TRIED_IMAGES = 4


def check_converter(converter: Converter) -> None:
    """Raise MissingDependencyError where a converter is not installed."""
    if converter == "litert-torch" and find_spec("litert_torch") is None:
        raise MissingDependencyError(
            "litert-torch is not installed: pip install 'pocketnas[litert-torch]', or leave --converter out"
        )


def float32_model(subject: Subject, converter: Converter, log: Path) -> bytes:
    """The converter's float32 .tflite: float32 in (pixels from 0 to 255 where files take pixels) and out, NHWC.

    onnx2tf first works without its own comparisons, which are most of its time; where what it made does not compute
    what torch computes on a few images, or it failed, it works again with them. They would not help a model that needs
    operators which no stock interpreter has: it is returned as it is, and whoever reads it refuses it by their names.
    Raises ExportError; what the converter printed is then kept in `log`.
    """
    module = deployed_module(subject, from_pixels=subject.uint8_input)
    images = _float_input(subject, subject.images[:_TRIED_IMAGES])
    if converter == "litert-torch":
        return convert_by_litert_torch(module, subject.example().float(), log)
    try:
        model = convert_by_onnx2tf(module, images, log, strict=False)
        if custom_operators(unpack(model)) or _computes_the_same(module, model, images):
            return model
    except ExportError:
        log.unlink(missing_ok=True)
    return convert_by_onnx2tf(module, images, log, strict=True)


def finished_model(subject: Subject, float32: bytes, precision: Precision) -> bytes:
    """The deployable file of one precision, with its metadata. Raises ExportError."""
    calibration = None
    if precision == "int8":
        assert subject.calibration is not None
        calibration = _channels_last(_float_input(subject, subject.calibration))
    # One step of int8 is one step of a pixel, whatever the images reach.
    content = in_precision(float32, precision, calibration, input_range=(0.0, 255.0) if subject.uint8_input else None)
    return with_metadata(
        with_surface(content, pixels=subject.uint8_input),
        name=subject.name,
        channels=subject.input_shape[0],
        normalisation=None if subject.uint8_input else subject.normalisation,
        labels=subject.class_names,
        licence=subject.weights_licence,
    )


def _float_input(subject: Subject, images: "Tensor") -> "Tensor":
    return subject.taken(images).float()


def _channels_last(images: "Tensor") -> NDArray[np.float32]:
    result: NDArray[np.float32] = np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())
    return result


def _computes_the_same(module: "Callable[[Tensor], Tensor]", model: bytes, images: "Tensor") -> bool:
    """Whether the float32 model gives torch's outputs; not so where it cannot be run or gives another shape."""
    import torch

    from deploy.interpreters import run_tflite

    with torch.inference_mode():
        expected = module(images).numpy()
    try:
        return check_parity(expected, run_tflite(model, images.numpy()), "fp32").passed
    except ExportError:
        return False
