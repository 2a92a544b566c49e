"""A space of tree cells on a PyramidNet, as plain data: ProxylessNAS's space for CIFAR-10. No torch here.

Path-level search (Cai et al., "Path-Level Network Transformation for Efficient Architecture Search", ICML 2018): the
3x3 convolution of every residual bottleneck block becomes a tree, and what stands on each of its edges is searched.
"""

from dataclasses import dataclass, replace
from functools import cached_property

from latency.cells import GROUPS
from pocketnas_base.errors import InputError
from search.layout import Place, Space
from search.space_file import parsed
from search.tree_places import places_of
from search.tree_space_file import IDENTITY, PyramidSpec, TreeSpaceFile, TreeSpec

_OPERATORS = ["sepconv_3x3", "sepconv_5x5", "sepconv_7x7", "dilconv_3x3", "dilconv_5x5", "avgpool_3x3", "maxpool_3x3"]
MAX_EDGES = 10_000


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
        return places_of(self)

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
        file = parsed(TreeSpaceFile, value, source)
        space = cls(**{name: getattr(file, name) for name in TreeSpaceFile.model_fields})
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
