"""A trained network to files that were seen to compute what it computes."""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
from deploy.operators import check_precision
from deploy.parity import check_parity
from deploy.pte_quantisation import quantised
from deploy.pte_writer import write_pte
from deploy.samples import SAMPLE_VERSION, network_sample
from deploy.tflite_int8 import quantise, write_int8
from deploy.tflite_layers import graph_of
from deploy.tflite_operators import TFLITE_VERSION
from deploy.tflite_schema import INPUT_NAME, OUTPUT_NAME
from deploy.tflite_writer import write_tflite
from pocketnas_base.artifact import RUNTIMES, Artifact, Precision, Runtime
from pocketnas_base.errors import ExportError, InputError
from pocketnas_base.files import read_json, sha256_file, write_bytes, write_json
from pocketnas_base.progress import Progress, silent
from search.architecture import Architecture

if TYPE_CHECKING:
    from torch import Tensor, nn

SUFFIX: dict[Runtime, str] = {"tflite": ".tflite", "executorch": ".pte"}
EXPORTERS: dict[Runtime, tuple[str, ...]] = {
    "tflite": ("onnx2tf", "tensorflow", "onnx", "torch"),
    "executorch": ("executorch", "torch"),
}

PRECISION: Precision = "fp32"

# Without labels there is no accuracy to measure, and so many images are enough to compare outputs on.
UNLABELLED_IMAGES = 256

# Of an untrained network: enough for ranges that no weight depends on.
CALIBRATION_IMAGES = 2

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


def export_untrained(
    architecture: Architecture, folder: Path, *, runtime: Runtime, precision: Precision = "fp32", seed: int = 0
) -> Artifact:
    """`<name>_untrained_fp32.tflite` or `.pte`, with made-up weights: for latency, which does not depend on them.

    Written straight from the format's schema: the .tflite with the operators that onnx2tf chooses, the .pte as
    ExecuTorch's exporter makes it. int8's ranges are those of a few images of noise; a .pte takes and gives float32 all
    the same, and converts at its two ends. A file that was made before, of the same architecture, seed and versions, is
    left as it is. Raises ExportError, and InputError for a precision that is not offered.
    """
    check_precision(runtime, precision)
    path = folder / f"{file_stem(architecture)}_untrained_{precision}{SUFFIX[runtime]}"
    identity = {
        "architecture": architecture_sha256(architecture),
        "precision": precision,
        "seed": seed,
        "exporter": _exporter(runtime),
        "made_by": [SAMPLE_VERSION, *TFLITE_VERSION[precision], executorch_export.LOWERING_VERSION],
    }
    record = path.with_name(path.name + ".json")
    try:
        if read_json(record, what="record") == identity | {"sha256": sha256_file(path)}:
            return Artifact.of_file(path, precision)
    except (InputError, OSError):
        pass  # not made before, or damaged: it is made now
    network = network_sample(architecture, seed)
    if runtime == "tflite":
        write_bytes(path, _untrained_tflite(network, architecture, precision, seed))
    else:
        write_bytes(path, _untrained_pte(network, architecture, precision, seed))
    write_json(record, identity | {"sha256": sha256_file(path)})
    return Artifact.of_file(path, precision)


def _untrained_tflite(network: "nn.Module", architecture: Architecture, precision: Precision, seed: int) -> bytes:
    modules = list(network.get_submodule("ops").children())
    if precision == "fp32":
        return write_tflite(architecture.ops, modules)
    return write_int8(quantise(graph_of(architecture.ops, modules), _noise(architecture, seed)))


def _untrained_pte(network: "nn.Module", architecture: Architecture, precision: Precision, seed: int) -> bytes:
    import torch

    modules = list(network.get_submodule("ops").children())
    if precision == "fp32":
        return write_pte(architecture.ops, modules, channels_last=False)
    images = torch.from_numpy(_noise(architecture, seed)).permute(0, 3, 1, 2)
    numbers = quantised(architecture.ops, modules, images, integer_surface=False)
    return write_pte(architecture.ops, modules, channels_last=False, quantised=numbers)


def _noise(architecture: Architecture, seed: int) -> NDArray[np.float32]:
    """Images [N, H, W, C] to see ranges on."""
    shape = (CALIBRATION_IMAGES, architecture.resolution, architecture.resolution, architecture.image_channels)
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


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
    try:
        listed = read_manifest(out_dir)
    except InputError:
        listed = []  # damaged: nothing is known to be valid, and this export writes it anew
    valid = []
    for file in listed:
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
    """Convert, check, and only then give the file its final name."""
    final = out_dir / _file_name(subject.architecture, runtime)
    with tempfile.TemporaryDirectory(prefix=".exporting-", dir=out_dir) as workshop:
        path = Path(workshop) / final.name
        try:
            if runtime == "tflite":
                tflite_onnx.convert_network(subject.network, subject.images, path)
            else:
                executorch_export.convert_network(subject.network, subject.architecture, path)
        except ExportError as error:
            raise _with_log_kept(error, path, final) from error
        artifact = Artifact.of_file(path, PRECISION)
        found = outputs_of(load_interpreter(artifact), _array(subject.images), what=final.name, progress=checking)
        file = _describe(subject, Artifact(final, artifact.sha256, runtime, PRECISION), path, expected, found)
        if not file.parity.passed:
            raise _rejected(path, final, file)
        path.replace(final)
    return file


def _checking(progress: Progress, start: int, total: int) -> Progress:
    """Progress of a check, as the share of the whole that begins at `start`."""
    return lambda done, of, what: progress(start + _CHECK * done // of, total, f"checking {what}")


def _describe(
    subject: _Subject, artifact: Artifact, path: Path, expected: NDArray[np.float32], found: NDArray[np.float32]
) -> ExportedFile:
    architecture, labels = subject.architecture, subject.labels
    channels, size = architecture.image_channels, architecture.resolution
    if artifact.runtime == "tflite":
        source = TensorInfo(INPUT_NAME, (1, size, size, channels), "NHWC")
    else:
        source = TensorInfo(INPUT_NAME, (1, channels, size, size), "NCHW")
    return ExportedFile(
        name=architecture.name,
        artifact=artifact,
        bytes=path.stat().st_size,
        input=source,
        output=TensorInfo(OUTPUT_NAME, (1, architecture.classes), "NC"),
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


def _rejected(path: Path, final: Path, file: ExportedFile) -> ExportError:
    """Keep a file that failed under a name that nobody deploys, with what was found beside it."""
    kept = final.with_name(final.name + ".rejected")
    path.replace(kept)
    write_json(kept.with_name(kept.name + ".json"), asdict(file.parity))
    return ExportError(
        f"{final.name} computes otherwise than torch: {file.parity.describe()}; the file is kept as {kept}, "
        "with its figures beside it"
    )


def _with_log_kept(error: ExportError, path: Path, final: Path) -> ExportError:
    """The converter's log lies beside the unfinished file, in a folder that goes away: move it to the final name's."""
    log = path.with_name(path.name + ".log")
    if not log.exists():
        return error
    kept = final.with_name(final.name + ".log")
    log.replace(kept)
    return ExportError(str(error).replace(str(log.resolve()), str(kept)).replace(str(log), str(kept)))


def _exporter(runtime: Runtime) -> str:
    return ", ".join(f"{name} {version(name)}" for name in EXPORTERS[runtime])


def _tool_version() -> str:
    try:
        return version("pocketnas")
    except PackageNotFoundError:
        return "unknown"


def _file_name(architecture: Architecture, runtime: Runtime) -> str:
    return f"{file_stem(architecture)}_{PRECISION}{SUFFIX[runtime]}"


def _array(images: "Tensor") -> NDArray[np.float32]:
    array: NDArray[np.float32] = images.numpy()
    return array
