"""Layers whose outcome depends on the whole batch, for a batch that is spread over ranks.

A network made of them takes the very steps that it would take on one rank with the whole batch, but for rounding: batch
norm takes its statistics over all ranks, and dropout drops of every image what it would drop there.
"""

from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

from search.ranks import Ranks

M = TypeVar("M", bound=nn.Module)


class SpreadBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the images of all ranks while it trains; each has equally many. In evaluation mode it needs no
    other rank."""

    def __init__(self, like: nn.BatchNorm2d, ranks: Ranks) -> None:
        super().__init__(like.num_features, like.eps, like.momentum)
        self.ranks = ranks
        self._parameters, self._buffers = like._parameters, like._buffers
        self.train(like.training)

    def forward(self, input: Tensor) -> Tensor:
        """[N, C, H, W], this rank's share, to the same."""
        if not self.training:
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        own_variance, own_mean = torch.var_mean(_precise(input.detach()), dim=(0, 2, 3), correction=0)
        means, variances = self.ranks.gathered(torch.stack([own_mean, own_variance])).unbind(1)
        mean = means.mean(0)
        # Chan et al. 1983: nothing is lost to cancellation, as it is by the mean of squares.
        variance = (variances + (means - mean).square()).mean(0)
        count = self.ranks.size * input.numel() // input.shape[1]
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            unbiased = variance * (count / max(1, count - 1))
            self.running_var.lerp_(unbiased.to(self.running_var), self.momentum)
        out: Tensor = _Normalised.apply(input, self.weight, self.bias, mean, variance, self.eps, self.ranks)  # type: ignore[no-untyped-call]
        return out


class _Normalised(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps) * weight + bias, where mean and variance are of all ranks' x.

    Backward, of a loss that is summed over ranks (Ioffe and Szegedy 2015, section 3): with y = (x - mean) * s and
    n values a channel in all, dx = weight * s * (dy - sum(dy) / n - y * sum(dy * y) / n), both sums over all ranks;
    those that weight and bias get are of this rank's images alone, and are averaged with every other gradient.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        eps: float,
        ranks: Ranks,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt())
        ctx.ranks = ranks  # type: ignore[attr-defined]
        return functional.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors  # type: ignore[attr-defined]
        ranks: Ranks = ctx.ranks  # type: ignore[attr-defined]
        slope = _precise(grads[0])
        centred = _precise(x) - _by_channel(mean)
        own = torch.stack([slope.sum((0, 2, 3)), (slope * centred).sum((0, 2, 3)) * scale])
        count = ranks.size * x.numel() // x.shape[1]
        of_slope, of_product = ranks.total(own) / count
        slope = slope - _by_channel(of_slope) - centred * _by_channel(scale * of_product)
        # dx, then weight and bias; nothing flows into the others.
        dx = (slope * _by_channel(weight * scale)).to(x.dtype)
        return dx, own[1].to(weight), own[0].to(weight), None, None, None, None


class SpreadDropout(nn.Dropout):
    """Dropout that draws for the whole batch, from the generator that is in the same state on every rank, and keeps
    what is drawn for this rank's share."""

    def __init__(self, like: nn.Dropout, ranks: Ranks) -> None:
        super().__init__(like.p)
        self.ranks = ranks
        self.train(like.training)

    def forward(self, input: Tensor) -> Tensor:
        """[N, ...], this rank's share, to the same."""
        if not self.training or not self.p:
            return input
        count = len(input) * self.ranks.size
        kept = functional.dropout(input.new_ones(count, *input.shape[1:]), self.p)
        return input * kept[self.ranks.share(count)]


def spread(module: M, ranks: Ranks) -> M:
    """The module with such layers in the places of its own, whose parameters and buffers they share; itself for one
    rank. Names in its state stay."""
    if ranks.size == 1:
        return module
    return _replaced(
        module,
        lambda layer: (
            SpreadBatchNorm2d(layer, ranks)
            if type(layer) is nn.BatchNorm2d
            else SpreadDropout(layer, ranks)
            if type(layer) is nn.Dropout
            else None
        ),
    )


def alone(module: M) -> M:
    """A spread module with plain layers again, for one rank to use by itself."""

    def plain(layer: nn.Module) -> nn.Module | None:
        if isinstance(layer, SpreadBatchNorm2d):
            norm = nn.BatchNorm2d(layer.num_features, layer.eps, layer.momentum)
            norm._parameters, norm._buffers = layer._parameters, layer._buffers
            return norm.train(layer.training)
        return nn.Dropout(layer.p).train(layer.training) if isinstance(layer, SpreadDropout) else None

    return _replaced(module, plain)


def _replaced(module: M, other: Any) -> M:
    found: nn.Module | None = other(module)
    if found is not None:
        return cast(M, found)
    for name, child in module.named_children():
        setattr(module, name, _replaced(child, other))
    return module


def _precise(value: Tensor) -> Tensor:
    """In float32 where it has less."""
    return value if value.dtype in (torch.float32, torch.float64) else value.float()


def _by_channel(value: Tensor) -> Tensor:
    return value.view(1, -1, 1, 1)
