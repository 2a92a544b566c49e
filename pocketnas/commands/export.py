"""`pocketnas export` of any network: a module of the user's own, or an architecture of ours with its weights."""

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.evidence import file_stem
from deploy.export_model import export_model
from deploy.kinds import kinds_of
from deploy.manifest import About, ExportedFile
from deploy.subject import MAX_CALIBRATION_IMAGES, Subject
from deploy.tflite_network import CONVERTERS, check_converter
from pocketnas.console import print_json, print_table, progress_bar
from pocketnas.export_images import NamedImages, labels_as, named_images, spread_over
from pocketnas.export_words import known_of, labels_of, normalisation_of, shape_of
from pocketnas.outside_delegate import outside_delegate
from pocketnas_base.artifact import PRECISIONS, RUNTIMES, Artifact
from pocketnas_base.errors import InputError
from search.architecture import Architecture

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What the command line asked for, as text. mean, std: of pixels from 0 to 255, one number or one a channel. name:
    None: the function's, or the architecture's. profile: whether every file is run with a clock on its operators."""

    model: str | None = None
    architecture: str | None = None
    input: str | None = None
    weights: Path | None = None
    out: Path | None = None
    name: str | None = None
    runtimes: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    converter: str = "onnx2tf"
    calibration_images: str | None = None
    test_images: str | None = None
    labels: Path | None = None
    mean: str | None = None
    std: str | None = None
    uint8_input: bool = False
    softmax: bool = False
    licence: str | None = None
    profile: bool = True
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class _Network:
    name: str
    network: "nn.Module"
    input_shape: tuple[int, int, int]
    architecture: Architecture | None


def export_any(options: ExportOptions) -> None:
    """Export one network as the options say, and print what was made.

    Raises InputError for options that make no sense, before anything is converted, and what `export_model` raises.
    """
    from deploy.bundle import finishing

    runtimes = known_of(options.runtimes, RUNTIMES, "--runtime") or list(RUNTIMES)
    precisions = known_of(options.precisions, PRECISIONS, "--precision") or ["fp32"]
    (converter,) = known_of((options.converter,), CONVERTERS, "--converter")
    kinds = kinds_of(runtimes, precisions)
    check_converter(converter)
    if options.test_images is None and options.calibration_images is None:
        raise InputError("files are checked on real images: name some with --test-images or --calibration-images")
    if options.calibration_images is None and any(precision == "int8" for _, precision in kinds):
        raise InputError("int8 needs images to see the ranges of activations on: name some with --calibration-images")
    network = _network(options)
    subject = _subject(options, network, needs_calibration=any(precision == "int8" for _, precision in kinds))
    out = options.out or Path("deploy") / file_stem(subject.name)
    with progress_bar("export") as progress, finishing(out, About(title=subject.name)):
        files = export_model(
            subject,
            out,
            runtimes=runtimes,
            precisions=precisions,
            converter=converter,
            profiler=outside_delegate if options.profile else None,
            progress=progress,
        )
    if options.as_json:
        print_json([_as_json(file) for file in files])
    else:
        _print(out, files)


def _network(options: ExportOptions) -> _Network:
    if (options.model is None) == (options.architecture is None):
        raise InputError("name what to export: a run, --model MODULE:FUNCTION, or --architecture ARCH")
    if options.architecture is not None:
        from search.network import load_network
        from search.zoo import load_architecture

        if options.input is not None:
            raise InputError("an architecture knows its own input; leave --input out")
        if options.weights is None:
            raise InputError("an architecture is exported with its weights: name them with --weights")
        architecture = load_architecture(options.architecture)
        shape = (architecture.image_channels, architecture.resolution, architecture.resolution)
        network = load_network(architecture, options.weights)
        return _Network(options.name or architecture.name, network, shape, architecture)
    assert options.model is not None
    if options.input is None:
        raise InputError("say what the network takes: --input CHANNELSxHEIGHTxWIDTH, such as 3x224x224")
    shape = shape_of(options.input)
    module = _module(options.model)
    if options.weights is not None:
        _load(module, options.weights, options.model)
    name = options.name or options.model.rpartition(":")[2]
    return _Network(name, module.eval(), shape, None)


def _module(spec: str) -> "nn.Module":
    from torch import nn

    from search.user_function import call_user_function

    with contextlib.redirect_stdout(sys.stderr):
        made = call_user_function(spec, "model")
    if not isinstance(made, nn.Module):
        raise InputError(f"model {spec} returned a {type(made).__name__}; it must return a torch.nn.Module")
    return made


def _load(module: "nn.Module", path: Path, spec: str) -> None:
    from search.network import load_weights

    state = load_weights(path)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).partition("\n")[2].split()) or " ".join(str(error).split())
        raise InputError(f"weights {path} do not fit model {spec}: {reason:.200}") from None


def _subject(options: ExportOptions, network: _Network, *, needs_calibration: bool) -> Subject:
    import torch

    class_names, outputs = labels_of(options.labels), _outputs(network, options)
    calibration: NamedImages | None = None
    with progress_bar("images") as progress:
        if options.calibration_images is not None:
            calibration = named_images(
                options.calibration_images,
                network.input_shape,
                what="calibration images",
                part="train",
                progress=progress,
            )
        test = calibration
        if options.test_images is not None:
            test = named_images(
                options.test_images, network.input_shape, what="test images", part="test", progress=progress
            )
    assert test is not None
    labels = None
    if test.labels is not None and options.test_images is not None and len(outputs) == 1:
        labels = labels_as(test, class_names, outputs[0], f"test images {options.test_images}")
        class_names = class_names or test.classes
    if class_names is not None and len(outputs) == 1 and len(class_names) != outputs[0]:
        raise InputError(f"{len(class_names)} labels were given for a network of {outputs[0]} outputs")
    if options.softmax and len(outputs) != 1:
        raise InputError(f"softmax is for a network that gives one number a class, not {list(outputs)}")
    return Subject(
        name=network.name,
        network=network.network,
        input_shape=network.input_shape,
        images=test.images if labels is not None else spread_over(test.images, MAX_CALIBRATION_IMAGES),
        labels=labels if labels is None else labels.to(torch.int64),
        calibration=(
            spread_over(calibration.images, MAX_CALIBRATION_IMAGES)
            if needs_calibration and calibration is not None
            else None
        ),
        normalisation=normalisation_of(options.mean, options.std, network.input_shape[0]),
        class_names=class_names if len(outputs) == 1 else None,
        architecture=network.architecture,
        softmax=options.softmax,
        uint8_input=options.uint8_input,
        weights_licence=options.licence,
    )


def _outputs(network: _Network, options: ExportOptions) -> tuple[int, ...]:
    """The shape of one image's output. Raises InputError when the network does not take its input, or gives no single
    tensor of floats with one row an image."""
    import torch

    name = options.model or network.name
    try:
        with torch.inference_mode(), contextlib.redirect_stdout(sys.stderr):
            # Two, because files are compared with torch on many at a time.
            made = network.network(torch.zeros(2, *network.input_shape))
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{name} cannot be run on two images, {[2, *network.input_shape]}: {reason:.300}") from error
    if not isinstance(made, torch.Tensor):
        raise InputError(
            f"{name} gives {_kind(made)}; files hold one output, a tensor of [N, ...]: make it return the one you want"
        )
    if made.ndim < 2 or len(made) != 2:
        raise InputError(f"{name} gives {list(made.shape)} for two images; files hold one output of [N, ...]")
    if made.dtype != torch.float32:
        raise InputError(f"{name} gives {str(made.dtype).removeprefix('torch.')}; files hold an output of float32")
    return tuple(made.shape[1:])


def _kind(made: object) -> str:
    """What somebody's network gave, for a message."""
    named = f"a {type(made).__name__}"
    return f"{named} of {len(made)}" if isinstance(made, tuple | list | dict) else named


def _as_json(file: ExportedFile) -> dict[str, object]:
    artifact: Artifact = file.artifact
    return {
        "file": str(artifact.path),
        "runtime": artifact.runtime,
        "precision": artifact.precision,
        "sha256": artifact.sha256,
        "bytes": file.bytes,
        **{name: getattr(file, name) for name in ("top1", "torch_top1", "top5", "torch_top5", "labelled_images")},
        "parity": file.parity.to_dict(),
        "outside_delegate": None if file.outside_delegate is None else [asdict(each) for each in file.outside_delegate],
    }


def _print(out: Path, files: Sequence[ExportedFile]) -> None:
    def share(value: float | None) -> str:
        return "" if value is None else f"{value:.2f}"

    print_table(
        ["file", "MB", "off by", "dB", "cosine", "agrees %", "top-1 %", "torch %", "top-5 %", "torch 5 %"],
        [
            [
                file.artifact.path.name,
                f"{file.bytes / 1e6:.2f}",
                "" if file.parity.relative_error is None else f"{file.parity.relative_error:.1e}",
                "" if file.parity.snr_db is None else f"{file.parity.snr_db:.1f}",
                "" if file.parity.cosine is None else f"{file.parity.cosine:.5f}",
                share(file.parity.top1_agreement_percent),
                *(share(value) for value in (file.top1, file.torch_top1, file.top5, file.torch_top5)),
            ]
            for file in files
        ],
        title=f"{out}: {len(files)} files, each held against torch on {files[0].parity.images} images",
    )
    for file in files:
        for each in file.outside_delegate or ():
            took = "" if each.percent_of_time is None else f", {each.percent_of_time:.1f} % of the time here"
            print(f"{file.artifact.path.name}: {each.count} x {each.operator} outside the delegate{took}")
