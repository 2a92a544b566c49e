"""Binarised paths: sampling them, and what a sampled path says about the architecture parameters.

Section 3.2 of ProxylessNAS (Cai et al., ICLR 2019, arXiv 1812.00332). Architecture parameters alpha are one matrix
[edges, candidates]; where an edge has fewer candidates than the widest, its row ends in entries that are masked out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

INITIAL_ALPHA_STD = 1e-3


class ArchitectureParameters(nn.Module):
    """alpha [edges, widest edge's candidates], and p = softmax(alpha) over each edge's own candidates."""

    mask: Tensor

    def __init__(self, candidates: Sequence[int], generator: torch.Generator | None = None) -> None:
        super().__init__()
        widest = max(candidates)
        alpha = torch.randn(len(candidates), widest, generator=generator) * INITIAL_ALPHA_STD
        mask = torch.arange(widest)[None, :] < torch.tensor(candidates)[:, None]
        self.alpha = nn.Parameter(alpha * mask)
        self.register_buffer("mask", mask, persistent=False)

    def probabilities(self) -> Tensor:
        """p [edges, candidates], differentiable; 0 at masked entries."""
        return self.alpha.masked_fill(~self.mask, -torch.inf).softmax(dim=1)

    def entropy(self) -> float:
        """Mean entropy of an edge's choice, as a share of its greatest possible: 1 undecided, 0 decided, as where there
        is nothing to choose."""
        several = self.mask.sum(1) > 1
        if not several.any():
            return 0.0
        p = self.probabilities().detach()
        nats = -(p * p.clamp_min(1e-30).log()).sum(1)
        greatest = self.mask.sum(1).to(p.dtype).log().clamp_min(1e-12)
        return float((nats / greatest)[several].mean())

    def most_probable(self) -> list[int]:
        """The derived choice of every edge: argmax alpha."""
        return [int(index) for index in self.probabilities().detach().argmax(dim=1)]


@dataclass(frozen=True, slots=True)
class PathPair:
    """Two sampled candidates per edge: the active one runs with gradients, the other only shows what it would give.

    active, inactive: [edges] indices of candidates, on the CPU; equal where an edge has a single candidate.
    """

    active: Tensor
    inactive: Tensor

    @property
    def both(self) -> Tensor:
        """[edges, 2], the active one first."""
        return torch.stack([self.active, self.inactive], dim=1)


def sample_path(probabilities: Tensor, generator: torch.Generator) -> list[int]:
    """One candidate per edge, drawn from p [edges, candidates] by a generator of the CPU, wherever p lies."""
    return [int(index) for index in torch.multinomial(probabilities.detach().cpu(), 1, generator=generator)[:, 0]]


def sample_pair(probabilities: Tensor, generator: torch.Generator) -> PathPair:
    """Two candidates per edge without replacement from p [edges, candidates]; the active one from their shares of p."""
    p = probabilities.detach().cpu()
    several = (p > 0).sum(1) > 1
    # Where one candidate stands alone, a second draw is impossible: pair it with itself, which moves nothing.
    both = torch.zeros(len(p), 2, dtype=torch.long)
    if several.any():
        both[several] = torch.multinomial(p[several], 2, replacement=False, generator=generator)
    both[~several] = p[~several].argmax(1, keepdim=True)
    shares = p.gather(1, both)
    first = torch.multinomial(shares / shares.sum(1, keepdim=True), 1, generator=generator)
    return PathPair(both.gather(1, first)[:, 0], both.gather(1, 1 - first)[:, 0])


def pair_probabilities(alpha: Tensor, pair: PathPair) -> Tensor:
    """q [edges, 2]: softmax over the two sampled alphas, the active one first. Differentiable in alpha."""
    return alpha.gather(1, pair.both.to(alpha.device)).softmax(dim=1)


class _GatedPair(torch.autograd.Function):
    """Forward: the active output. Backward: the gates' gradient, handed to the two sampled alphas.

    With gates g = (1, 0) the edge's output is g_a * o_a + g_b * o_b, so dL/dg_j = <dL/do, o_j>, and
    dL/dalpha_i = sum_j dL/dg_j * q_j * (delta_ij - q_i) (equation 4) comes to +- q_a * q_b * <dL/do, o_a - o_b>:
    the difference is taken before the product, so that what the two outputs share (a residual's input) cancels exactly.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, alpha_pair: Tensor, active: Tensor, inactive: Tensor) -> Tensor:
        ctx.save_for_backward(alpha_pair, active - inactive)
        return active.view_as(active)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        (grad_output,) = grads
        alpha_pair, difference = ctx.saved_tensors  # type: ignore[attr-defined]
        q = alpha_pair.softmax(dim=0)
        slope = q[0] * q[1] * (grad_output * difference).sum(dtype=q.dtype)
        return torch.stack([slope, -slope]), grad_output, None


def gated_pair(alpha_pair: Tensor, active: Tensor, inactive: Tensor) -> Tensor:
    """The active output [N, C, H, W], through which alpha_pair [2] receives the gate gradient of both outputs."""
    output: Tensor = _GatedPair.apply(alpha_pair, active, inactive)  # type: ignore[no-untyped-call]
    return output


@torch.no_grad()
def rescale_pair(alpha: Tensor, before: Tensor, pair: PathPair) -> None:
    """Shift the two sampled alphas of every edge so that their joint probability is as before the update (in place).

    alpha, before: [edges, candidates] after and before the optimiser's step. With the sum of exp(alpha) over the pair
    restored, the softmax's denominator and every unsampled candidate's probability are what they were.
    """
    both = pair.both.to(alpha.device)
    after = alpha.gather(1, both)
    offset = after.logsumexp(1) - before.gather(1, both).logsumexp(1)
    single = both[:, 0] == both[:, 1]
    shift = torch.zeros_like(alpha).scatter_(1, both, offset[:, None].expand(-1, 2).contiguous())
    shift[single] = 0
    alpha -= shift
