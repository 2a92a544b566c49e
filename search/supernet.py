"""The supernet: every candidate of a space side by side, one path at a time."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from search.layout import Edge, Space
from search.operators import build_operator
from search.wiring import walk


class Supernet(nn.Module):
    """All candidates' weights; `forward` runs one candidate per edge, so that a step costs what one network costs."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.before = nn.ModuleList(build_operator(op) for op in space.before)
        self.edges = nn.ModuleList(nn.ModuleList(build_operator(op) for op in edge.candidates) for edge in space.edges)
        self.after = nn.ModuleList(build_operator(op) for op in space.after)
        self.connections = [place.inputs for place in space.places]
        self._searched = [isinstance(place.content, Edge) for place in space.places]
        # Kept: every architecture step freezes them, and walking twenty thousand modules takes a tenth of a second.
        self._weights = tuple(self.parameters())

    def candidates(self, edge: int) -> nn.ModuleList:
        """The operator modules of one edge."""
        candidates = self.edges[edge]
        assert isinstance(candidates, nn.ModuleList)
        return candidates

    def candidate(self, edge: int, index: int) -> nn.Module:
        """The operator module of one candidate at one edge."""
        return self.candidates(edge)[index]

    def along(self, path: Sequence[int]) -> list[nn.Module]:
        """The operator modules of candidate path[e] at each edge e and of all that is fixed, in the order they run."""
        fixed = iter([*self.before, *self.after])
        chosen = iter([self.candidate(edge, index) for edge, index in enumerate(path)])
        return [next(chosen) if searched else next(fixed) for searched in self._searched]

    def walk(self, x: Tensor, block: Callable[[int, Tensor], Tensor]) -> Tensor:
        """Images [N, C, r, r] to logits [N, classes], where block(e, x) stands for what edge e does to its input x."""
        fixed, edges = iter([*self.before, *self.after]), iter(range(len(self.edges)))

        def run(number: int, *values: Tensor) -> Tensor:
            if self._searched[number]:
                return block(next(edges), *values)
            out: Tensor = next(fixed)(*values)
            return out

        return walk(x, self.connections, run)

    def forward(self, x: Tensor, path: Sequence[int]) -> Tensor:
        """Images [N, C, r, r] through candidate path[e] at each edge e, to logits [N, classes]."""
        return self.walk(x, lambda edge, inner: self.run(edge, path[edge], inner))

    def run(self, edge: int, index: int, x: Tensor) -> Tensor:
        """What one candidate makes of the edge's input."""
        out: Tensor = self.candidate(edge, index)(x)
        return out

    @contextmanager
    def weights_frozen(self) -> Iterator[None]:
        """No gradient for any weight meanwhile: what an architecture step differentiates is alpha alone."""
        self._require_gradients(False)
        try:
            yield
        finally:
            self._require_gradients(True)

    def _require_gradients(self, required: bool) -> None:
        for weight in self._weights:
            weight.requires_grad_(required)
