"""The supernet: every candidate of a space side by side, one path at a time."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from search.operators import build_operator
from search.paths import PathPair, gated_pair
from search.space import SearchSpace


class Supernet(nn.Module):
    """All candidates' weights; `forward` runs one candidate per edge, so that a step costs what one network costs."""

    def __init__(self, space: SearchSpace, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.before = nn.ModuleList(build_operator(op) for op in space.before)
        self.edges = nn.ModuleList(nn.ModuleList(build_operator(op) for op in edge.candidates) for edge in space.edges)
        self.after = nn.ModuleList(build_operator(op, dropout=dropout) for op in space.after)

    def candidate(self, edge: int, index: int) -> nn.Module:
        """The operator module of one candidate at one edge."""
        candidates = self.edges[edge]
        assert isinstance(candidates, nn.ModuleList)
        return candidates[index]

    def forward(self, x: Tensor, path: Sequence[int]) -> Tensor:
        """Images [N, C, r, r] through candidate path[e] at each edge e, to logits [N, classes]."""
        for op in self.before:
            x = op(x)
        for edge, index in enumerate(path):
            x = self.candidate(edge, index)(x)
        for op in self.after:
            x = op(x)
        return x

    def forward_pair(self, x: Tensor, pair: PathPair, alpha: Tensor) -> Tensor:
        """As `forward` along pair.active, with the gate gradient of both paths flowing into alpha [edges, candidates].

        The inactive candidate sees the same input and leaves only its output behind, no graph.
        """
        for op in self.before:
            x = op(x)
        for edge, (active, inactive) in enumerate(zip(pair.active.tolist(), pair.inactive.tolist(), strict=True)):
            out = self.candidate(edge, active)(x)
            if active != inactive:
                with torch.no_grad():
                    other = self.candidate(edge, inactive)(x)
                out = gated_pair(alpha[edge, [active, inactive]], out, other)
            x = out
        for op in self.after:
            x = op(x)
        return x
