"""How weights are trained, as a configuration says it: every key reaches the recipe, and faults are named by field."""

import pytest

from pocketnas.config import RunConfig, parse_config
from pocketnas.stages.training import training_settings
from pocketnas_base.errors import InputError
from search.augment import Augmentation
from search.training import TrainingSettings

SHORTEST = """
name = "short"
space = "demo"
[data]
source = "fashion-mnist"
holdout = 10000
[search]
target_ms = 2.5
warmup_steps = 0
steps = 10
[train]
steps = 10
"""


def parsed(more: str, *, top: str = "") -> RunConfig:
    return parse_config((top + SHORTEST + more).encode(), source="mine.toml")


def test_left_out_everything_is_the_papers_or_off() -> None:
    config = parsed("")
    assert training_settings(config.train, 7) == TrainingSettings(steps=10, seed=7)
    assert config.train.augmentation.augmentation == Augmentation()
    assert config.search.augmentation.augmentation == Augmentation()
    assert config.train.distillation is None
    assert (config.search.mixed_precision, config.search.clip_norm, config.accelerator) == (False, None, "auto")


def test_every_key_reaches_the_recipe() -> None:
    config = parsed(
        """
batch_size = 32
learning_rate = 0.2
weight_decay = 0.001
label_smoothing = 0.2
dropout = 0.3
warmup_steps = 5
ema_decay = 0.99
recalibration_images = 500
clip_norm = 2.0
mixed_precision = true
[train.augmentation]
crop_scale = [0.35, 1.0]
crop_ratio = [0.5, 2.0]
flip = false
brightness = 0.4
contrast = 0.3
saturation = 0.2
hue = 0.1
[search.augmentation]
shift_px = 2
[train.distillation]
function = "mine.nets:teacher"
weight = 0.5
temperature = 2
"""
    )
    assert training_settings(config.train, 7) == TrainingSettings(
        steps=10,
        batch_size=32,
        learning_rate=0.2,
        weight_decay=0.001,
        label_smoothing=0.2,
        dropout=0.3,
        seed=7,
        warmup_steps=5,
        clip_norm=2.0,
        mixed_precision=True,
        ema_decay=0.99,
        recalibration_images=500,
    )
    assert config.train.augmentation.augmentation == Augmentation(
        flip=False,
        crop_scale=(0.35, 1.0),
        crop_ratio=(0.5, 2.0),
        brightness=0.4,
        contrast=0.3,
        saturation=0.2,
        hue=0.1,
    )
    assert config.search.augmentation.augmentation == Augmentation(shift_px=2)
    assert config.train.distillation is not None
    assert config.train.distillation.function == "mine.nets:teacher"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("warmup_steps = 10", "train: warmup_steps must be below the 10 steps"),
        ("ema_decay = 1.0", "train.ema_decay: Input should be less than 1"),
        ("ema_decay = 0.9\nrecalibration_images = 0", "train: averaged weights (ema_decay) need"),
        ("clip_norm = 0", "train.clip_norm: Input should be greater than 0"),
        ("mixed_precision = 16", "train.mixed_precision: Input should be a valid boolean"),
        ("augment = 3", "train.augment: Extra inputs are not permitted"),
        ("[train.augmentation]\nhue = 0.6", "train.augmentation: hue must lie within 0 and 0.5"),
        ("[train.augmentation]\ncolor = 0.6", "train.augmentation.color: Extra inputs are not permitted"),
        ("[train.augmentation]\ncrop_scale = [1, 0.5]", "crop_scale must rise within 0 and 1"),
        ("[train.augmentation]\ncrop_scale = [1]", "train.augmentation.crop_scale.1: Field required"),
        ("[train.augmentation]\ncrop_ratio = [0.5, 2]", "crop_ratio is of crop_scale, and has no say without it"),
        ("[train.augmentation]\nflip = 'no'", "train.augmentation.flip: Input should be a valid boolean"),
        ("[train.augmentation]\ncrop_scale = [0.5, 1]\nshift_px = 1", "give shift_px or crop_scale"),
        ("[search.augmentation]\nbrightness = -1", "search.augmentation: brightness must lie within"),
        ("[train.distillation]", "train.distillation: give either architecture and weights, or function"),
        ('[train.distillation]\narchitecture = "a"', "give either architecture and weights, or function"),
        ('[train.distillation]\nweights = "a"\nfunction = "a:b"', "give either architecture and weights, or function"),
        ('[train.distillation]\nfunction = "a.py"', "function 'a.py' is not of the form module:function"),
        ('[train.distillation]\nfunction = "a:b"\nweight = 0', "train.distillation.weight: Input should be greater"),
        ('[train.distillation]\nfunction = "a:b"\ntemperature = 0', "train.distillation.temperature: Input should be"),
    ],
)
def test_what_is_wrong_is_named_by_field(more: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parsed(more)
    assert len(str(caught.value).splitlines()) == 1
    assert message in str(caught.value)


def test_an_unknown_accelerator_is_refused() -> None:
    assert parsed("", top='accelerator = "cpu"\n').accelerator == "cpu"
    with pytest.raises(InputError, match="accelerator: Input should be 'auto', 'cpu' or 'cuda'"):
        parsed("", top='accelerator = "tpu"\n')
