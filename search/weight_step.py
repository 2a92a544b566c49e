"""One step of stochastic gradient descent on weights: the same under the supernet and under a network by itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from search.distillation import Teacher, distillation_loss
from search.ranks import ALONE, Ranks
from search.schedule import set_learning_rate


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step leaves on its device, not yet waited for. loss: before the step. logits: [B, classes], no graph. Both
    are of this rank's share of the batch."""

    loss: Tensor
    logits: Tensor


def share_correct(logits: Tensor, labels: Tensor, ranks: Ranks) -> float:
    """Accuracy of logits [N, classes], as a share of 1, over the images of all ranks."""
    return int(ranks.total((logits.argmax(1) == labels).sum())) / (len(labels) * ranks.size)


def logits_of_batch(forward: Callable[[Tensor], Tensor], images: Tensor, *, mixed_precision: bool) -> Tensor:
    """What `forward` makes of a batch, in the images' own precision; mixed_precision: see WeightStep."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=mixed_precision):
        logits = forward(images)
    return logits.to(images.dtype)


class SupernetRecipe(Protocol):
    """What a supernet's weights are trained by; see SearchSettings and OneShotSettings."""

    @property
    def learning_rate(self) -> float: ...
    @property
    def momentum(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def label_smoothing(self) -> float: ...
    @property
    def clip_norm(self) -> float | None: ...
    @property
    def mixed_precision(self) -> bool: ...


@dataclass(frozen=True, eq=False)
class WeightStep:
    """How one batch trains a module's weights.

    label_smoothing: of the cross entropy. clip_norm: gradients are scaled down to this global norm (Pascanu et al.
    2013). mixed_precision: forward and loss gradients in bfloat16 where autocast holds it safe, weights and their steps
    in float32; it has float32's range and needs no loss scaling. teacher: see distillation.py. ranks: who else takes
    the same step on another share of the batch.
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    mixed_precision: bool = False
    teacher: Teacher | None = None
    ranks: Ranks = ALONE

    @classmethod
    def of_supernet(cls, supernet: nn.Module, recipe: SupernetRecipe, ranks: Ranks = ALONE) -> Self:
        """SGD with Nesterov's momentum; every weight decays, batch norm's too, as in the paper's search."""
        optimizer = torch.optim.SGD(
            supernet.parameters(),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            nesterov=True,
            weight_decay=recipe.weight_decay,
        )
        return cls(supernet, optimizer, recipe.label_smoothing, recipe.clip_norm, recipe.mixed_precision, ranks=ranks)

    def step(self, forward: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, rate: float) -> StepResult:
        """Train what `forward` runs of the module (all of it, or one path). images: float32 [B, C, r, r], normalised;
        labels: int64 [B]; both where the module is."""
        set_learning_rate(self.optimizer, rate)
        logits = logits_of_batch(forward, images, mixed_precision=self.mixed_precision)
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        if self.teacher is not None:
            with torch.no_grad():
                taught = logits_of_batch(self.teacher.module, images, mixed_precision=self.mixed_precision)
            share = self.teacher.weight
            softened = distillation_loss(logits, taught, self.teacher.temperature)
            loss = (1 - share) * loss + share * softened
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.ranks.average_gradients(self.module.parameters())
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.clip_norm)
        self.optimizer.step()
        return StepResult(loss.detach(), logits.detach())
