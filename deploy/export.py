"""A trained network to files that were seen to compute what it computes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deploy import executorch_export
from deploy.evidence import SUFFIX, exporter_of, file_stem
from deploy.export_model import Profiler, export_model
from deploy.fingerprint import architecture_sha256
from deploy.manifest import ExportedFile, Normalisation, is_intact, read_manifest
from deploy.operators import check_precision, check_quantisable
from deploy.pte_quantisation import quantised
from deploy.pte_writer import write_pte
from deploy.samples import SAMPLE_VERSION, network_sample
from deploy.subject import Subject
from deploy.tflite_int8 import quantise, write_int8
from deploy.tflite_layers import graph_of
from deploy.tflite_operators import TFLITE_VERSION
from deploy.tflite_writer import write_tflite
from pocketnas_base.artifact import RUNTIMES, Artifact, Precision, Runtime
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_json, sha256_file, write_bytes, write_json
from pocketnas_base.progress import Progress, silent
from search.architecture import Architecture

if TYPE_CHECKING:
    from torch import Tensor, nn

# Without labels there is no accuracy to measure, and so many images are enough to compare outputs on.
UNLABELLED_IMAGES = 256

# Of an untrained network: enough for ranges that no weight depends on.
CALIBRATION_IMAGES = 2


def export_network(
    network: "nn.Module",
    architecture: Architecture,
    out_dir: Path,
    *,
    images: "Tensor",
    labels: "Tensor | None" = None,
    calibration: "Tensor | None" = None,
    normalisation: Normalisation | None = None,
    class_names: tuple[str, ...] | None = None,
    weights_licence: str | None = None,
    softmax: bool = False,
    uint8_input: bool = False,
    runtimes: Sequence[Runtime] = RUNTIMES,
    precisions: Sequence[Precision] = ("fp32",),
    profiler: Profiler | None = None,
    progress: Progress = silent,
) -> list[ExportedFile]:
    """Write files of a trained network of ours, with `manifest.json`, into `out_dir`; see `export_model`.

    images, calibration: [N, C, H, W], uint8 pixels with the `normalisation` that training used, or float32 prepared as
    in training. Without labels the first 256 images are used. softmax: files give probabilities. uint8_input: files
    take pixels, for which images have to be pixels.
    """
    subject = Subject(
        name=architecture.name,
        network=network,
        input_shape=(architecture.image_channels, architecture.resolution, architecture.resolution),
        images=images if labels is not None else images[:UNLABELLED_IMAGES],
        labels=labels,
        calibration=calibration,
        normalisation=normalisation,
        class_names=class_names,
        architecture=architecture,
        softmax=softmax,
        uint8_input=uint8_input,
        weights_licence=weights_licence,
    )
    return export_model(
        subject, out_dir, runtimes=runtimes, precisions=precisions, profiler=profiler, progress=progress
    )


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
    left as it is. Raises ExportError, and InputError for a precision that is not offered, to all or to tree cells.
    """
    check_precision(runtime, precision)
    check_quantisable(architecture.ops, precision)
    path = folder / f"{file_stem(architecture.name)}_untrained_{precision}{SUFFIX[runtime]}"
    identity = {
        "architecture": architecture_sha256(architecture),
        "precision": precision,
        "seed": seed,
        "exporter": exporter_of(runtime),
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
        return write_tflite(architecture.ops, modules, architecture.connections)
    return write_int8(quantise(graph_of(architecture.ops, modules), _noise(architecture, seed)))


def _untrained_pte(network: "nn.Module", architecture: Architecture, precision: Precision, seed: int) -> bytes:
    import torch

    modules = list(network.get_submodule("ops").children())
    if precision == "fp32":
        return write_pte(architecture.ops, modules, architecture.connections, channels_last=False)
    images = torch.from_numpy(_noise(architecture, seed)).permute(0, 3, 1, 2)
    numbers = quantised(architecture.ops, modules, images, integer_surface=False)
    return write_pte(architecture.ops, modules, channels_last=False, quantised=numbers)


def _noise(architecture: Architecture, seed: int) -> NDArray[np.float32]:
    """Images [N, H, W, C] to see ranges on."""
    shape = (CALIBRATION_IMAGES, architecture.resolution, architecture.resolution, architecture.image_channels)
    return np.random.default_rng(seed).standard_normal(shape, np.float32)
