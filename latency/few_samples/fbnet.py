"""FBNet networks as features (Wu et al., CVPR 2019, table 1): 22 layers, one of nine operators each."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from latency.few_samples.nets import MAX_NETS, FloatArray, Nets, counts, one_hot
from pocketnas_base.errors import InputError

SPACE = "fbnet"
OPERATORS = ("k3_e1", "k3_e1_g2", "k3_e3", "k3_e6", "k5_e1", "k5_e1_g2", "k5_e3", "k5_e6", "skip")
SKIP = OPERATORS.index("skip")

STEM_CHANNELS = 16
STAGE_CHANNELS = (16, 24, 32, 64, 112, 184, 352)
STAGE_LAYERS = (1, 4, 4, 4, 4, 4, 1)
# Strides and input size of the variant for 32 px images, whose latencies the public data sets hold (HW-NAS-Bench, Li et
# al., ICLR 2021). At 224 px the stages' shares differ, which the groups by stage and by layer take up.
STAGE_STRIDES = (1, 1, 2, 2, 1, 2, 1)
INPUT_PIXELS = 32


@dataclass(frozen=True, slots=True)
class Layer:
    """Where an operator stands: its stage, and what goes in and comes out."""

    stage: int
    in_channels: int
    out_channels: int
    stride: int
    resolution: int


@cache
def layers() -> tuple[Layer, ...]:
    """The 22 places of the space, first to last."""
    found: list[Layer] = []
    channels, resolution = STEM_CHANNELS, INPUT_PIXELS
    for stage, (width, depth) in enumerate(zip(STAGE_CHANNELS, STAGE_LAYERS, strict=True)):
        for position in range(depth):
            stride = STAGE_STRIDES[stage] if position == 0 else 1
            found.append(Layer(stage, channels, width, stride, resolution))
            channels, resolution = width, -(-resolution // stride)
    return tuple(found)


def encode_fbnet(networks: Sequence[Sequence[str]]) -> Nets:
    """Encode networks given as the names of their 22 operators. Raises InputError on any other length or name."""
    if not 1 <= len(networks) <= MAX_NETS:
        raise InputError(f"{len(networks)} networks; 1 to {MAX_NETS} can be encoded")
    choices = np.array([_parse(names, number) for number, names in enumerate(networks)], dtype=np.int64)
    work = _work()
    per_layer = work[np.arange(choices.shape[1]), choices]
    stages = np.array([layer.stage for layer in layers()])
    by_stage = [np.flatnonzero(stages == stage) for stage in range(len(STAGE_CHANNELS))]
    groups = {
        "work": per_layer.sum(axis=1) / _spread(work),
        "operators": counts(choices, len(OPERATORS)),
        "work by stage": np.hstack([per_layer[:, own].sum(axis=1) / _spread(work[own]) for own in by_stage]),
        "operators by stage": np.hstack([counts(choices[:, own], len(OPERATORS)) for own in by_stage]),
        "layers": one_hot(choices, len(OPERATORS)),
    }
    return Nets(SPACE, groups)


def _parse(names: Sequence[str], number: int) -> list[int]:
    if isinstance(names, str) or len(names) != len(layers()):
        raise InputError(f"network {number}: an FBNet network is a list of {len(layers())} operators")
    for place, name in enumerate(names):
        if name not in OPERATORS:
            raise InputError(
                f"network {number}, layer {place}: unknown operator {str(name)[:40]!r}; known: {', '.join(OPERATORS)}"
            )
    return [OPERATORS.index(name) for name in names]


@cache
def _work() -> FloatArray:
    """What each operator does at each layer: (layers, operators, kinds of work).

    Kinds: MACs of 1x1 convolutions, of 3x3 and of 5x5 depthwise ones; activations inside the block, and at its ends;
    weights of the 1x1 convolutions; blocks.
    """
    rows = [[_work_of(layer, name) for name in OPERATORS] for layer in layers()]
    return np.array(rows, dtype=np.float64)


def _work_of(layer: Layer, name: str) -> tuple[float, ...]:
    pixels = layer.resolution**2
    out_pixels = (-(-layer.resolution // layer.stride)) ** 2
    if name == "skip":
        plain = layer.stride == 1 and layer.in_channels == layer.out_channels
        return (0.0 if plain else layer.in_channels * layer.out_channels * out_pixels, 0, 0, 0, 0, 0, 0)
    kernel, expansion, groups = int(name[1]), int(name[4]), 2 if name.endswith("_g2") else 1
    middle = layer.in_channels * expansion
    pointwise = (layer.in_channels * pixels + layer.out_channels * out_pixels) * middle / groups
    depthwise = kernel**2 * middle * out_pixels
    inside = middle * (pixels + out_pixels)
    ends = layer.in_channels * pixels + layer.out_channels * out_pixels
    weights = (layer.in_channels + layer.out_channels) * middle / groups
    return (pointwise, depthwise * (kernel == 3), depthwise * (kernel == 5), inside, ends, weights, 1)


def _spread(work: FloatArray) -> FloatArray:
    """Standard deviation, over nets drawn evenly, of each kind of work summed over the given layers."""
    spread: FloatArray = np.sqrt(work.var(axis=1).sum(axis=0))
    return spread
