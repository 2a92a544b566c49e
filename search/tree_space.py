"""A space of tree cells on a PyramidNet, as plain data: ProxylessNAS's space for CIFAR-10. No torch here.

Path-level search (Cai et al., "Path-Level Network Transformation for Efficient Architecture Search", ICML 2018): the
3x3 convolution of every residual bottleneck block becomes a tree, and what stands on each of its edges is searched.
"""

from dataclasses import dataclass, replace
from functools import cached_property

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from latency.cells import GROUPS
from latency.opspec import OpSpec, zero
from pocketnas_base.errors import InputError
from search.layout import MAX_RESOLUTION, MIN_RESOLUTION, Edge, Place, Space

_OPERATORS = ["sepconv_3x3", "sepconv_5x5", "sepconv_7x7", "dilconv_3x3", "dilconv_5x5", "avgpool_3x3", "maxpool_3x3"]
IDENTITY = "identity"
MAX_EDGES = 10_000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PyramidSpec(_Strict):
    """A PyramidNet of bottleneck blocks (Han et al., CVPR 2017).

    stem: width of the first convolution. alpha: channels that are added to it in equal steps, one a block. blocks: of
    each stage; a stage but the first begins with stride 2. bottleneck: how many times as wide as its cell a block's
    output is.
    """

    stem: int = Field(ge=2, le=4096)
    alpha: float = Field(ge=0, le=4096, allow_inf_nan=False)
    # A list in TOML, which strictness would refuse.
    blocks: tuple[int, ...] = Field(strict=False, min_length=1, max_length=8)
    bottleneck: int = Field(ge=1, le=16)


class TreeSpec(_Strict):
    """The tree in the place of a block's convolution.

    branches: of every node. depth: levels of searchable edges below the root's branches. operators: what may stand on
    an edge, in this order: sepconv_3x3, _5x5, _7x7, dilconv_3x3, _5x5, avgpool_3x3, maxpool_3x3, identity (the last).
    """

    branches: int = Field(ge=1, le=4)
    depth: int = Field(ge=1, le=4)
    operators: tuple[str, ...] = Field(strict=False, min_length=1, max_length=16)


class _SpaceFile(_Strict):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    resolution: int = Field(ge=MIN_RESOLUTION, le=MAX_RESOLUTION)
    image_channels: int = Field(ge=1, le=16)
    classes: int = Field(ge=2, le=65_536)
    pyramid: PyramidSpec
    tree: TreeSpec


@dataclass(frozen=True)
class TreeSpace(Space):
    """Stem, stages of residual blocks around tree cells, classifier (ProxylessNAS, section 4.1).

    A block of width n: to n channels; for each branch of the root a 3x3 convolution of its own, whose output h the
    branch's tree T turns into h + norm(T(h)); their sum, to n * bottleneck channels, added to the block's input. A
    node of T is the sum over its branches of an edge, with a node of the next level behind it.

    The published cells have one root convolution in two groups, shuffle its 2n channels and split them. A convolution
    in two groups for each half is the same function but for the order of channels inside a cell, with the same
    parameters.
    """

    name: str
    resolution: int
    image_channels: int
    classes: int
    pyramid: PyramidSpec
    tree: TreeSpec

    @cached_property
    def places(self) -> tuple[Place, ...]:
        return _Layout(self).places

    @property
    def widths(self) -> tuple[int, ...]:
        """The width of every block's cell: stem + k * alpha / blocks, rounded to the nearest, and down to a multiple of
        the root's groups."""
        count = sum(self.pyramid.blocks)
        grown = (round(self.pyramid.stem + (k + 1) * self.pyramid.alpha / count) for k in range(count))
        return tuple(width - width % GROUPS for width in grown)

    @property
    def total_stride(self) -> int:
        return int(2 ** (len(self.pyramid.blocks) - 1))

    def at_resolution(self, resolution: int) -> "TreeSpace":
        """See Space."""
        self.check_resolution(resolution)
        if resolution == self.resolution:
            return self
        return replace(self, name=f"{self.name.partition('@')[0]}@{resolution}", resolution=resolution)

    def check_resolution(self, resolution: int) -> None:
        """Besides: every stage halves the image."""
        super().check_resolution(resolution)
        if resolution % self.total_stride:
            raise InputError(
                f"space {self.name} halves images {len(self.pyramid.blocks) - 1} times: their size must be divisible "
                f"by {self.total_stride}, {resolution} px is not"
            )

    def to_dict(self) -> dict[str, object]:
        return {
            "name": self.name,
            "resolution": self.resolution,
            "image_channels": self.image_channels,
            "classes": self.classes,
            "pyramid": self.pyramid.model_dump(mode="json"),
            "tree": self.tree.model_dump(mode="json"),
        }

    @classmethod
    def from_dict(cls, value: object, *, source: str) -> "TreeSpace":
        """Build a space from plain data. Raises InputError naming `source` and the field at fault."""
        try:
            parsed = _SpaceFile.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the file"
            raise InputError(f"space {source}: {place}: {first['msg']}") from None
        space = cls(**{name: getattr(parsed, name) for name in _SpaceFile.model_fields})
        try:
            _check(space)
            space.check_resolution(space.resolution)
            space.op_specs()
        except InputError as error:
            raise InputError(f"space {source}: {error}") from None
        return space


def _check(space: TreeSpace) -> None:
    operators, tree = space.tree.operators, space.tree
    known = (*_OPERATORS, IDENTITY)
    if unknown := [name for name in operators if name not in known]:
        raise InputError(f"tree.operators: unknown {unknown[0]!r}; known: {', '.join(known)}")
    if len(set(operators)) != len(operators):
        raise InputError("tree.operators: the same operator is listed twice")
    if operators == (IDENTITY,):
        raise InputError(f"tree.operators: {IDENTITY} alone leaves nothing to search")
    if IDENTITY in operators[:-1]:
        raise InputError(f"tree.operators: {IDENTITY} is listed last")
    if any(count < 1 for count in space.pyramid.blocks):
        raise InputError("pyramid.blocks: every stage needs a block at least")
    edges = sum(space.pyramid.blocks) * sum(tree.branches ** (1 + level) for level in range(1, tree.depth + 1))
    if edges > MAX_EDGES:
        raise InputError(f"{edges} searchable edges are more than {MAX_EDGES}; take fewer blocks, branches or levels")


class _Layout:
    """Lays the places of a space out one after another; values are numbered as they are made."""

    def __init__(self, space: TreeSpace) -> None:
        self._places: list[Place] = []
        self._tree = space.tree
        pyramid, resolution = space.pyramid, space.resolution
        stem = OpSpec("convbn", space.image_channels, pyramid.stem, 3, 1, 1, resolution)
        value, channels = self._put(stem, 0), pyramid.stem
        widths = iter(space.widths)
        number = 0
        for stage, count in enumerate(pyramid.blocks):
            for block in range(count):
                number += 1
                width, stride = next(widths), 2 if stage and not block else 1
                value = self._block(
                    f"block{number}", value, channels, width, width * pyramid.bottleneck, stride, resolution
                )
                channels, resolution = width * pyramid.bottleneck, resolution // stride
        value = self._put(_at("normrelu", channels, resolution), value)
        self._put(OpSpec("classifier", channels, space.classes, 1, 1, 1, resolution), value)

    @property
    def places(self) -> tuple[Place, ...]:
        return tuple(self._places)

    def _put(self, content: OpSpec | Edge, *inputs: int) -> int:
        self._places.append(Place(content, inputs))
        return len(self._places)

    def _block(
        self, name: str, source: int, channels: int, width: int, out_channels: int, stride: int, resolution: int
    ) -> int:
        reduced = self._put(OpSpec("reduce", channels, width, 1, 1, 1, resolution), source)
        inner, halves = resolution // stride, []
        for branch in range(1, self._tree.branches + 1):
            root = self._put(OpSpec("groupconv", width, width, 3, 1, stride, resolution), reduced)
            tree = self._node(f"{name}.tree{branch}", root, width, inner, self._tree.depth)
            normed = self._put(_at("norm", width, inner), tree)
            halves.append(self._put(_at("add", width, inner), root, normed))
        expanded = self._put(OpSpec("expand", width, out_channels, 1, 1, 1, inner), self._sum(halves, width, inner))
        return self._put(OpSpec("add", channels, out_channels, 1, 1, stride, resolution), source, expanded)

    def _node(self, name: str, source: int, width: int, resolution: int, depth: int) -> int:
        values = []
        for branch in range(1, self._tree.branches + 1):
            path = f"{name}.{branch}"
            value = self._put(Edge(path, self._candidates(width, resolution)), source)
            values.append(self._node(path, value, width, resolution, depth - 1) if depth > 1 else value)
        return self._sum(values, width, resolution)

    def _candidates(self, width: int, resolution: int) -> tuple[OpSpec, ...]:
        found = []
        for name in self._tree.operators:
            kind, _, size = name.partition("_")
            found.append(zero(width, resolution) if kind == IDENTITY else _at(kind, width, resolution, int(size[0])))
        return tuple(found)

    def _sum(self, values: list[int], width: int, resolution: int) -> int:
        total = values[0]
        for value in values[1:]:
            total = self._put(_at("add", width, resolution), total, value)
        return total


def _at(kind: str, channels: int, resolution: int, kernel: int = 1) -> OpSpec:
    """An operator that changes neither channels nor size."""
    return OpSpec(kind, channels, channels, kernel, 1, 1, resolution)  # type: ignore[arg-type]
