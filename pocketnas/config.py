"""The configuration of a run: one TOML file, every field checked before anything starts."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from android_bench.adb.phone import transport_kind
from android_bench.device import LOCAL
from android_bench.reasons import REASONS
from deploy.choice import MOST_LOSS_POINTS
from deploy.kinds import kinds_of
from deploy.subject import MAX_CALIBRATION_IMAGES
from latency.calibrate import MIN_NETWORKS
from latency.correction import MAX_NETWORKS
from pocketnas.config_section import Section
from pocketnas.training_config import AugmentationConfig, TrainConfig
from pocketnas_base.artifact import Precision, Runtime
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_bytes
from pocketnas_base.validation import fault_of
from search.accelerator import Accelerator
from search.choices import LossKind, Start, UpdateMode, WarmupPaths

MAX_CONFIG_BYTES = 1024 * 1024
TABLE_THREADS = (1, 64)

Steps = Annotated[int, Field(ge=1, le=100_000_000)]
Rate = Annotated[float, Field(gt=0, le=100)]
Share = Annotated[float, Field(ge=0, lt=1)]
TablePrecision = Literal["fp32", "int8"]
DeviceName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]


class DataConfig(Section):
    """source: `fashion-mnist`, a folder of images by class, Parquet files, or `module:function` of the user's own
    (search.data.function). holdout: training images kept back, class by class, for the architecture parameters."""

    source: str
    holdout: Steps


class TableConfig(Section):
    """What the table is of, and how many fresh processes stand behind each row; left out, as many as the device
    needs. use: a published table's name or a .parquet file, to be taken over instead of measuring one. calibration: how
    many whole networks are measured beside it, so that its sums become predictions; `auto`: as many as their residual
    asks for; 0: none."""

    use: str | None = Field(default=None, min_length=1, max_length=4096)
    runtime: Runtime = "tflite"
    precision: TablePrecision = "fp32"
    threads: int = Field(default=1, ge=TABLE_THREADS[0], le=TABLE_THREADS[1])
    processes: int | None = Field(default=None, ge=1, le=1000)
    calibration: Literal["auto"] | int = "auto"

    @field_validator("calibration", mode="before")
    @classmethod
    def _calibration_is_possible(cls, calibration: object) -> object:
        # One message for all that it may be: pydantic would tell of one of them.
        number = type(calibration) is int and (calibration == 0 or MIN_NETWORKS <= calibration <= MAX_NETWORKS)
        if not number and calibration != "auto":
            raise ValueError(f"calibration must be auto, 0, or {MIN_NETWORKS} to {MAX_NETWORKS} networks")
        return calibration


class SearchConfig(Section):
    """See search.proxyless.SearchSettings. Give target_ms, or target_ratio: the target as a share of the predicted
    latency of the space's hand-made net, mb6_3x3 in every block. derive: argmax takes the most probable candidate of
    every edge (the paper's way); target takes the most probable of the architectures predicted to be at the target,
    see search.derive.derive_at; left out, target where hold_target or max_ms is set. start: left out, target where
    hold_target is set, else even. max_ms: no derived net is predicted to take more. tensorboard: scalars in
    search/tensorboard and, of the trainings, train/tensorboard; left out, where the package is installed."""

    target_ms: float | None = Field(default=None, gt=0)
    target_ratio: float | None = Field(default=None, gt=0, le=10)
    max_ms: float | None = Field(default=None, gt=0)
    warmup_steps: int = Field(ge=0, le=100_000_000)
    steps: Steps
    batch_size: int = Field(default=256, ge=2, le=65_536)
    warmup_learning_rate: Rate = 0.05
    learning_rate: Rate = 0.025
    label_smoothing: Share = 0.1
    warmup_paths: WarmupPaths = "sampled"
    start: Start | None = None
    arch_learning_rate: Rate = 1e-3
    arch_every: Steps = 5
    mode: UpdateMode = "two-path"
    loss: LossKind = "add#linear"
    weight: float = Field(default=0.1, ge=0)
    beta: Rate = 0.6
    hold_target: bool = False
    hold_rate: Rate = 0.1
    samples: int = Field(default=10, ge=2, le=10_000)
    baseline_decay: Share = 0.95
    reward_exponent: float = Field(default=0.1, ge=0, le=100)
    reward_beta: float = Field(default=-0.1, lt=0, ge=-100)
    derive: Literal["argmax", "target"] | None = None
    tensorboard: bool | None = None
    clip_norm: float | None = Field(default=None, gt=0)
    mixed_precision: bool = False
    augmentation: AugmentationConfig = AugmentationConfig()

    @property
    def derives_at_target(self) -> bool:
        """Whether the derived net is held to the target, whatever `derive` was left to."""
        if self.derive is None:
            return self.hold_target or self.max_ms is not None
        return self.derive == "target"

    @property
    def starts_at(self) -> Start:
        """Where the probabilities start, whatever `start` was left to."""
        return self.start or ("target" if self.hold_target else "even")

    @model_validator(mode="after")
    def _one_target(self) -> "SearchConfig":
        if (self.target_ms is None) == (self.target_ratio is None):
            raise ValueError("give either target_ms or target_ratio")
        if self.hold_target and self.loss != "add#linear":
            raise ValueError("hold_target moves the weight of loss add#linear only")
        if self.max_ms is not None and self.derive == "argmax":
            raise ValueError("derive argmax cannot keep max_ms; leave derive out, or make it target")
        return self

    @model_validator(mode="after")
    def _keys_are_of_the_mode(self) -> "SearchConfig":
        # A key that the mode does not read would be believed to do something.
        of_mode = {
            "reinforce": {"samples", "baseline_decay", "reward_exponent"},
            "tunas": {"samples", "baseline_decay", "reward_beta"},
        }
        of_losses = {"loss", "weight", "beta", "hold_target", "hold_rate"}
        own = of_mode.get(self.mode, of_losses)
        foreign = (set().union(of_losses, *of_mode.values()) - own) & self.model_fields_set
        if foreign:
            raise ValueError(f"mode {self.mode} has no use for {min(foreign)}; it reads {', '.join(sorted(own))}")
        if "beta" in self.model_fields_set and self.loss != "mul#log":
            raise ValueError(f"beta is of loss mul#log; loss {self.loss} has no use for it")
        if "hold_rate" in self.model_fields_set and not self.hold_target:
            raise ValueError("hold_rate is of hold_target = true, and has no say without it")
        return self

    @model_validator(mode="after")
    def _something_is_learned(self) -> "SearchConfig":
        if self.arch_every > self.steps:
            raise ValueError(
                f"the {self.steps} steps end before the first architecture step, which follows every "
                f"{self.arch_every}th (arch_every)"
            )
        return self


class BaselineConfig(Section):
    """Hand-made MobileNetV2-style nets at these width multipliers; the one nearest in latency is trained."""

    multipliers: tuple[Annotated[float, Field(gt=0, le=8)], ...] = Field(
        default=(0.25, 0.35, 0.5, 0.75, 1.0, 1.25), strict=False, min_length=1, max_length=32
    )


class ExportConfig(Section):
    """Which runtimes get files, in which precisions; the table's runtime and precision must be among them. precisions:
    left out, fp32 and the table's. calibration_images: how many training images int8's ranges come from. softmax: files
    give probabilities. uint8_input: files take pixels and normalise them themselves. licence: of the weights."""

    runtimes: tuple[Runtime, ...] = Field(default=("tflite", "executorch"), strict=False, min_length=1)
    precisions: tuple[Precision, ...] | None = Field(default=None, strict=False, min_length=1)
    calibration_images: int = Field(default=128, ge=1, le=MAX_CALIBRATION_IMAGES)
    softmax: bool = False
    uint8_input: bool = False
    licence: str | None = Field(default=None, min_length=1, max_length=4096)

    @field_validator("licence")
    @classmethod
    def _licence_can_be_printed(cls, licence: str | None) -> str | None:
        if licence is not None and not licence.isprintable():
            raise ValueError("licence holds characters that cannot be printed")
        return licence


class RebenchConfig(Section):
    """How many fresh processes measure each exported file; left out, as many as the device needs. most_loss: percent
    points of top-1 that the file to ship may lose against fp32."""

    processes: int | None = Field(default=None, ge=1, le=1000)
    most_loss: float = Field(default=MOST_LOSS_POINTS, ge=0, le=100)


class CompareConfig(Section):
    """What `pocketnas search compare` and `search --targets` spend beside the search itself; see search.strategies.
    supernet_steps: weight steps of the one-shot supernet; left out, as many as [search] has. evaluations: networks that
    evolution and random score with inherited weights, `population` of them evolution's first. candidates: networks
    that train-each trains, candidate_steps each; left out, a tenth of train.steps. per_update: candidates between two
    updates of its controller. recalibration_images, scoring_images: what one score takes."""

    supernet_steps: Steps | None = None
    evaluations: int = Field(default=200, ge=1, le=1_000_000)
    population: int = Field(default=32, ge=1, le=100_000)
    candidates: int = Field(default=32, ge=1, le=1_000_000)
    candidate_steps: Steps | None = None
    per_update: int = Field(default=4, ge=1, le=1000)
    controller_learning_rate: Rate = 0.1
    recalibration_images: int = Field(default=2048, ge=2, le=10_000_000)
    scoring_images: int = Field(default=2000, ge=1, le=10_000_000)

    @model_validator(mode="after")
    def _population_is_scored(self) -> "CompareConfig":
        if self.population > self.evaluations:
            raise ValueError(f"population {self.population} is more than the {self.evaluations} evaluations")
        if self.per_update > self.candidates:
            raise ValueError(
                f"per_update {self.per_update} is more than the {self.candidates} candidates: none is learned from"
            )
        return self


class RunConfig(Section):
    """A whole run: name, space, device, seed, and one section a stage. accelerator: where search and training compute
    (search.accelerator). host_threads: of torch in search and training; left out, all cores (small nets train fastest
    on one, and two then train side by side). ranks: over how many processes of this host search and training are
    spread, each with a GPU or its share of the cores; see search.ranks. tolerate: reasons for which a measurement would
    be void, by their ids (android_bench.reasons). devices: names of one's own for phones, each with
    what `-d` takes otherwise; `device` may be one of them."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    space: str
    device: str = "local"
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    accelerator: Accelerator = "auto"
    host_threads: int | None = Field(default=None, ge=1, le=1024)
    ranks: int = Field(default=1, ge=1, le=1024)
    tolerate: tuple[str, ...] = Field(default=(), strict=False, max_length=64)
    devices: dict[DeviceName, str] = Field(default={}, max_length=64)
    data: DataConfig
    table: TableConfig = TableConfig()
    search: SearchConfig
    train: TrainConfig
    baseline: BaselineConfig = BaselineConfig()
    export: ExportConfig = ExportConfig()
    rebench: RebenchConfig = RebenchConfig()
    compare: CompareConfig = CompareConfig()

    @property
    def exported_precisions(self) -> tuple[Precision, ...]:
        """What the derived net is exported in, whatever `export.precisions` was left to."""
        return self.export.precisions or tuple(dict.fromkeys(("fp32", self.table.precision)))

    @field_validator("tolerate")
    @classmethod
    def _reasons_are_known(cls, tolerate: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in tolerate if name not in REASONS]
        if unknown:
            raise ValueError(f"unknown reason {unknown[0]!r}; known: {', '.join(REASONS)}")
        return tolerate

    @field_validator("devices")
    @classmethod
    def _names_stand_for_devices(cls, devices: dict[str, str]) -> dict[str, str]:
        if LOCAL in devices:
            raise ValueError(f"{LOCAL} is this machine already; choose another name")
        for name, id in devices.items():
            try:
                if id != LOCAL:
                    transport_kind(id)
            except InputError as error:
                raise ValueError(f"{name}: {error}") from None
        return devices

    @model_validator(mode="after")
    def _batches_can_be_divided(self) -> "RunConfig":
        for section, size in (("search", self.search.batch_size), ("train", self.train.batch_size)):
            if size % self.ranks:
                raise ValueError(f"{section}.batch_size {size} must be a multiple of ranks, {self.ranks}")
        return self

    @model_validator(mode="after")
    def _architecture_steps_have_their_batch(self) -> "RunConfig":
        if self.data.holdout < self.search.batch_size:
            raise ValueError(
                f"data.holdout {self.data.holdout} is less than search.batch_size {self.search.batch_size}: an "
                "architecture step takes a batch of the images that are held out"
            )
        return self

    @model_validator(mode="after")
    def _what_the_table_is_of_is_exported(self) -> "RunConfig":
        if self.table.runtime not in self.export.runtimes:
            raise ValueError(f"export.runtimes must hold the table's runtime, {self.table.runtime}")
        if self.table.precision not in self.exported_precisions:
            raise ValueError(f"export.precisions must hold the table's precision, {self.table.precision}")
        try:
            kinds_of(self.export.runtimes, self.exported_precisions)
        except InputError as error:
            raise ValueError(f"export: {error}") from None
        return self


def parse_config(text: bytes, *, source: str) -> RunConfig:
    """Read a configuration. Raises InputError naming the file, the field and what is wrong with it."""
    try:
        plain = tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise InputError(f"config {source} is not valid TOML: {error}") from None
    try:
        return RunConfig.model_validate(plain)
    except ValidationError as error:
        raise InputError(f"config {source}: {fault_of(error)}") from None


def load_config(path: Path) -> tuple[RunConfig, bytes]:
    """A configuration and its text, byte for byte. Raises InputError."""
    text = read_bytes(path, what="config", max_bytes=MAX_CONFIG_BYTES)
    return parse_config(text, source=str(path)), text


def builtin_config(name: str) -> tuple[RunConfig, bytes]:
    """A configuration that comes with the product."""
    text = (resources.files("pocketnas") / "configs" / f"{name}.toml").read_bytes()
    return parse_config(text, source=name), text
