"""The operators of a space of tree cells, laid out one after another from the image to the logits."""

from typing import TYPE_CHECKING

from latency.opspec import OpSpec, zero
from search.layout import Edge, Place
from search.tree_space_file import IDENTITY

if TYPE_CHECKING:
    from search.tree_space import TreeSpace


def places_of(space: "TreeSpace") -> tuple[Place, ...]:
    """The places of a space. Raises InputError for an operator that cannot be."""
    return _Layout(space).places


class _Layout:
    """Values are numbered as they are made."""

    def __init__(self, space: "TreeSpace") -> None:
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
