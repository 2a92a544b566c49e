"""The operators of a space of inverted residual blocks, one behind the other from the image to the logits."""

from typing import TYPE_CHECKING

from latency.opspec import OpSpec, zero
from search.layout import Edge, Place, chain_inputs
from search.space_file import FirstBlockSpec, HeadSpec, StageSpec, StemSpec

if TYPE_CHECKING:
    from search.space import SearchSpace


def places_of(space: "SearchSpace") -> tuple[Place, ...]:
    """The places of a space whose width multiplier is 1. Raises InputError for an operator that cannot be."""
    stem = OpSpec(
        "conv",
        space.image_channels,
        space.stem.width,
        space.stem.kernel,
        1,
        space.stem.stride,
        space.resolution,
        activation=_activation(space, space.stem),
    )
    first = OpSpec(
        "mbconv",
        space.stem.width,
        space.first.width,
        space.first.kernel,
        space.first.expansion,
        1,
        stem.out_resolution,
        activation=_activation(space, space.first),
        squeeze_excite=space.first.squeeze_excite,
    )
    edges: list[Edge] = []
    channels, resolution = space.first.width, first.out_resolution
    for number, stage in enumerate(space.stages, start=1):
        for cell in range(1, stage.cells + 1):
            candidates = _candidates(space, stage, channels, stage.stride if cell == 1 else 1, resolution)
            edges.append(Edge(f"stage{number}.cell{cell}", candidates))
            channels, resolution = stage.width, candidates[0].out_resolution
    width, activation = space.head.width, _activation(space, space.head)
    head = OpSpec("conv", channels, width, 1, 1, 1, resolution, activation=activation)
    classifier = OpSpec("classifier", width, space.classes, 1, 1, 1, resolution)
    contents: list[OpSpec | Edge] = [stem, first, *edges, head, classifier]
    return tuple(map(Place, contents, chain_inputs(len(contents))))


def _candidates(
    space: "SearchSpace", stage: StageSpec, channels: int, stride: int, resolution: int
) -> tuple[OpSpec, ...]:
    residual = stride == 1 and channels == stage.width
    activation = _activation(space, stage)
    shares = space.squeeze_excite if stage.squeeze_excite is None else stage.squeeze_excite
    blocks = [
        OpSpec("mbconv", channels, stage.width, kernel, expansion, stride, resolution, residual, activation, share)
        for kernel in space.kernels
        for expansion in space.expansions
        for share in shares
    ]
    return (*blocks, zero(channels, resolution)) if space.zero and residual else tuple(blocks)


def _activation(space: "SearchSpace", part: StemSpec | FirstBlockSpec | StageSpec | HeadSpec) -> str:
    return part.activation or space.activation
