"""What every way of updating the architecture parameters offers to the search's schedule."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from latency.predict import CostModel
from search.latency_loss import ExpectedLatency, LatencyLoss
from search.paths import ArchitectureParameters
from search.ranks import ALONE, Ranks
from search.state import State
from search.supernet import Supernet
from search.weight_step import logits_of_batch, share_correct


@dataclass(frozen=True, eq=False)
class SearchParts:
    """What an update works on. loss: how latency weighs against cross entropy; of the gradient updates alone. ranks:
    who else finds a gradient on another share of the same batch. mixed_precision: the supernet runs as in a weight
    step that has it; what becomes of alpha is computed in alpha's own precision."""

    supernet: Supernet
    parameters: ArchitectureParameters
    costs: CostModel
    expected: ExpectedLatency
    loss: LatencyLoss
    ranks: Ranks = ALONE
    mixed_precision: bool = False

    @property
    def alpha(self) -> Tensor:
        """[edges, candidates]"""
        return self.parameters.alpha

    def logits(self, forward: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """What `forward` makes of a batch with the supernet: [N, classes], in the images' own precision."""
        return logits_of_batch(forward, images, mixed_precision=self.mixed_precision)


class Update(Protocol):
    """A way of finding a gradient for alpha on one held-out batch, and of what remains to do after the step along it.

    The schedule clears alpha's gradient, calls `backward`, averages that gradient over all ranks, lets its optimiser
    step, and calls `settle`. Weights have no gradient meanwhile (Supernet.weights_frozen); batch norm runs as in
    training, so its statistics go on.
    """

    def backward(
        self, images: Tensor, labels: Tensor, latency_weight: float, draws: torch.Generator
    ) -> dict[str, float]:
        """Leave the gradient in alpha.grad; what is returned becomes part of the curve.

        images [N, C, r, r], labels [N] of held-out data; latency_weight: of the loss; draws: what is sampled comes from
        this generator of the CPU alone. Returned are at least arch_loss (cross entropy without smoothing) and
        arch_accuracy (a share of 1), of the nets that were sampled and the images of all ranks.
        """

    def settle(self, before: Tensor) -> None:
        """Called after the optimiser's step. before: alpha [edges, candidates] as it was."""

    def add_to(self, state: State) -> None:
        """Put into `state` what this update remembers from one step to the next."""

    def restore(self, state: State) -> None:
        """Take it back out."""


class Memoryless:
    """An update that remembers nothing and has nothing to settle."""

    def __init__(self, parts: SearchParts) -> None:
        self.parts = parts

    def settle(self, before: Tensor) -> None:
        """Nothing: the optimiser's step stands."""

    def add_to(self, state: State) -> None:
        """Nothing to keep."""

    def restore(self, state: State) -> None:
        """Nothing to take back."""


def descend(
    parts: SearchParts, logits: Tensor, labels: Tensor, expected_ms: Tensor, latency_weight: float
) -> dict[str, float]:
    """Backpropagate cross entropy and expected latency [a scalar, ms] together; the held-out figures of this net."""
    cross_entropy = functional.cross_entropy(logits, labels)
    loss = parts.loss.combine(cross_entropy, expected_ms, latency_weight)
    loss.backward()  # type: ignore[no-untyped-call]
    return {
        "arch_loss": float(parts.ranks.mean(cross_entropy.detach())),
        "arch_accuracy": share_correct(logits, labels, parts.ranks),
    }
