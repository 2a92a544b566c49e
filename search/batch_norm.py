"""Batch norm's statistics taken anew: exact over given images, as weights that were averaged or inherited need them.

Wu and Johnson, "Rethinking Batch in BatchNorm", 2021, section 3 (PreciseBN): the statistics of the whole population in
place of a moving average over the last batches.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


class _Moments:
    """Sums over all that a batch norm was given, in float64: [channels] each."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        self.norm, self.count = norm, 0
        self.total = torch.zeros(norm.num_features, dtype=torch.float64, device=norm.weight.device)
        self.squares = torch.zeros_like(self.total)

    def take(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        given = inputs[0].detach()
        self.count += given.numel() // given.shape[1]
        # Around the batch's own mean, so that float32 suffices for the squares; moved to 0 in float64.
        variance, mean = torch.var_mean(given.float(), dim=(0, 2, 3), correction=0)
        size = given.numel() // given.shape[1]
        self.total += size * mean.double()
        self.squares += size * (variance.double() + mean.double().square())

    def give(self) -> None:
        """Mean, and the variance torch would keep: by n - 1."""
        assert self.norm.running_mean is not None
        assert self.norm.running_var is not None
        mean = self.total / self.count
        variance = (self.squares / self.count - mean.square()).clamp_min(0)
        self.norm.running_mean.copy_(mean)
        self.norm.running_var.copy_(variance * (self.count / max(1, self.count - 1)))


@torch.no_grad()
def recalibrate(
    module: nn.Module, batches: Iterable[Tensor], forward: Callable[[Tensor], Tensor] | None = None
) -> None:
    """Set the running mean and variance of every batch norm that `forward` (the module itself) runs to those of its
    inputs over all batches; what is not run stays.

    batches: normalised images [B, C, r, r] where the module is, of two images at least. As in training, each batch is
    normalised by its own statistics on its way; dropout is off. The module is left in the mode it came in.
    """
    was_training = module.training
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    found = [_Moments(norm) for norm in norms]
    handles: list[RemovableHandle] = []
    module.eval()
    try:
        for norm, moments in zip(norms, found, strict=True):
            norm.train()
            handles.append(norm.register_forward_pre_hook(moments.take))
        for images in batches:
            (forward or module)(images)
    finally:
        for handle in handles:
            handle.remove()
        module.train(was_training)
    for moments in found:
        if moments.count:
            moments.give()
