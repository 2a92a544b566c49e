"""The shape of deploy/manifest.json, read as if by a stranger: finite numbers, bounded and printable texts."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from deploy.parity import Parity
from pocketnas_base.artifact import Precision, Runtime

MAX_FILES = 256
MAX_LABELS = 100_000
MAX_TEXT = 4096
MAX_CHANNELS = 9999

_FILE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,250}\.(tflite|pte)$"
_SHA256 = r"^[0-9a-f]{64}$"
# It becomes a dependency in a build script.
_RUNTIME_VERSION = r"^(ai-edge-litert|tflite-runtime|executorch) [0-9A-Za-z][0-9A-Za-z.+_-]{0,63}$"


def _shown(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it holds characters that cannot be printed")
    return text


_Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_shown)]
_Count = Annotated[int, Field(ge=0, lt=2**53)]
_Percent = Annotated[float, Field(ge=0, le=100)]
_Milliseconds = Annotated[float, Field(ge=0, le=1e9)]
_Positive = Annotated[float, Field(gt=0, le=1e9)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Tensor(_Record):
    name: _Text
    shape: tuple[Annotated[int, Field(ge=1, lt=2**31)], ...] = Field(min_length=1, max_length=8)
    layout: Literal["NHWC", "NCHW", "NC", "other"]
    dtype: Literal["float32", "uint8"]


class _Normalisation(_Record):
    mean: tuple[float, ...] = Field(min_length=1, max_length=MAX_CHANNELS)
    std: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1, max_length=MAX_CHANNELS)

    @model_validator(mode="after")
    def _one_each(self) -> "_Normalisation":
        if len(self.mean) != len(self.std):
            raise ValueError("mean and std must have one number a channel")
        return self


class _Calibration(_Record):
    images: Annotated[int, Field(ge=1)]
    sha256: str = Field(pattern=_SHA256)


class _Outside(_Record):
    operator: _Text
    count: _Count
    percent_of_time: _Percent | None


class _Latency(_Record):
    device: _Text
    device_fingerprint: str = Field(pattern=_SHA256)
    model: _Text | None
    soc: _Text | None
    os_version: _Text | None
    runtime_version: _Text
    threads: Annotated[int, Field(ge=1, le=64)]
    cores: tuple[Annotated[int, Field(ge=0, lt=1024)], ...] = Field(max_length=1024)
    latency_ms: _Positive
    high_ms: _Positive
    median_ms: _Positive
    ci_low_ms: _Positive
    ci_high_ms: _Positive
    cold_load_ms: _Milliseconds | None
    first_ms: _Milliseconds | None
    peak_memory_mb: Annotated[float, Field(ge=0)] | None
    energy_mj: Annotated[float, Field(ge=0)] | None
    energy_note: _Text | None
    predicted_ms: _Milliseconds | None
    predicted_low_ms: float | None
    predicted_high_ms: _Milliseconds | None
    samples: Annotated[int, Field(ge=1)]
    processes: Annotated[int, Field(ge=1)]
    settled: bool | None
    tolerated: tuple[_Text, ...] = Field(max_length=64)
    date_utc: _Text
    tool_version: _Text


class Entry(_Record):
    """`ExportedFile` as it stands in the file: the artifact flattened, its path relative to the manifest."""

    name: _Text
    file: str = Field(pattern=_FILE_NAME)
    runtime: Runtime
    precision: Precision
    sha256: str = Field(pattern=_SHA256)
    bytes: _Count
    inputs: tuple[_Tensor]
    outputs: tuple[_Tensor]
    normalisation: _Normalisation | None
    softmax: bool
    labels: tuple[_Text, ...] | None = Field(max_length=MAX_LABELS)
    parity: Parity
    top1: _Percent | None
    torch_top1: _Percent | None
    top5: _Percent | None
    torch_top5: _Percent | None
    labelled_images: _Count
    calibration: _Calibration | None
    outside_delegate: tuple[_Outside, ...] | None = Field(max_length=1024)
    weights_sha256: _Text
    architecture_sha256: _Text
    images_sha256: _Text
    weights_licence: _Text | None
    runtime_version: str = Field(pattern=_RUNTIME_VERSION)
    exporter: _Text
    tool_version: _Text
    latency: tuple[_Latency, ...] = Field(max_length=256)

    @model_validator(mode="after")
    def _fits_itself(self) -> "Entry":
        if self.file.endswith(".pte") is not (self.runtime == "executorch"):
            raise ValueError(f"{self.file} is no file of the runtime {self.runtime}")
        source = self.inputs[0]
        for tensor in (source, self.outputs[0]):
            if tensor.layout != "other" and len(tensor.shape) != len(tensor.layout):
                raise ValueError(f"a shape of {list(tensor.shape)} is none of the layout {tensor.layout}")
        channels = source.shape[1 if source.layout == "NCHW" else -1]
        if self.normalisation is not None and len(self.normalisation.mean) != channels:
            raise ValueError(
                f"the normalisation is of {len(self.normalisation.mean)} channels, the input of {channels}"
            )
        classes = self.outputs[0].shape[-1]
        if self.labels is not None and len(self.labels) != classes:
            raise ValueError(f"there are {len(self.labels)} labels for {classes} classes")
        return self


class _About(_Record):
    title: _Text
    summary: _Text | None
    data: _Text | None
    training: _Text | None
    search: _Text | None
    limits: tuple[_Text, ...] = Field(max_length=64)


class _Recommendation(_Record):
    device: _Text
    device_fingerprint: str = Field(pattern=_SHA256)
    threads: Annotated[int, Field(ge=1, le=64)]
    most_loss_points: _Percent
    file: str | None = Field(pattern=_FILE_NAME)
    reason: _Text
    passed_over: dict[_Text, _Text] = Field(max_length=MAX_FILES)


class ManifestFile(_Record):
    schema_version: Literal[2]
    about: _About | None
    files: tuple[Entry, ...] = Field(max_length=MAX_FILES)
    recommendations: tuple[_Recommendation, ...] = Field(max_length=1024)

    @model_validator(mode="after")
    def _each_once(self) -> "ManifestFile":
        names = [entry.file for entry in self.files]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name} is listed twice")
        for one in self.recommendations:
            if one.file is not None and one.file not in names:
                raise ValueError(f"{one.file} is recommended and not listed")
        return self
