"""Published and hand-made architectures: ready to predict, export, train and compare with."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from latency.opspec import OpSpec
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_json
from pocketnas_base.rounding import make_divisible
from search.architecture import Architecture, assemble
from search.space import SearchSpace, load_space

_SOURCES = "sources.json"
MAX_MULTIPLIER = 16


class Published(BaseModel):
    """What the authors report; None where they do not. ImageNet accuracy in percent, latency on a Pixel 1 in ms."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    top1_percent: float | None = None
    top5_percent: float | None = None
    pixel1_latency_ms: float | None = None
    macs_millions: float | None = None
    params_millions: float | None = None


class _Source(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    licence: str | None
    published: Published


class _Choices(BaseModel):
    """A published net of a space: what it has on each edge, in rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int
    name: str
    space: str
    choices: list[list[str]]


@dataclass(frozen=True, slots=True)
class ZooEntry:
    """One architecture of the zoo, where it comes from and what was published about it.

    licence: of the published files it was taken from; None for a net described in a paper.
    """

    architecture: Architecture
    source: str
    licence: str | None
    published: Published


@cache
def _sources() -> dict[str, _Source]:
    text = (resources.files("search") / "published" / _SOURCES).read_bytes()
    return TypeAdapter(dict[str, _Source]).validate_json(text)


def zoo_names() -> tuple[str, ...]:
    """Names of the architectures that come with the product."""
    return tuple(sorted(_sources()))


def load_zoo(name: str) -> ZooEntry:
    """An architecture of the zoo by name. Raises InputError listing the names that are known."""
    if name not in _sources():
        raise InputError(f"unknown zoo architecture {name!r}; known: {', '.join(zoo_names())}")
    about = _sources()[name]
    with resources.as_file(resources.files("search") / "published" / f"{name}.json") as path:
        return ZooEntry(_published(path), about.source, about.licence, about.published)


def _published(path: Path) -> Architecture:
    """An architecture of its own, or the choices at the edges of a space, by name."""
    plain = read_json(path, what="architecture")
    if not isinstance(plain, dict) or "choices" not in plain:
        return Architecture.from_dict(plain, source=str(path))
    published = _Choices.model_validate(plain)
    space = load_space(published.space)
    names = [name for row in published.choices for name in row]
    indices = [[op.choice for op in edge.candidates].index(name) for edge, name in zip(space.edges, names, strict=True)]
    return assemble(space, indices, published.name)


def load_architecture(name_or_path: str) -> Architecture:
    """An architecture of the zoo by name, or one from a JSON file. Raises InputError listing what is known."""
    if name_or_path in _sources():
        return load_zoo(name_or_path).architecture
    path = Path(name_or_path).expanduser()
    if path.suffix == ".json" or path.is_file():
        return Architecture.load(path)
    raise InputError(
        f"unknown architecture {name_or_path!r}; known: {', '.join(zoo_names())}, or the path of a .json file"
    )


def describe(architecture: Architecture) -> dict[str, object]:
    """Name, parameters, multiply-accumulates and operators, for people and programs.

    blocks: every operator in order, stem and head included, with its fields, `choice`, `macs` and `params`.
    """
    return {
        "name": architecture.name,
        "params": architecture.parameters,
        "macs": architecture.macs,
        "blocks": [
            {**op.to_dict(), "choice": op.choice, "macs": op.macs, "params": op.parameters} for op in architecture.ops
        ],
    }


def mobilenet_v2_family(space: SearchSpace, multipliers: Sequence[float]) -> list[Architecture]:
    """MobileNetV2-style nets in the form of `space`: its image size, strides, cells and classes, all blocks MB6 3x3.

    Every width is the space's times the multiplier, made divisible by 8; the head's only when the multiplier is above 1
    (Sandler et al., arXiv 1801.04381, section 5; ProxylessNAS scales the same way). Named `mobilenet-v2-x0.75`.
    Raises InputError for a multiplier that is not above 0 or is above 16.
    """
    return [_mobilenet_v2(space, float(multiplier)) for multiplier in multipliers]


def _mobilenet_v2(unscaled: SearchSpace, multiplier: float) -> Architecture:
    space = unscaled.scaled
    if not 0 < multiplier <= MAX_MULTIPLIER:
        raise InputError(f"width multiplier must be above 0 and at most {MAX_MULTIPLIER}, not {multiplier}")
    stem_width, first_width = (make_divisible(part.width * multiplier) for part in (space.stem, space.first))
    head_width = make_divisible(space.head.width * multiplier) if multiplier > 1 else space.head.width
    stem = OpSpec("conv", space.image_channels, stem_width, space.stem.kernel, 1, space.stem.stride, space.resolution)
    ops = [stem, OpSpec("mbconv", stem_width, first_width, 3, 1, 1, stem.out_resolution)]
    for stage in space.stages:
        width = make_divisible(stage.width * multiplier)
        for cell in range(stage.cells):
            before, stride = ops[-1], stage.stride if cell == 0 else 1
            residual = stride == 1 and before.out_channels == width
            ops.append(OpSpec("mbconv", before.out_channels, width, 3, 6, stride, before.out_resolution, residual))
    ops.append(OpSpec("conv", ops[-1].out_channels, head_width, 1, 1, 1, ops[-1].out_resolution))
    ops.append(OpSpec("classifier", head_width, space.classes, 1, 1, 1, ops[-1].out_resolution))
    return Architecture(f"mobilenet-v2-x{multiplier}", tuple(ops))
