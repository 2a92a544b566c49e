"""An exponential moving average of a module's weights."""

from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor, nn


def decay_at(decay: float, update: int) -> float:
    """Decay of update `update` (from 0): min(decay, (1 + n) / (10 + n)), so that the first weights, which are noise,
    are soon forgotten. As in TensorFlow's ExponentialMovingAverage (`num_updates`)."""
    return min(decay, (1 + update) / (10 + update))


class WeightAverage:
    """Averages of a module's parameters; batch norm's statistics are none of them, and are taken anew for the average
    (batch_norm.py)."""

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self.decay = decay
        self._parameters = list(parameters)
        self.averages: list[Tensor] = [parameter.detach().clone() for parameter in self._parameters]

    @classmethod
    def of(cls, module: nn.Module, decay: float) -> Self:
        """The average that starts at the module's present weights."""
        return cls(module.parameters(), decay)

    @torch.no_grad()
    def update(self, number: int) -> None:
        """average = d average + (1 - d) weight, with d = decay_at(decay, number)."""
        weights = [parameter.detach() for parameter in self._parameters]
        torch._foreach_lerp_(self.averages, weights, 1 - decay_at(self.decay, number))

    @torch.no_grad()
    def copy_to(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give the averages to a module of the same build."""
        for parameter, average in zip(parameters, self.averages, strict=True):
            parameter.copy_(average)
