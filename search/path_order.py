"""Which path a weight step trains: sampled by probability, or every candidate equally often."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from search.choices import WarmupPaths
from search.layout import Space
from search.paths import sample_path
from search.seeds import seeded


class PathOrder(Protocol):
    """Without state: a path is a function of the seed, the step's number and the probabilities."""

    def path(self, number: int, probabilities: Tensor) -> Sequence[int]:
        """The candidate of every edge that step `number` trains. probabilities: p [edges, candidates]."""


class SampledPaths:
    """Drawn from p, the paper's way (ProxylessNAS, section 3.2)."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def path(self, number: int, probabilities: Tensor) -> list[int]:
        """One draw per edge."""
        return sample_path(probabilities, seeded(self.seed, f"path {number}"))


class FairPaths:
    """Every candidate of an edge once before any comes again, each time in an order of its own.

    Strict fairness (FairNAS, Chu et al., ICCV 2021), one path a step: probabilities have no say. zero: whether Zero,
    which has no weights, takes its turn; without it the blocks around it are always trained together.
    """

    def __init__(self, space: Space, seed: int, *, zero: bool) -> None:
        self.seed = seed
        self.turns = [
            [index for index, op in enumerate(edge.candidates) if zero or op.kind != "zero"] for edge in space.edges
        ]
        # Of each edge the lap last asked for, and its order.
        self._orders: dict[int, tuple[int, list[int]]] = {}

    def path(self, number: int, probabilities: Tensor) -> list[int]:  # noqa: ARG002  (of the protocol)
        """Edge by edge the turn of step `number`."""
        return [self._turn(edge, *divmod(number, len(turns))) for edge, turns in enumerate(self.turns)]

    def _turn(self, edge: int, lap: int, place: int) -> int:
        if edge not in self._orders or self._orders[edge][0] != lap:
            turns = self.turns[edge]
            drawn = torch.randperm(len(turns), generator=seeded(self.seed, f"fair {edge} {lap}"))
            self._orders[edge] = lap, [turns[index] for index in drawn.tolist()]
        return self._orders[edge][1][place]


def warmup_order(kind: WarmupPaths, space: Space, seed: int) -> PathOrder:
    """The order of this name."""
    if kind == "sampled":
        return SampledPaths(seed)
    return FairPaths(space, seed, zero=kind == "fair")


def uniform_probabilities(space: Space) -> Tensor:
    """p [edges, widest edge's candidates] with which every architecture of the space is equally probable."""
    widest = max(len(edge.candidates) for edge in space.edges)
    p = torch.zeros(len(space.edges), widest)
    for row, edge in zip(p, space.edges, strict=True):
        row[: len(edge.candidates)] = 1 / len(edge.candidates)
    return p
