"""REINFORCE: sampled networks are scored as they are, and what scored above the baseline becomes more probable.

Williams 1992; in ProxylessNAS (Cai et al., ICLR 2019), section 3.3.2. No gradient passes through the weights, so that
the reward may be anything: here accuracy on held-out images and the predicted latency of the very net.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from pocketnas_base.errors import InputError
from search.paths import sample_path
from search.state import State
from search.updates.update import SearchParts
from search.weight_step import share_correct

Reward = Callable[[float, float], float]
"""(accuracy as a share of 1, latency in ms) to what is maximised."""


class RewardBaseline:
    """An exponential moving mean of the rewards before: taken off each reward, it makes the gradient less noisy.

    value <- decay * value + (1 - decay) * mean of the new rewards. It holds no reward of the update that it is used in:
    an expectation of (R - baseline) * d log p is then that of R * d log p.
    """

    def __init__(self, decay: float) -> None:
        if not 0 <= decay < 1:
            raise InputError(f"baseline_decay must be at least 0 and below 1, not {decay}")
        self.decay = decay
        self.value: float | None = None

    def advantages(self, rewards: Sequence[float]) -> list[float]:
        """R - baseline of each, after which the baseline takes these rewards in.

        The very first update has no rewards before it: each is held against the mean of the others there, and one that
        is alone teaches nothing yet.
        """
        mean = sum(rewards) / len(rewards)
        if self.value is not None:
            found = [reward - self.value for reward in rewards]
            self.value += (1 - self.decay) * (mean - self.value)
            return found
        self.value = mean
        others = len(rewards) - 1
        return [(reward - mean) * len(rewards) / others if others else 0.0 for reward in rewards]


class Reinforce:
    """See search.updates.update.Update. samples: networks per update, all scored on the same held-out batch."""

    def __init__(self, parts: SearchParts, reward: Reward, *, samples: int, baseline_decay: float) -> None:
        self.parts, self.reward, self.samples = parts, reward, samples
        self.baseline = RewardBaseline(baseline_decay)

    def backward(
        self,
        images: Tensor,
        labels: Tensor,
        latency_weight: float,  # noqa: ARG002  (of the protocol)
        draws: torch.Generator,
    ) -> dict[str, float]:
        """Sample networks, score them; the gradient of -mean over them of (R - baseline) * log p(network).

        latency_weight has no say: latency stands in the reward.
        """
        p = self.parts.parameters.probabilities()
        paths = [sample_path(p, draws) for _ in range(self.samples)]
        losses, accuracies, rewards = [], [], []
        for path in paths:
            with torch.no_grad():
                logits = self.parts.logits(partial(self.parts.supernet, path=path), images)
                losses.append(float(self.parts.ranks.mean(functional.cross_entropy(logits, labels))))
            accuracies.append(share_correct(logits, labels, self.parts.ranks))
            rewards.append(self.reward(accuracies[-1], self.parts.costs.latency_ms(path)))
        advantages = torch.tensor(self.baseline.advantages(rewards), dtype=torch.float64).to(p)
        chosen = torch.tensor(paths, device=p.device).T
        log_probabilities = p.gather(1, chosen).log().sum(dim=0)
        (-(advantages * log_probabilities).mean()).backward()  # type: ignore[no-untyped-call]
        assert self.baseline.value is not None
        return {
            "arch_loss": sum(losses) / self.samples,
            "arch_accuracy": sum(accuracies) / self.samples,
            "reward": sum(rewards) / self.samples,
            "reward_baseline": self.baseline.value,
        }

    def settle(self, before: Tensor) -> None:
        """Nothing: the optimiser's step stands."""

    def add_to(self, state: State) -> None:
        """The baseline."""
        state.numbers["reward_baseline"] = self.baseline.value

    def restore(self, state: State) -> None:
        """The baseline."""
        self.baseline.value = state.numbers["reward_baseline"]
