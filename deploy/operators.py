"""Operator files: what a latency table measures, exported once and kept by content."""

import contextlib
import functools
import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from deploy.executorch_export import LOWERING_VERSION, lower_operators
from deploy.samples import INPUT, SAMPLE_VERSION, reference_names
from deploy.tflite_operators import TFLITE_VERSION, write_operator
from latency.opspec import OpSpec
from pocketnas_base.artifact import Artifact, Precision, Runtime
from pocketnas_base.errors import ExportError, InputError
from pocketnas_base.files import read_json, sha256_file, write_json
from pocketnas_base.progress import Progress, silent

MODEL: dict[Runtime, str] = {"tflite": "model.tflite", "executorch": "model.pte"}
"""An operator's file inside its cache entry."""

LATENCY_PRECISIONS: dict[Runtime, tuple[Precision, ...]] = {"tflite": ("fp32", "int8"), "executorch": ("fp32", "int8")}
"""What operators and untrained networks can be exported in."""

FLOAT_ERROR = 1e-4
"""How far a float32 output may be from its reference, as a share of the reference's largest number."""

INT8_STEPS = 2
"""How far an int8 output may be from its reference, in quantisation steps. Kernels round sums that lie between two
integers this way or that, and a residual adds two such numbers; a kernel that computes something else is tens off."""

HARD_SWISH_STEPS = 4
"""The same of an operator with hard swish, which LiteRT computes with 16 bits, up to one step off; convolutions behind
it add such numbers up. Of 68 blocks tried, one was 3 steps off."""

_RECORD = "files.json"
_MAX_RECORD_BYTES = 65_536

MAX_COPIES = 128
"""More copies of one operator than a model needs for any clock; each is another output that a runtime has to give."""


@dataclass(frozen=True, slots=True)
class OperatorFile:
    """One exported operator with an input and the output that is right for it, for each copy that the model holds.

    input_path, reference_paths: raw little-endian numbers of the model's own type, int8 or float32, and memory order.
      TFLite: [1, H, W, C]. ExecuTorch: [1, H, W, C] too where `takes_channels_last` says so, else [1, C, H, W].
      A classifier's output: [1, classes]. The reference is what torch computes, of an int8 file in the same integers.
    max_output_error: max |output - reference| / max |reference|, in the numbers stored, that a runtime may be off.
    """

    artifact: Artifact
    input_path: Path
    reference_paths: tuple[Path, ...]
    max_output_error: float

    @property
    def reference_path(self) -> Path:
        """The reference of a file that holds its operator once."""
        (only,) = self.reference_paths
        return only


def export_operators(
    ops: Sequence[OpSpec],
    runtime: Runtime,
    cache_dir: Path,
    *,
    precision: Precision = "fp32",
    seed: int = 0,
    copies: int = 1,
    progress: Progress = silent,
) -> dict[OpSpec, OperatorFile]:
    """A file for every operator, in the order given; what `cache_dir` holds intact is not made again.

    copies: how many of its operator each model holds, side by side on the one input, each with weights and an output of
      its own.

    Weights and inputs depend on the operator and `seed` alone. Files are written straight from the formats' schemas:
    .tflite with the operators that onnx2tf chooses, .pte, on all cores, as ExecuTorch's own exporter makes them. int8
    is full integer: weights by output channel, activations by tensor, input and output too.
    Raises InputError for a precision that `check_precision` or `check_quantisable` refuses and for Zero, which runs
    nothing, and ExportError naming what failed.
    """
    check_precision(runtime, precision)
    check_quantisable(ops, precision)
    if not 1 <= copies <= MAX_COPIES:
        raise InputError(f"a model holds 1 to {MAX_COPIES} copies of its operator, not {copies}")
    for op in ops:
        if op.kind == "zero":
            raise InputError(f"{op.key}: Zero runs nothing, so there is no file to make of it; leave it out")
    folders = {op: cache_dir / _entry_name(op, runtime, precision, seed, copies) for op in ops}
    found = {op: _read_entry(op, folder, runtime, precision, copies) for op, folder in folders.items()}
    missing = [op for op, entry in found.items() if entry is None]
    made = 0

    def keep(op: OpSpec, place: Path) -> None:
        nonlocal made
        found[op] = _commit(op, runtime, precision, copies, place, folders[op])
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
                    write_operator(op, seed, precision, place / MODEL[runtime], copies)
                    keep(op, place)
            else:
                jobs = [(op, place / MODEL[runtime]) for op, place in zip(missing, places, strict=True)]
                log = cache_dir / "executorch-export.log"

                def finished(index: int) -> None:
                    keep(missing[index], places[index])

                lower_operators(jobs, seed, log, finished, precision, copies)
    return {op: entry for op, entry in found.items() if entry is not None}


def check_precision(runtime: Runtime, precision: Precision) -> None:
    """Raise InputError where operators and untrained networks cannot be exported in a precision."""
    offered = LATENCY_PRECISIONS[runtime]
    if precision not in offered:
        raise InputError(f"{runtime} files are exported in {' and '.join(offered)} so far, not in {precision}")


def check_quantisable(ops: Sequence[OpSpec], precision: Precision) -> None:
    """Raise InputError where operators and untrained networks of tree cells are asked for in int8."""
    if precision != "fp32" and any(op.in_cell for op in ops):
        raise InputError(f"operators of tree cells are exported in fp32, not in {precision}; build the table in fp32")


def _entry_name(op: OpSpec, runtime: Runtime, precision: Precision, seed: int, copies: int) -> str:
    packages = ("torch", "ai-edge-litert") if runtime == "tflite" else ("torch", "executorch")
    identity = {
        "op": op.to_dict(),
        "runtime": runtime,
        "precision": precision,
        "seed": seed,
        "versions": {name: _version(name) for name in packages},
        "made_by": TFLITE_VERSION[precision] if runtime == "tflite" else LOWERING_VERSION,
        "sample": SAMPLE_VERSION,
        **({} if copies == 1 else {"copies": copies}),
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    times = "" if copies == 1 else f"-x{copies}"
    return f"{op.key}{times}-{runtime}-{precision}-{digest[:16]}"


@functools.cache
def _version(package: str) -> str:
    return version(package)


def _commit(op: OpSpec, runtime: Runtime, precision: Precision, copies: int, place: Path, folder: Path) -> OperatorFile:
    """Complete an entry, whose model, input and references are there, and put the whole of it in its place."""
    names = (MODEL[runtime], INPUT, *reference_names(copies))
    write_json(place / _RECORD, {name: sha256_file(place / name) for name in names})
    shutil.rmtree(folder, ignore_errors=True)
    # Another process may have made the same entry meanwhile; its files are as good.
    with contextlib.suppress(OSError):
        place.replace(folder)
    entry = _read_entry(op, folder, runtime, precision, copies)
    if entry is None:
        raise ExportError(f"{folder} cannot be written, or not read back as written; is its disk full or failing?")
    return entry


def _read_entry(op: OpSpec, folder: Path, runtime: Runtime, precision: Precision, copies: int) -> OperatorFile | None:
    """The entry, if every file of it is what was written; None where it is missing or damaged."""
    references = reference_names(copies)
    names = (MODEL[runtime], INPUT, *references)
    try:
        recorded = read_json(folder / _RECORD, what="cache record", max_bytes=_MAX_RECORD_BYTES)
        sums = {name: sha256_file(folder / name) for name in names}
    except (InputError, OSError):
        return None
    if sums != recorded:
        return None
    artifact = Artifact(folder / MODEL[runtime], sums[MODEL[runtime]], runtime, precision)
    paths = tuple(folder / name for name in references)
    error = max(_error_of_steps(path, int8_steps(op)) for path in paths) if precision == "int8" else FLOAT_ERROR
    return OperatorFile(artifact, folder / INPUT, paths, error)


def int8_steps(op: OpSpec) -> int:
    """How many quantisation steps an operator's int8 output may be from its reference."""
    return HARD_SWISH_STEPS if op.activation == "hswish" else INT8_STEPS


def _error_of_steps(reference: Path, steps: int) -> float:
    """Steps as a share of the largest integer in an int8 reference: what the runner's comparison asks for."""
    integers = np.fromfile(reference, np.int8).astype(np.int16)
    return steps / max(1, int(np.abs(integers).max()))
