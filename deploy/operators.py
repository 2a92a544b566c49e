"""Operator files: what a latency table measures, exported once and kept by content."""

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from deploy.executorch_export import LOWERING_VERSION, lower_operators
from deploy.samples import INPUT, REFERENCE, SAMPLE_VERSION, operator_sample, store_tensors
from deploy.tflite_writer import WRITER_VERSION, write_tflite
from latency.opspec import OpSpec
from pocketnas_base.artifact import Artifact, Runtime
from pocketnas_base.errors import ExportError, InputError
from pocketnas_base.files import read_json, sha256_file, write_json
from pocketnas_base.progress import Progress, silent

MODEL: dict[Runtime, str] = {"tflite": "model.tflite", "executorch": "model.pte"}
"""An operator's file inside its cache entry."""

_RECORD = "files.json"
_MAX_RECORD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class OperatorFile:
    """One exported operator with an input and the output that torch computes for it.

    input_path, reference_path: raw little-endian float32 in the model's own memory order. TFLite: [1, H, W, C].
      ExecuTorch: [1, H, W, C] too where `takes_channels_last` says so, else [1, C, H, W].
      A classifier's output: [1, classes].
    """

    artifact: Artifact
    input_path: Path
    reference_path: Path


def export_operators(
    ops: Sequence[OpSpec], runtime: Runtime, cache_dir: Path, *, seed: int = 0, progress: Progress = silent
) -> dict[OpSpec, OperatorFile]:
    """A float32 file for every operator, in the order given; what `cache_dir` holds intact is not made again.

    Weights and inputs depend on the operator and `seed` alone. TFLite files are written straight from the format's
    schema with the operators that onnx2tf chooses; ExecuTorch files are lowered to XNNPACK, on all cores.
    Raises InputError for Zero, which runs nothing, and ExportError naming what failed.
    """
    for op in ops:
        if op.kind == "zero":
            raise InputError(f"{op.key}: Zero runs nothing, so there is no file to make of it; leave it out")
    folders = {op: cache_dir / _entry_name(op, runtime, seed) for op in ops}
    found = {op: _read_entry(folder, runtime) for op, folder in folders.items()}
    missing = [op for op, entry in found.items() if entry is None]
    made = 0

    def keep(op: OpSpec, place: Path) -> None:
        nonlocal made
        found[op] = _commit(runtime, place, folders[op])
        made += 1
        progress(len(found) - len(missing) + made, len(found), op.key)

    progress(len(found) - len(missing), len(found), "operators found in the cache")
    if missing:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".building-", dir=cache_dir) as workshop:
            places = [Path(workshop) / folders[op].name for op in missing]
            for place in places:
                place.mkdir()
            if runtime == "tflite":
                for op, place in zip(missing, places, strict=True):
                    sample = operator_sample(op, seed)
                    (place / MODEL[runtime]).write_bytes(write_tflite([op], [sample.module]))
                    store_tensors(sample, place, channels_last=True)
                    keep(op, place)
            else:
                jobs = [(op, place / MODEL[runtime]) for op, place in zip(missing, places, strict=True)]
                log = cache_dir / "executorch-export.log"
                lower_operators(jobs, seed, log, lambda index: keep(missing[index], places[index]))
    return {op: entry for op, entry in found.items() if entry is not None}


def _entry_name(op: OpSpec, runtime: Runtime, seed: int) -> str:
    packages = ("torch", "ai-edge-litert") if runtime == "tflite" else ("torch", "executorch")
    identity = {
        "op": op.to_dict(),
        "runtime": runtime,
        "seed": seed,
        "versions": {name: version(name) for name in packages},
        "made_by": WRITER_VERSION if runtime == "tflite" else LOWERING_VERSION,
        "sample": SAMPLE_VERSION,
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return f"{op.key}-{runtime}-{digest[:16]}"


def _commit(runtime: Runtime, place: Path, folder: Path) -> OperatorFile:
    """Complete an entry, whose model, input and reference are there, and put the whole of it in its place."""
    write_json(place / _RECORD, {name: sha256_file(place / name) for name in (MODEL[runtime], INPUT, REFERENCE)})
    shutil.rmtree(folder, ignore_errors=True)
    # Another process may have made the same entry meanwhile; its files are as good.
    with contextlib.suppress(OSError):
        place.replace(folder)
    entry = _read_entry(folder, runtime)
    if entry is None:
        raise ExportError(f"{folder} cannot be written, or not read back as written; is its disk full or failing?")
    return entry


def _read_entry(folder: Path, runtime: Runtime) -> OperatorFile | None:
    """The entry, if every file of it is what was written; None where it is missing or damaged."""
    names = (MODEL[runtime], INPUT, REFERENCE)
    try:
        recorded = read_json(folder / _RECORD, what="cache record", max_bytes=_MAX_RECORD_BYTES)
        sums = {name: sha256_file(folder / name) for name in names}
    except (InputError, OSError):
        return None
    if sums != recorded:
        return None
    artifact = Artifact(folder / MODEL[runtime], sums[MODEL[runtime]], runtime, "fp32")
    return OperatorFile(artifact, folder / INPUT, folder / REFERENCE)
