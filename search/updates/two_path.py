"""The paper's update: two sampled candidates per edge, one of which runs with gradients.

ProxylessNAS (Cai et al., ICLR 2019), section 3.2.1: the learning of n candidates becomes a choice between two, so that
a step needs the memory of one path. Afterwards both alphas are shifted so that every other candidate's probability is
what it was.
"""

import torch
from torch import Tensor

from search.paths import PathPair, gated_pair, rescale_pair, sample_pair
from search.supernet import Supernet
from search.updates.update import Memoryless, descend


class TwoPath(Memoryless):
    """See search.updates.update.Update."""

    def backward(
        self, images: Tensor, labels: Tensor, latency_weight: float, draws: torch.Generator
    ) -> dict[str, float]:
        """Sample a pair per edge; the gates' gradient and the latency's reach the two alphas of each."""
        parts = self.parts
        p = parts.parameters.probabilities()
        self.pair = sample_pair(p, draws)
        logits = parts.logits(lambda x: pair_logits(parts.supernet, x, self.pair, parts.alpha), images)
        return descend(parts, logits, labels, parts.expected.of_pair(parts.alpha, p, self.pair), latency_weight)

    def settle(self, before: Tensor) -> None:
        """Give the pair the joint probability that it had."""
        rescale_pair(self.parts.alpha, before, self.pair)


def pair_logits(supernet: Supernet, images: Tensor, pair: PathPair, alpha: Tensor) -> Tensor:
    """Images along pair.active to logits, with the gate gradient of both candidates flowing into alpha.

    The inactive candidate sees the same input and leaves only its output behind, no graph.
    """

    def block(edge: int, x: Tensor) -> Tensor:
        active, inactive = int(pair.active[edge]), int(pair.inactive[edge])
        out = supernet.run(edge, active, x)
        if active == inactive:
            return out
        with torch.no_grad():
            other = supernet.run(edge, inactive, x)
        return gated_pair(alpha[edge, [active, inactive]], out, other)

    return supernet.walk(images, block)
