"""A REINFORCE controller: one categorical distribution an edge, moved by rewards (Williams, 1992)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from search.state import State
from search.updates.reinforce import RewardBaseline

BASELINE_DECAY = 0.9
"""How much of the moving baseline stays at each update: with some ten updates in a search, a slower one lags."""


class Controller:
    """Logits [edges, candidates] under Adam, and an exponential moving baseline of the reward.

    As in TuNAS and ProxylessNAS-R, the edges' choices are independent; the recurrent controller of earlier work needs
    thousands of candidates before it says more.
    """

    def __init__(self, probabilities: Sequence[Sequence[float]], learning_rate: float) -> None:
        """probabilities: where to start, one row an edge."""
        widest = max(len(row) for row in probabilities)
        logits = torch.full((len(probabilities), widest), -torch.inf, dtype=torch.float64)
        for edge, row in enumerate(probabilities):
            logits[edge, : len(row)] = torch.tensor(row, dtype=torch.float64).log()
        self._mask = torch.isfinite(logits)
        self._counts = [len(row) for row in probabilities]
        self.logits = nn.Parameter(torch.where(self._mask, logits, 0.0))
        self._optimizer = torch.optim.Adam([self.logits], lr=learning_rate)
        self.baseline = RewardBaseline(BASELINE_DECAY)

    def _log_probabilities(self) -> Tensor:
        return self.logits.masked_fill(~self._mask, -torch.inf).log_softmax(dim=1)

    def probabilities(self) -> list[list[float]]:
        """One row an edge, without the padding."""
        rows = self._log_probabilities().detach().exp().tolist()
        return [row[:count] for row, count in zip(rows, self._counts, strict=True)]

    def draw(self, seed: int) -> tuple[int, ...]:
        """One architecture as choices per edge: a function of the distribution and the seed."""
        rng = np.random.default_rng(seed)
        return tuple(int(rng.choice(len(row), p=np.array(row) / sum(row))) for row in self.probabilities())

    def update(self, drawn: Sequence[Sequence[int]], rewards: Sequence[float]) -> None:
        """One step up the gradient mean_k (reward_k - baseline) * d log p(drawn_k); see RewardBaseline."""
        log_p = self._log_probabilities()
        places = torch.tensor([list(choices) for choices in drawn])
        of_drawn = log_p.gather(1, places.T).sum(0)
        advantages = torch.tensor(self.baseline.advantages(rewards), dtype=torch.float64)
        self._optimizer.zero_grad(set_to_none=True)
        (-(advantages * of_drawn).mean()).backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()

    def add_to(self, state: State) -> None:
        state.tensors["controller.logits"] = self.logits.detach()
        state.add_optimizer("controller_optimizer", self._optimizer)
        state.numbers["controller_baseline"] = self.baseline.value

    def restore(self, state: State) -> None:
        with torch.no_grad():
            self.logits.copy_(state.tensors["controller.logits"])
        state.restore_optimizer("controller_optimizer", self._optimizer)
        self.baseline.value = state.numbers["controller_baseline"]
