"""One sampled path runs; what every other candidate would have given is recomputed on the way back.

What the released code of ProxylessNAS calls `full_v2`: equation 4 over all candidates of an edge. Each of the others
runs once per step on the edge's saved input, without a graph and one after another, so that a step needs the memory of
one path and one candidate more, and the time of all forward passes.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from search.paths import sample_path
from search.supernet import Supernet
from search.updates.update import Memoryless, descend


class OnePath(Memoryless):
    """See search.updates.update.Update."""

    def backward(
        self, images: Tensor, labels: Tensor, latency_weight: float, draws: torch.Generator
    ) -> dict[str, float]:
        """Sample a path; gate and latency gradients reach the alphas of all candidates."""
        parts = self.parts
        p = parts.parameters.probabilities()
        path = sample_path(p, draws)
        logits = parts.logits(lambda x: recomputed_logits(parts.supernet, x, path, parts.alpha), images)
        return descend(parts, logits, labels, parts.expected.of(p), latency_weight)


def recomputed_logits(supernet: Supernet, images: Tensor, path: Sequence[int], alpha: Tensor) -> Tensor:
    """Images along `path` to logits, with the gate gradient of every candidate flowing into alpha."""

    def block(edge: int, x: Tensor) -> Tensor:
        active, count = path[edge], len(supernet.candidates(edge))
        out = supernet.run(edge, active, x)
        outputs: list[Callable[[Tensor], Tensor] | None] = [*supernet.candidates(edge)]
        outputs[active] = None
        gated: Tensor = _RecomputedGates.apply(alpha[edge, :count], out, x.detach(), outputs)  # type: ignore[no-untyped-call]
        return gated

    return supernet.walk(images, block)


class _RecomputedGates(torch.autograd.Function):
    """Forward: the active output. Backward: the gates' gradient over all candidates of the edge.

    With one-hot gates g the edge's output is sum_k g_k * o_k, so dL/dg_k = <dL/do, o_k>, and dL/dalpha_i =
    sum_j dL/dg_j * p_j * (delta_ij - p_i) (equation 4). That is unchanged when the same number is taken off every
    dL/dg_j: so o_k - o_active stands for o_k, and what all outputs share (a residual's input) cancels exactly.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, alpha: Tensor, active: Tensor, x: Tensor, others: list[Callable[[Tensor], Tensor] | None]
    ) -> Tensor:
        ctx.save_for_backward(alpha, active, x)
        ctx.others = others  # type: ignore[attr-defined]
        ctx.mixed_precision = torch.is_autocast_enabled(x.device.type)  # type: ignore[attr-defined]
        return active.view_as(active)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (grad_output,) = grads
        alpha, active, x = ctx.saved_tensors  # type: ignore[attr-defined]
        others: list[Callable[[Tensor], Tensor] | None] = ctx.others  # type: ignore[attr-defined]
        mixed_precision: bool = ctx.mixed_precision  # type: ignore[attr-defined]
        slopes = torch.zeros_like(alpha)
        # The way back lies outside of the forward pass's autocast.
        with torch.autocast(x.device.type, torch.bfloat16, enabled=mixed_precision):
            for index, run in enumerate(others):
                if run is not None:
                    slopes[index] = (grad_output * (run(x) - active)).sum(dtype=alpha.dtype)
        p = alpha.softmax(dim=0)
        return p * (slopes - (p * slopes).sum()), grad_output, None, None
