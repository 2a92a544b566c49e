"""A trained network to files that were seen to compute what it computes."""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deploy import executorch_export, tflite_onnx
from deploy.accuracy import outputs_of, top1_percent, torch_model
from deploy.fingerprint import architecture_sha256, images_sha256, weights_sha256
from deploy.interpreters import load_interpreter, runtime_version
from deploy.manifest import ExportedFile, TensorInfo, is_intact, read_manifest, write_manifest
from deploy.parity import check_parity
from deploy.samples import SAMPLE_VERSION, network_sample
from deploy.tflite_schema import INPUT_NAME, OUTPUT_NAME
from deploy.tflite_writer import WRITER_VERSION, write_tflite
from pocketnas_base.artifact import RUNTIMES, Artifact, Precision, Runtime
from pocketnas_base.errors import ExportError, InputError
from pocketnas_base.files import read_json, sha256_file, write_bytes, write_json
from pocketnas_base.progress import Progress, silent
from search.architecture import Architecture

if TYPE_CHECKING:
    from torch import Tensor, nn

PRECISION: Precision = "fp32"
SUFFIX: dict[Runtime, str] = {"tflite": ".tflite", "executorch": ".pte"}
EXPORTERS: dict[Runtime, tuple[str, ...]] = {
    "tflite": ("onnx2tf", "tensorflow", "onnx", "torch"),
    "executorch": ("executorch", "torch"),
}

PRECISION: Precision = "fp32"

# Without labels there is no accuracy to measure, and so many images are enough to compare outputs on.
UNLABELLED_IMAGES = 256

# A run's progress in units of effort: a conversion, and a check on all images.
_CONVERT, _CHECK = 50, 50


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is exported: a network, and torch's outputs on the images that every file is held against."""

    network: "nn.Module"
    architecture: Architecture
    images: "Tensor"
    labels: NDArray[np.int64] | None
    weights_sha256: str
    architecture_sha256: str
    images_sha256: str


def export_network(
    network: "nn.Module",
    architecture: Architecture,
    out_dir: Path,
    *,
    images: "Tensor",
    labels: "Tensor | None" = None,
    runtimes: Sequence[Runtime] = RUNTIMES,
    progress: Progress = silent,
) -> list[ExportedFile]:
    """Write `<name>_fp32.tflite` and `<name>_fp32.pte` of a trained network, with `manifest.json`, into `out_dir`.

    images: [N, C, H, W] float32, real ones, prepared as in training; every file's outputs on them are held against
      torch's: on all of them where labels [N] are given, and then top-1 is measured, else on the first 256.
    A file gets its final name only after it passed; one whose manifest entry is of the same weights, images and
    versions is left as it is. Raises ExportError when a conversion fails (with the name of its log) or a file computes
    otherwise than torch (it is kept as `<name>.rejected`, with a report beside it).
    """
    subject = _subject(network, architecture, images, labels)
    kept = _still_valid(out_dir, subject)
    files = {file.artifact.runtime: file for file in kept}
    missing = [runtime for runtime in dict.fromkeys(runtimes) if runtime not in files]
    total = _CHECK + len(missing) * (_CONVERT + _CHECK) if missing else 1
    if missing:
        out_dir.mkdir(parents=True, exist_ok=True)
        # Whatever stands under a final name belongs to the manifest, also while the rest is in the making.
        write_manifest(out_dir, kept)
        expected = outputs_of(
            torch_model(network),
            _array(subject.images),
            what="torch",
            progress=lambda done, of, what: progress(_CHECK * done // of, total, f"outputs of {what}"),
        )
    for number, runtime in enumerate(missing):
        start = _CHECK + number * (_CONVERT + _CHECK)
        progress(start, total, f"converting to {runtime}")
        files[runtime] = _export(subject, runtime, out_dir, expected, _checking(progress, start + _CONVERT, total))
        write_manifest(out_dir, [files[each] for each in RUNTIMES if each in files])
    progress(total, total, "exported")
    return [files[runtime] for runtime in dict.fromkeys(runtimes)]


def load_exported(folder: Path) -> list[ExportedFile]:
    """The files that were exported into `folder`, each still what was checked; empty where nothing was.

    Raises InputError when the manifest is damaged, or a file of it missing or changed.
    """
    files = read_manifest(folder)
    for file in files:
        if not is_intact(file):
            raise InputError(f"{file.artifact.path} is missing, or not the file that was exported; export again")
    return files


def export_untrained(architecture: Architecture, folder: Path, *, runtime: Runtime, seed: int = 0) -> Artifact:
    """`<name>_untrained_fp32.tflite` or `.pte`, with made-up weights: for latency, which does not depend on them.

    The .tflite is written straight from the schema, with the operators that onnx2tf chooses. A file that was made
    before, of the same architecture, seed and versions, is left as it is. Raises ExportError.
    """
    path = folder / f"{file_stem(architecture)}_untrained_fp32{SUFFIX[runtime]}"
    identity = {
        "architecture": architecture_sha256(architecture),
        "seed": seed,
        "exporter": _exporter(runtime),
        "made_by": [SAMPLE_VERSION, WRITER_VERSION, executorch_export.LOWERING_VERSION],
    }
    record = path.with_name(path.name + ".json")
    try:
        if read_json(record, what="record") == identity | {"sha256": sha256_file(path)}:
            return Artifact.of_file(path)
    except (InputError, OSError):
        pass  # not made before, or damaged: it is made now
    network = network_sample(architecture, seed)
    if runtime == "tflite":
        write_bytes(path, write_tflite(architecture.ops, list(network.get_submodule("ops").children())))
    else:
        executorch_export.convert_network(network, architecture, path, path.with_name(path.name + ".log"))
    write_json(record, identity | {"sha256": sha256_file(path)})
    return Artifact.of_file(path)


def file_stem(architecture: Architecture) -> str:
    """The architecture's name as a file name's beginning: all but letters, digits, `.`, `_`, `-` becomes `-`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", architecture.name).lstrip("._-") or "network"


def _subject(network: "nn.Module", architecture: Architecture, images: "Tensor", labels: "Tensor | None") -> _Subject:
    wanted = (architecture.image_channels, architecture.resolution, architecture.resolution)
    if images.ndim != 4 or tuple(images.shape[1:]) != wanted or len(images) == 0:
        raise InputError(f"{architecture.name} takes images of {list(wanted)}, not {list(images.shape)}")
    if labels is not None and labels.shape != images.shape[:1]:
        raise InputError(f"{len(images)} images cannot be checked with labels of {list(labels.shape)}")
    used = (images if labels is not None else images[:UNLABELLED_IMAGES]).detach().cpu().float().contiguous()
    return _Subject(
        network,
        architecture,
        used,
        None if labels is None else labels.detach().cpu().numpy().astype(np.int64),
        weights_sha256(network),
        architecture_sha256(architecture),
        images_sha256(used, labels),
    )


def _still_valid(out_dir: Path, subject: _Subject) -> list[ExportedFile]:
    """The manifest's files that are intact and of this network, images and versions; the others are removed."""
    valid = []
    for file in read_manifest(out_dir):
        runtime = file.artifact.runtime
        same = (
            file.name == subject.architecture.name
            and file.artifact.path.name == _file_name(subject.architecture, runtime)
            and file.weights_sha256 == subject.weights_sha256
            and file.architecture_sha256 == subject.architecture_sha256
            and file.images_sha256 == subject.images_sha256
            and file.exporter == _exporter(runtime)
            and file.runtime_version == runtime_version(runtime)
        )
        if same and file.parity.passed and is_intact(file):
            valid.append(file)
        else:
            file.artifact.path.unlink(missing_ok=True)
    return valid


def _export(
    subject: _Subject, runtime: Runtime, out_dir: Path, expected: NDArray[np.float32], checking: Progress
) -> ExportedFile:
    final = out_dir / _file_name(subject.architecture, runtime)
    with tempfile.TemporaryDirectory(prefix=".exporting-", dir=out_dir) as workshop:
        path = Path(workshop) / final.name
        _convert(subject, runtime, path, final.with_name(final.name + ".log"))
        artifact = Artifact.of_file(path, PRECISION)
        found = outputs_of(load_interpreter(artifact), _array(subject.images), what=final.name, progress=checking)
        file = _describe(subject, replace(artifact, path=final), path.stat().st_size, expected, found)
        if not file.parity.passed:
            rejected = final.with_name(final.name + ".rejected")
            path.replace(rejected)
            write_json(rejected.with_name(rejected.name + ".json"), {"parity": file.parity.to_dict()})
            raise ExportError(
                f"{final.name} does not compute what torch does: {file.parity.describe()}; see {rejected}"
            )
        path.replace(final)
    for suffix in (".rejected", ".rejected.json"):
        final.with_name(final.name + suffix).unlink(missing_ok=True)
    return file


def _convert(subject: _Subject, runtime: Runtime, path: Path, log: Path) -> None:
    if runtime == "tflite":
        tflite_onnx.convert_network(subject.network, subject.images, path, log)
    else:
        executorch_export.convert_network(subject.network, subject.architecture, path, log)


def _describe(
    subject: _Subject, artifact: Artifact, size: int, expected: NDArray[np.float32], found: NDArray[np.float32]
) -> ExportedFile:
    pixels, channels = subject.architecture.resolution, subject.architecture.image_channels
    taken = (
        TensorInfo(INPUT_NAME, (1, pixels, pixels, channels), "NHWC")
        if artifact.runtime == "tflite"
        else TensorInfo(INPUT_NAME, (1, channels, pixels, pixels), "NCHW")
    )
    labels = subject.labels
    return ExportedFile(
        name=subject.architecture.name,
        artifact=artifact,
        bytes=size,
        input=taken,
        output=TensorInfo(OUTPUT_NAME, (1, subject.architecture.classes), "NC"),
        parity=check_parity(expected, found, artifact.precision),
        top1=None if labels is None else top1_percent(found, labels),
        torch_top1=None if labels is None else top1_percent(expected, labels),
        weights_sha256=subject.weights_sha256,
        architecture_sha256=subject.architecture_sha256,
        images_sha256=subject.images_sha256,
        runtime_version=runtime_version(artifact.runtime),
        exporter=_exporter(artifact.runtime),
        tool_version=_tool_version(),
    )


def _file_name(architecture: Architecture, runtime: Runtime) -> str:
    return f"{file_stem(architecture)}_{PRECISION}{SUFFIX[runtime]}"


def _exporter(runtime: Runtime) -> str:
    return ", ".join(f"{name} {version(name)}" for name in EXPORTERS[runtime])


def _tool_version() -> str:
    try:
        return version("pocketnas")
    except PackageNotFoundError:
        return "unknown"


def _array(images: "Tensor") -> NDArray[np.float32]:
    array: NDArray[np.float32] = images.numpy()
    return array
