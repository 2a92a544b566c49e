"""How good an architecture is with the supernet's weights: batch norm recalibrated, then held-out accuracy."""

import copy
from collections.abc import Sequence

import torch
from torch import nn

from search.batch_norm import recalibrate
from search.seeds import seeded
from search.strategies.problem import Problem
from search.supernet import Supernet
from search.training import logits_of, top1


def inherited(supernet: Supernet, choices: Sequence[int]) -> nn.Sequential:
    """A network of its own with copies of the supernet's weights along one path; images to logits."""
    along = [supernet.candidate(edge, index) for edge, index in enumerate(choices)]
    return nn.Sequential(*(copy.deepcopy(op) for op in (*supernet.before, *along, *supernet.after)))


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
        size = self._batches.batch_size
        batches = max(1, min(self._recalibration_images, len(self._batches.indices)) // size)
        return batches * size + len(self._images)

    def network(self, supernet: Supernet, choices: Sequence[int]) -> nn.Sequential:
        """The path as a network of its own, recalibrated, in evaluation mode. The supernet is left as it was."""
        network = inherited(supernet, choices)
        recalibrate(network, self._batches.unaugmented(self._recalibration_images))
        return network.eval()

    def score(self, supernet: Supernet, choices: Sequence[int]) -> float:
        """Top-1 on held-out images in percent."""
        network = self.network(supernet, choices)
        return top1(logits_of(network, self._images, self._batches.normalisation), self._labels)
