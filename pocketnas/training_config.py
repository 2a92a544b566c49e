"""The sections of a configuration that say how weights are trained: `[train]`, and what `[search]` shares with it."""

from typing import Annotated

from pydantic import Field, model_validator

from pocketnas.config_section import Section
from pocketnas_base.errors import InputError
from search.augment import Augmentation
from search.user_function import is_function_spec

MAX_TEXT = 4096

Share = Annotated[float, Field(ge=0, lt=1)]


class AugmentationConfig(Section):
    """See search.augment.Augmentation, which checks the values."""

    shift_px: int | None = None
    flip: bool = True
    crop_scale: tuple[float, float] | None = Field(default=None, strict=False)
    crop_ratio: tuple[float, float] = Field(default=(3 / 4, 4 / 3), strict=False)
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    @property
    def augmentation(self) -> Augmentation:
        """What it asks for."""
        return Augmentation(**self.model_dump())

    @model_validator(mode="after")
    def _is_possible(self) -> "AugmentationConfig":
        try:
            _ = self.augmentation
        except InputError as error:
            raise ValueError(str(error).removeprefix("augmentation: ")) from None
        if "crop_ratio" in self.model_fields_set and self.crop_scale is None:
            raise ValueError("crop_ratio is of crop_scale, and has no say without it")
        return self


class DistillationConfig(Section):
    """A teacher (search.distillation): an architecture (a JSON file or a name of the zoo) with its weights, or
    function, `module:function` of the user's own. weight: of its answers in the loss, labels having the rest;
    temperature: of its answers and the student's. Defaults are Tian et al. 2020's for Hinton's method."""

    architecture: str | None = Field(default=None, min_length=1, max_length=MAX_TEXT)
    weights: str | None = Field(default=None, min_length=1, max_length=MAX_TEXT)
    function: str | None = Field(default=None, max_length=MAX_TEXT)
    weight: float = Field(default=0.9, gt=0, le=1)
    temperature: float = Field(default=4.0, gt=0, le=100)

    @model_validator(mode="after")
    def _one_teacher(self) -> "DistillationConfig":
        ours = (self.architecture is not None, self.weights is not None)
        if ours not in {(True, True), (False, False)} or (self.function is None) != ours[0]:
            raise ValueError("give either architecture and weights, or function")
        if self.function is not None and not is_function_spec(self.function):
            raise ValueError(f"function {self.function!r} is not of the form module:function")
        return self


class TrainConfig(Section):
    """See search.training.TrainingSettings; the baseline is trained by the same recipe."""

    steps: int = Field(ge=1, le=100_000_000)
    batch_size: int = Field(default=256, ge=2, le=65_536)
    learning_rate: float = Field(default=0.05, gt=0, le=100)
    warmup_steps: int = Field(default=0, ge=0, le=100_000_000)
    weight_decay: float = Field(default=4e-5, ge=0, le=1)
    label_smoothing: Share = 0.1
    dropout: Share = 0.1
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    recalibration_images: int | None = Field(default=None, ge=0, le=100_000_000)
    clip_norm: float | None = Field(default=None, gt=0)
    mixed_precision: bool = False
    augmentation: AugmentationConfig = AugmentationConfig()
    distillation: DistillationConfig | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "TrainConfig":
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps must be below the {self.steps} steps")
        if self.ema_decay is not None and self.recalibration_images == 0:
            raise ValueError("averaged weights (ema_decay) need recalibration_images above 0")
        return self
