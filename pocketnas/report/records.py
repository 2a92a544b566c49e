"""The shape of the files that a report is made from; what else stands in them is not the report's business."""

import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pocketnas_base.artifact import Precision, Runtime

MAX_TEXT = 4096
MAX_POINTS = 1_000_000

Text = Annotated[str, Field(max_length=MAX_TEXT)]
Milliseconds = Annotated[float, Field(ge=0, le=1e9)]
Percent = Annotated[float, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=0, le=2**62)]
# What float32 can hold, in which losses are computed, also those of a training that diverges.
Figure = Annotated[float, Field(ge=-1e39, le=1e39)]


class _Record(BaseModel):
    # Later stages may say more than the report shows.
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)


class CurvePoint(_Record):
    """One step of a search or a training. accuracy, arch_accuracy, entropy: shares from 0 to 1, of one batch."""

    step: Count
    loss: Figure | None = None
    accuracy: Figure | None = None
    learning_rate: Figure | None = None
    expected_ms: Figure | None = None
    entropy: Figure | None = None
    latency_weight: Figure | None = None
    arch_loss: Figure | None = None
    arch_accuracy: Figure | None = None
    reward: Figure | None = None
    reward_baseline: Figure | None = None


Curve = Annotated[tuple[CurvePoint, ...], Field(max_length=MAX_POINTS)]


class EdgeRecord(_Record):
    """A searchable position, the names of its candidates (`mb3_5x5`, `zero`) and their activation. number: its place
    among the operators, from 1; unsaid by versions that knew chains alone, whose positions stand one after another from
    the third on."""

    name: Text
    number: int | None = Field(default=None, ge=1, le=100_000)
    activation: Text = "relu6"
    candidates: tuple[Text, ...] = Field(min_length=1, max_length=256)


class SearchRecord(_Record):
    """search/result.json. probabilities: one row an edge, as long as its candidates or padded with zeros. mode: unsaid
    by versions that had one alone."""

    target_ms: Milliseconds
    predicted_ms: Milliseconds
    loss: Text
    mode: Text = "two-path"
    warmup_steps: Count
    steps: Count
    edges: tuple[EdgeRecord, ...] = Field(min_length=1, max_length=4096)
    probabilities: tuple[tuple[Figure, ...], ...]
    chosen: tuple[Count, ...]
    curve: Curve

    @model_validator(mode="after")
    def _one_row_an_edge(self) -> "SearchRecord":
        if not len(self.edges) == len(self.probabilities) == len(self.chosen):
            raise ValueError("edges, probabilities and chosen must have one entry an edge")
        for edge, row, index in zip(self.edges, self.probabilities, self.chosen, strict=True):
            count = len(edge.candidates)
            if index >= count or len(row) < count or any(row[count:]):
                raise ValueError(f"the probabilities or the choice of edge {edge.name!r} do not fit its candidates")
        return self

    @property
    def latency_enters(self) -> str:
        """Where latency has its say, for a caption."""
        if any(point.reward is not None for point in self.curve):
            return f"latency in the reward of {self.mode}"
        return f"latency in the loss by {self.loss}, mode {self.mode}"


class TrainedNetwork(_Record):
    """A network trained from scratch. role: `derived` or `baseline`. top1: percent of the test set, in torch."""

    name: Text
    role: Text
    top1: Percent
    curve: Curve


class TrainingRecord(_Record):
    """training.json"""

    networks: tuple[TrainedNetwork, ...] = Field(min_length=1, max_length=64)


class ParityRecord(_Record):
    """relative_error: largest difference from torch's output, as a share of that output's scale."""

    relative_error: float | None = None


class DeployedLatency(_Record):
    """What one device takes for an exported file; see deploy.manifest.DeviceLatency."""

    device: Text
    device_fingerprint: Text
    threads: int = Field(ge=1)
    latency_ms: float = Field(gt=0, le=1e9)
    high_ms: Milliseconds
    cold_load_ms: Milliseconds | None = None
    first_ms: Milliseconds | None = None
    peak_memory_mb: float | None = Field(default=None, ge=0)
    energy_mj: float | None = Field(default=None, ge=0)
    energy_note: Text | None = None
    predicted_ms: Milliseconds | None = None


class RecommendationRecord(_Record):
    """Which file to ship for a device, and why; file: None where none qualifies."""

    device: Text
    device_fingerprint: Text
    threads: int = Field(ge=1)
    most_loss_points: Percent
    file: Text | None
    reason: Text
    passed_over: dict[Text, Text] = Field(max_length=4096)


class DeployedFile(_Record):
    """One exported file. top1: percent of the test set, computed by the file's own runtime on the host."""

    file: Text
    runtime: Runtime
    precision: Precision
    sha256: Text
    bytes: Count
    parity: ParityRecord | None = None
    top1: Percent | None = None
    latency: tuple[DeployedLatency, ...] = Field(default=(), max_length=256)


class ManifestRecord(_Record):
    """deploy/manifest.json"""

    files: tuple[DeployedFile, ...] = Field(min_length=1, max_length=4096)
    recommendations: tuple[RecommendationRecord, ...] = Field(default=(), max_length=1024)


class RebenchRow(_Record):
    """One row of rebench.parquet: a whole network measured on the device. None: not predicted, not recorded."""

    # Parquet written through pandas may hold whole numbers as floats: lax here, strict where JSON says what it means.
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    name: Text
    role: Text
    file: Text
    runtime: Text
    precision: Text
    threads: int = Field(ge=1)
    latency_ms: float = Field(gt=0, le=1e9)
    high_ms: Milliseconds
    median_ms: Milliseconds
    p10_ms: Milliseconds
    p90_ms: Milliseconds
    first_ms: Milliseconds | None = None
    load_ms: Milliseconds | None = None
    samples: int = Field(ge=1)
    processes: int = Field(ge=1)
    predicted_ms: Milliseconds | None = None
    predicted_low_ms: float | None = None
    predicted_high_ms: Milliseconds | None = None

    @field_validator("first_ms", "load_ms", "predicted_ms", "predicted_low_ms", "predicted_high_ms", mode="before")
    @classmethod
    def _nan_is_none(cls, value: object) -> object:
        return None if isinstance(value, float) and math.isnan(value) else value

    @property
    def error_percent(self) -> float | None:
        """How far the prediction lies above (+) or below (-) the measurement, in percent of the measurement."""
        if self.predicted_ms is None:
            return None
        return 100 * (self.predicted_ms - self.latency_ms) / self.latency_ms


class DataRecord(_Record):
    """What the networks were trained and tested on."""

    name: Text
    train_images: Count
    test_images: Count
    source: Text | None = None


class BaselineRecord(_Record):
    """The hand-made network beside it. measured_ms, top1: one number, or one a runtime (`torch` for top1).

    runtime: what a single measured_ms was taken with; None: the table's.
    """

    name: Text
    runtime: Text | None = None
    measured_ms: Milliseconds | dict[Text, Milliseconds | None]
    top1: Percent | dict[Text, Percent | None]
    macs: Count | None = None
    parameters: Count | None = None

    def latency_ms(self, runtime: str) -> float | None:
        """Measured latency under `runtime`, None where it was not measured."""
        if isinstance(self.measured_ms, dict):
            return self.measured_ms.get(runtime)
        return self.measured_ms if self.runtime in (None, runtime) else None

    @property
    def torch_top1(self) -> float | None:
        """Percent of the test set, in torch."""
        return self.top1.get("torch") if isinstance(self.top1, dict) else self.top1


class SummaryRecord(_Record):
    """summary.json. Times in ms, top1 in percent, seconds per stage. not_compared: why the measurements say nothing of
    the prediction and the target; None where they do."""

    name: Text
    space: Text
    data: DataRecord
    target_ms: float = Field(gt=0, le=1e9)
    predicted_ms: Milliseconds
    predicted_low_ms: float | None
    predicted_high_ms: Milliseconds | None
    table_runtime: Text
    measured_ms: dict[Text, float | None]
    top1: dict[Text, Percent | None]
    macs: Count
    parameters: Count
    baseline: BaselineRecord
    seconds: dict[Text, Annotated[float, Field(ge=0, le=1e9)]] = Field(max_length=64)
    tool_version: Text
    date_utc: Text
    not_compared: Text | None = None

    @model_validator(mode="after")
    def _promise_was_measured(self) -> "SummaryRecord":
        if not (self.measured_ms.get(self.table_runtime) or 0) > 0:
            raise ValueError(f"measured_ms has no time above 0 for the table's runtime, {self.table_runtime!r}")
        if self.top1.get("torch") is None:
            raise ValueError("top1 has no number for 'torch'")
        return self

    @property
    def promised_ms(self) -> float:
        """What was measured under the runtime that the table, and so the prediction, speaks of."""
        return self.measured_ms[self.table_runtime] or 0.0

    @property
    def error_percent(self) -> float | None:
        """How far the prediction lies above (+) or below (-) the measurement, in percent of the measurement."""
        if self.not_compared is not None:
            return None
        return 100 * (self.predicted_ms - self.promised_ms) / self.promised_ms

    @property
    def torch_top1(self) -> float:
        """Percent of the test set, in torch."""
        return self.top1["torch"] or 0.0
