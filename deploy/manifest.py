"""deploy/manifest.json: what every exported file is, what it was made of and how it was checked."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from deploy.parity import Parity
from pocketnas_base.artifact import Artifact, Precision, Runtime
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_json, sha256_file, write_json

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"

_MAX_MANIFEST_BYTES = 4 * 1024 * 1024
_FILE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*\.(tflite|pte)$"


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output of a file. layout: the meaning of the shape's places, `NHWC`, `NCHW` or `NC`."""

    name: str
    shape: tuple[int, ...]
    layout: Literal["NHWC", "NCHW", "NC"]
    dtype: Literal["float32"] = "float32"


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One file that a device can run, and the evidence that it computes what torch computes.

    name: the architecture's. bytes: the file's size. top1, torch_top1: percent of the test set, None without labels.
    weights_sha256, architecture_sha256: of the network it was made from (`deploy.fingerprint`).
    images_sha256: of the images, and labels if any, that it was checked on.
    runtime_version: the library that ran the check. exporter: what converted it, with versions.
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


class _Entry(BaseModel):
    """`ExportedFile` as it stands in the file: the artifact flattened, its path relative to the manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    file: str = Field(pattern=_FILE_NAME)
    runtime: Runtime
    precision: Precision
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)
    input: TensorInfo
    output: TensorInfo
    parity: Parity
    top1: float | None = Field(ge=0, le=100)
    torch_top1: float | None = Field(ge=0, le=100)
    weights_sha256: str
    architecture_sha256: str
    images_sha256: str
    runtime_version: str
    exporter: str
    tool_version: str


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1]
    files: list[_Entry]


def write_manifest(folder: Path, files: list[ExportedFile]) -> None:
    """Write `manifest.json`, whole or not at all."""
    entries = []
    for file in files:
        fields = {key: value for key, value in asdict(file).items() if key != "artifact"}
        artifact = file.artifact
        entries.append(
            {
                "name": fields.pop("name"),
                "file": artifact.path.name,
                "runtime": artifact.runtime,
                "precision": artifact.precision,
                "sha256": artifact.sha256,
                **fields,
            }
        )
    write_json(folder / MANIFEST, {"schema_version": SCHEMA_VERSION, "files": entries})


def read_manifest(folder: Path) -> list[ExportedFile]:
    """What the manifest of `folder` says, its files not looked at; empty where there is none.

    Raises InputError when the manifest is damaged.
    """
    path = folder / MANIFEST
    if not path.exists():
        return []
    plain = read_json(path, what="manifest", max_bytes=_MAX_MANIFEST_BYTES)
    try:
        manifest = TypeAdapter(_Manifest).validate_python(plain)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(f"manifest {path}: {place}: {first['msg']}; export again to rewrite it") from None
    files = []
    for entry in manifest.files:
        artifact = Artifact(folder / entry.file, entry.sha256, entry.runtime, entry.precision)
        rest = {key: getattr(entry, key) for key in _Entry.model_fields if key not in _OF_ARTIFACT}
        files.append(ExportedFile(artifact=artifact, **rest))
    return files


def is_intact(file: ExportedFile) -> bool:
    """Whether the file on disk is the one that was checked."""
    path = file.artifact.path
    return path.is_file() and path.stat().st_size == file.bytes and sha256_file(path) == file.artifact.sha256


_OF_ARTIFACT = {"file", "runtime", "precision", "sha256"}
