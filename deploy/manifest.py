"""deploy/manifest.json: what every exported file is, what it was made of, how it was checked and how fast it is."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from deploy.manifest_schema import Entry, ManifestFile
from deploy.parity import Parity
from pocketnas_base.artifact import Artifact
from pocketnas_base.errors import InputError
from pocketnas_base.files import Json, read_json, sha256_file, write_json

SCHEMA_VERSION = 2
MANIFEST = "manifest.json"
HOST = "local"
"""What the machine that measures is called among devices."""

_MAX_MANIFEST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output of a file. layout: the meaning of the shape's places, `NHWC`, `NCHW`, `NC`, or `other`. dtype:
    `uint8` stands for pixels from 0 to 255, with the normalisation inside the file."""

    name: str
    shape: tuple[int, ...]
    layout: Literal["NHWC", "NCHW", "NC", "other"]
    dtype: Literal["float32", "uint8"] = "float32"


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What becomes of pixels, per channel: value = (pixel - mean) / std, pixels from 0 to 255."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """The images that the ranges of an int8 file come from. sha256: over them (`deploy.fingerprint`)."""

    images: int
    sha256: str


@dataclass(frozen=True, slots=True)
class OutsideDelegate:
    """Operators of one kind that the runtime's delegate leaves to slower kernels. percent_of_time: of an inference,
    where that was measured."""

    operator: str
    count: int
    percent_of_time: float | None


@dataclass(frozen=True, slots=True)
class DeviceLatency:
    """What one device takes for one file. Times in ms; None: not known.

    device: `local`, or the phone's model (never its serial number). latency_ms: the lowest process median, high_ms: its
    upper 97.5 % bound. median_ms: over process medians, ci_low_ms to ci_high_ms its 95 % interval. cold_load_ms,
    first_ms, peak_memory_mb: of processes that run this file and nothing else: loading it, its first inference, and the
    most memory of the whole process. energy_mj: of the whole device per inference; energy_note: why it is not known, or
    what it is of. predicted_ms, predicted_low_ms, predicted_high_ms: the table's word before it was measured. settled:
    whether latency_ms is known as well as was asked.
    """

    device: str
    device_fingerprint: str
    model: str | None
    soc: str | None
    os_version: str | None
    runtime_version: str
    threads: int
    cores: tuple[int, ...]
    latency_ms: float
    high_ms: float
    median_ms: float
    ci_low_ms: float
    ci_high_ms: float
    cold_load_ms: float | None
    first_ms: float | None
    peak_memory_mb: float | None
    energy_mj: float | None
    energy_note: str | None
    predicted_ms: float | None
    predicted_low_ms: float | None
    predicted_high_ms: float | None
    samples: int
    processes: int
    settled: bool | None
    tolerated: tuple[str, ...]
    date_utc: str
    tool_version: str


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One file that a device can run, and the evidence that it computes what torch computes.

    name: the architecture's. bytes: the file's size. top1, torch_top1, top5, torch_top5: percent of labelled_images,
    None without labels. weights_sha256, architecture_sha256: of the network it was made from (`deploy.fingerprint`).
    images_sha256: of the images, and labels if any, that it was checked on.
    runtime_version: the library that ran the check. exporter: what converted it, with versions.
    normalisation: of an input of float32 what the app has to do, of uint8 what the file does; None: nobody said.
    labels: of the classes, in order. softmax: the output is probabilities, else logits. outside_delegate: found by
    running the file; None: nobody looked, or it could not be found out.
    weights_licence: None: nobody said. latency: one entry a device and number of threads.
    """

    name: str
    artifact: Artifact
    bytes: int
    input: TensorInfo
    output: TensorInfo
    parity: Parity
    top1: float | None
    torch_top1: float | None
    weights_sha256: str
    architecture_sha256: str
    images_sha256: str
    runtime_version: str
    exporter: str
    tool_version: str
    normalisation: Normalisation | None = None
    softmax: bool = False
    labels: tuple[str, ...] | None = None
    top5: float | None = None
    torch_top5: float | None = None
    labelled_images: int = 0
    calibration: Calibration | None = None
    outside_delegate: tuple[OutsideDelegate, ...] | None = None
    weights_licence: str | None = None
    latency: tuple[DeviceLatency, ...] = ()


@dataclass(frozen=True, slots=True)
class About:
    """What people want to know of a bundle and no file can tell. None: nobody said. limits: what it must not be taken
    for, one sentence each."""

    title: str
    summary: str | None = None
    data: str | None = None
    training: str | None = None
    search: str | None = None
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Which file to ship for one device, and why. most_loss_points: how much accuracy it may lose, in percent points.
    file: None where no file qualifies. passed_over: of every other file the reason, by its name."""

    device: str
    device_fingerprint: str
    threads: int
    most_loss_points: float
    file: str | None
    reason: str
    passed_over: dict[str, str]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A deploy folder, as its manifest describes it."""

    files: tuple[ExportedFile, ...]
    about: About | None = None
    recommendations: tuple[Recommendation, ...] = ()


def write_manifest(folder: Path, files: Sequence[ExportedFile]) -> None:
    """Write `manifest.json` of these files alone, whole or not at all."""
    write_bundle_manifest(folder, Bundle(tuple(files)))


def write_bundle_manifest(folder: Path, bundle: Bundle) -> None:
    """Write `manifest.json`, whole or not at all."""
    write_json(
        folder / MANIFEST,
        {
            "schema_version": SCHEMA_VERSION,
            "about": None if bundle.about is None else asdict(bundle.about),
            "files": [_to_entry(file) for file in bundle.files],
            "recommendations": [asdict(one) for one in bundle.recommendations],
        },
    )


def read_manifest(folder: Path) -> list[ExportedFile]:
    """What the manifest of `folder` says, its files not looked at; empty where there is none.

    Raises InputError when the manifest is damaged.
    """
    if not (folder / MANIFEST).exists():
        return []
    return list(read_bundle(folder).files)


def read_bundle(folder: Path) -> Bundle:
    """The bundle in `folder`, its files not looked at.

    Raises InputError, in one line, when there is no manifest, or one of another schema, with unknown or missing fields,
    with a number that is none, or with a file that is not named plainly, so that nothing outside `folder` is read.
    """
    path = folder / MANIFEST
    plain = read_json(path, what="manifest", max_bytes=_MAX_MANIFEST_BYTES)
    if not isinstance(plain, dict) or "schema_version" not in plain:
        raise InputError(f"manifest {path} is none of this tool: it has no schema_version; export again to rewrite it")
    if plain["schema_version"] != SCHEMA_VERSION:
        raise InputError(
            f"manifest {path} is of schema {plain['schema_version']!r:.40}, this version reads {SCHEMA_VERSION}; "
            "export again to rewrite it"
        )
    for place in _not_finite(plain):
        raise InputError(f"manifest {path}: {place}: a number that is none; export again to rewrite it")
    try:
        manifest = ManifestFile.model_validate(plain)
    except ValidationError as error:
        raise InputError(f"manifest {path}: {_fault(error)}; export again to rewrite it") from None
    return _BUNDLE.validate_python(
        {
            "about": None if manifest.about is None else manifest.about.model_dump(),
            "files": [_from_entry(folder, entry) for entry in manifest.files],
            "recommendations": [one.model_dump() for one in manifest.recommendations],
        }
    )


def is_intact(file: ExportedFile) -> bool:
    """Whether the file on disk is the one that was checked."""
    path = file.artifact.path
    return path.is_file() and path.stat().st_size == file.bytes and sha256_file(path) == file.artifact.sha256


_BUNDLE = TypeAdapter(Bundle)


def _to_entry(file: ExportedFile) -> dict[str, object]:
    plain, artifact = asdict(file), file.artifact
    del plain["artifact"]
    return {
        "name": plain.pop("name"),
        "file": artifact.path.name,
        "runtime": artifact.runtime,
        "precision": artifact.precision,
        "sha256": artifact.sha256,
        "bytes": plain.pop("bytes"),
        "inputs": [plain.pop("input")],
        "outputs": [plain.pop("output")],
        **plain,
    }


def _from_entry(folder: Path, entry: Entry) -> dict[str, Any]:
    plain = entry.model_dump()
    plain["input"], plain["output"] = plain.pop("inputs")[0], plain.pop("outputs")[0]
    of_artifact = (plain.pop(name) for name in ("file", "sha256", "runtime", "precision"))
    name, sha256, runtime, precision = of_artifact
    return {"artifact": Artifact(folder / name, sha256, runtime, precision), **plain}


def _not_finite(value: Json, place: str = "the file") -> Iterator[str]:
    """Where numbers stand that are none: JSON as Python reads it may hold NaN and infinities."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from _not_finite(item, f"{key}" if place == "the file" else f"{place}.{key}")
    if isinstance(value, float) and not math.isfinite(value):
        yield place


def _fault(error: ValidationError) -> str:
    """The first thing that is wrong, and where."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the file"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "string_pattern_mismatch" and place.endswith(".file"):
        given = repr(first["input"])[:80]
        message = f"{given} is not the plain name of a .tflite or .pte file in this folder"
    return "".join(character if character.isprintable() else " " for character in f"{place}: {message}")
