"""How good an architecture is with the supernet's weights: batch norm recalibrated, then held-out accuracy."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from search.batch_norm import recalibrate
from search.seeds import seeded
from search.strategies.problem import Problem
from search.supernet import Supernet
from search.training import logits_of, top1
from search.wiring import walk


class Inherited(nn.Module):
    """A network of its own with copies of the supernet's weights along one path: images [N, C, r, r] to logits."""

    def __init__(self, supernet: Supernet, choices: Sequence[int]) -> None:
        super().__init__()
        self.ops = nn.ModuleList(copy.deepcopy(op) for op in supernet.along(choices))
        self._connections = supernet.connections

    def forward(self, x: Tensor) -> Tensor:
        return walk(x, self._connections, lambda number, *values: self.ops[number](*values))


class Scorer:
    """Scores paths of a supernet on the problem's held-out images; every path on the same ones.

    recalibration_images, scoring_images: about how many images each takes, at most as many as there are. A supernet's
    own running statistics are means over all paths and fit none (Yu and Huang, Universally Slimmable Networks, 2019).
    """

    def __init__(self, problem: Problem, *, recalibration_images: int, scoring_images: int) -> None:
        self._batches, self._recalibration_images = problem.weight_batches, recalibration_images
        images, labels = problem.held_out
        chosen = torch.randperm(len(images), generator=seeded(problem.seed, "scoring"))[:scoring_images]
        self._images, self._labels = images[chosen], labels[chosen]

    @property
    def images_each(self) -> int:
        """Images that one score costs; the recalibration's come in whole batches."""
        return self._batches.unaugmented_count(self._recalibration_images) + len(self._images)

    def network(self, supernet: Supernet, choices: Sequence[int]) -> Inherited:
        """The path as a network of its own, recalibrated, in evaluation mode. The supernet is left as it was."""
        network = Inherited(supernet, choices)
        recalibrate(network, self._batches.unaugmented(self._recalibration_images))
        return network.eval()

    def score(self, supernet: Supernet, choices: Sequence[int]) -> float:
        """Top-1 on held-out images in percent."""
        network = self.network(supernet, choices)
        return top1(logits_of(network, self._images, self._batches.normalisation), self._labels)
