"""Every candidate runs, one of them behind an open gate: equation 4 to the letter, for checking the others.

What the released code of ProxylessNAS calls `full`. The same update as one_path, found another way: the gates are
tensors, autograd gives dL/dg, and all outputs of all candidates are held until then, so that a step needs the memory
of the whole supernet's outputs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from search.paths import sample_path
from search.supernet import Supernet
from search.updates.update import Memoryless, descend


class AllPaths(Memoryless):
    """See search.updates.update.Update."""

    def backward(
        self, images: Tensor, labels: Tensor, latency_weight: float, draws: torch.Generator
    ) -> dict[str, float]:
        """Sample a path and open its gates; dL/dg by autograd, dL/dalpha from it by equation 4."""
        parts = self.parts
        p = parts.parameters.probabilities()
        path = sample_path(p, draws)
        gates = functional.one_hot(torch.tensor(path), p.shape[1]).to(p).requires_grad_()
        logits = parts.logits(lambda x: gated_logits(parts.supernet, x, path, gates), images)
        point = descend(parts, logits, labels, parts.expected.of(p), latency_weight)
        slopes = gates.grad
        assert slopes is not None
        self._add_gate_gradient(p.detach(), slopes)
        return point

    @torch.no_grad()
    def _add_gate_gradient(self, p: Tensor, slopes: Tensor) -> None:
        """Add sum_j dL/dg_j * p_j * (delta_ij - p_i) to what the latency has left in alpha.grad."""
        through_softmax = p * (slopes - (p * slopes).sum(dim=1, keepdim=True))
        alpha = self.parts.alpha
        alpha.grad = through_softmax if alpha.grad is None else alpha.grad + through_softmax


def gated_logits(supernet: Supernet, images: Tensor, path: Sequence[int], gates: Tensor) -> Tensor:
    """Images to logits with every candidate run, each behind its gate; gates [edges, candidates], one-hot along `path`.

    Through closed gates no gradient passes, so that those candidates run without a graph. What passes a gate has the
    gates' precision, so that dL/dg has it too: what all outputs of an edge share cancels only afterwards.
    """

    def block(edge: int, x: Tensor) -> Tensor:
        out = gates[edge, path[edge]] * supernet.run(edge, path[edge], x).to(gates.dtype)
        for index in range(len(supernet.candidates(edge))):
            if index != path[edge]:
                with torch.no_grad():
                    closed = supernet.run(edge, index, x)
                out = out + gates[edge, index] * closed.to(gates.dtype)
        return out

    return supernet.walk(images, block)
