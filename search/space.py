"""A search space as plain data: which operators may stand where. No torch here."""

import math
import re
import tomllib
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from latency.opspec import OpSpec, zero
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_bytes
from search.layout import MAX_RESOLUTION, MIN_RESOLUTION, Edge, Place, Space
from search.tree_space import TreeSpace

MAX_SPACE_BYTES = 1024 * 1024

_AT_RESOLUTION = re.compile(r"(.+)@([0-9]{1,6})")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


_Width = Field(ge=1, le=16_384)
_Kernel = Field(ge=1, le=15)


class StemSpec(_Strict):
    """The first convolution, `kernel` x `kernel`, then batch norm and activation."""

    width: int = _Width
    kernel: int = _Kernel
    stride: int = Field(ge=1, le=4)


class FirstBlockSpec(_Strict):
    """The fixed first MBConv, without shortcut (ProxylessNAS keeps it out of the search)."""

    width: int = _Width
    kernel: int = _Kernel
    expansion: int = Field(ge=1, le=16)


class StageSpec(_Strict):
    """`cells` searchable blocks of one width; the first has `stride`, the others stride 1."""

    width: int = _Width
    cells: int = Field(ge=1, le=64)
    stride: int = Field(ge=1, le=4)


class HeadSpec(_Strict):
    """The 1x1 convolution before global average pool and classifier."""

    width: int = _Width


class _SpaceFile(_Strict):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    resolution: int = Field(ge=MIN_RESOLUTION, le=MAX_RESOLUTION)
    image_channels: int = Field(ge=1, le=16)
    classes: int = Field(ge=2, le=65_536)
    kernels: list[int] = Field(min_length=1, max_length=8)
    expansions: list[int] = Field(min_length=1, max_length=8)
    zero: bool
    stem: StemSpec
    first: FirstBlockSpec
    stages: list[StageSpec] = Field(min_length=1, max_length=32)
    head: HeadSpec


@dataclass(frozen=True)
class SearchSpace(Space):
    """Stem, fixed first block, stages of searchable blocks, head (ProxylessNAS, section 4.2).

    kernels, expansions: every combination is a candidate, kernel-major (3x3 mb3, 3x3 mb6, 5x5 mb3, ...).
    zero: whether a block with stride 1 and equal channels may be left out.
    """

    name: str
    resolution: int
    image_channels: int
    classes: int
    kernels: tuple[int, ...]
    expansions: tuple[int, ...]
    zero: bool
    stem: StemSpec
    first: FirstBlockSpec
    stages: tuple[StageSpec, ...]
    head: HeadSpec

    @cached_property
    def _layout(self) -> tuple[tuple[OpSpec, ...], tuple[Edge, ...], tuple[OpSpec, ...]]:
        stem = OpSpec(
            "conv", self.image_channels, self.stem.width, self.stem.kernel, 1, self.stem.stride, self.resolution
        )
        first = OpSpec(
            "mbconv",
            self.stem.width,
            self.first.width,
            self.first.kernel,
            self.first.expansion,
            1,
            stem.out_resolution,
        )
        edges: list[Edge] = []
        channels, resolution = self.first.width, first.out_resolution
        for number, stage in enumerate(self.stages, start=1):
            for cell in range(1, stage.cells + 1):
                stride = stage.stride if cell == 1 else 1
                residual = stride == 1 and channels == stage.width
                candidates = [
                    OpSpec("mbconv", channels, stage.width, kernel, expansion, stride, resolution, residual)
                    for kernel in self.kernels
                    for expansion in self.expansions
                ]
                if self.zero and residual:
                    candidates.append(zero(channels, resolution))
                edges.append(Edge(f"stage{number}.cell{cell}", tuple(candidates)))
                channels, resolution = stage.width, candidates[0].out_resolution
        head = OpSpec("conv", channels, self.head.width, 1, 1, 1, resolution)
        classifier = OpSpec("classifier", self.head.width, self.classes, 1, 1, 1, resolution)
        return (stem, first), tuple(edges), (head, classifier)

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """One after another."""
        before, edges, after = self._layout
        contents: list[OpSpec | Edge] = [*before, *edges, *after]
        return tuple(Place(content, (number,)) for number, content in enumerate(contents))

    @property
    def total_stride(self) -> int:
        """By how much the whole network divides the image's height and width."""
        return self.stem.stride * math.prod(stage.stride for stage in self.stages)

    def at_resolution(self, resolution: int) -> "SearchSpace":
        """See Space."""
        self.check_resolution(resolution)
        if resolution == self.resolution:
            return self
        return replace(self, name=f"{self.name.partition('@')[0]}@{resolution}", resolution=resolution)

    def to_dict(self) -> dict[str, object]:
        """The content of the space's TOML file."""
        plain = asdict(self)
        for key in ("stem", "first", "head"):
            plain[key] = getattr(self, key).model_dump()
        plain["stages"] = [stage.model_dump() for stage in self.stages]
        plain["kernels"], plain["expansions"] = list(self.kernels), list(self.expansions)
        return plain

    @classmethod
    def from_dict(cls, value: object, *, source: str) -> "SearchSpace":
        """Build a space from plain data. Raises InputError naming `source` and the field at fault."""
        try:
            parsed = _SpaceFile.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the file"
            raise InputError(f"space {source}: {place}: {first['msg']}") from None
        fields = {name: getattr(parsed, name) for name in _SpaceFile.model_fields}
        for name in ("kernels", "expansions", "stages"):
            fields[name] = tuple(fields[name])
        for name in ("kernels", "expansions"):
            if len(set(fields[name])) != len(fields[name]):
                raise InputError(f"space {source}: {name}: the same value is listed twice")
        space = cls(**fields)
        try:
            space.op_specs()
        except InputError as error:
            raise InputError(f"space {source}: {error}") from None
        return space


def builtin_spaces() -> tuple[str, ...]:
    """Names of the spaces that come with the product."""
    folder = resources.files("search") / "spaces"
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_space(name_or_path: str) -> Space:
    """A built-in space by name, or one from a TOML file; with `@PIXELS` behind it, for images of another size.

    Raises InputError listing what is known.
    """
    if sized := _AT_RESOLUTION.fullmatch(name_or_path):
        return _load(sized[1]).at_resolution(int(sized[2]))
    return _load(name_or_path)


def _load(name_or_path: str) -> Space:
    if name_or_path in builtin_spaces():
        text = (resources.files("search") / "spaces" / f"{name_or_path}.toml").read_bytes()
    elif name_or_path.endswith(".toml"):
        text = read_bytes(Path(name_or_path), what="space", max_bytes=MAX_SPACE_BYTES)
    else:
        raise InputError(
            f"unknown space {name_or_path!r}; known: {', '.join(builtin_spaces())}, or the path of a .toml file"
        )
    try:
        plain = tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise InputError(f"space {name_or_path}: not valid TOML: {error}") from error
    kind = TreeSpace if "tree" in plain else SearchSpace
    return kind.from_dict(plain, source=name_or_path)
