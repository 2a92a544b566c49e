"""A REINFORCE controller: one categorical distribution an edge, moved by rewards (Williams, 1992)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from latency.predict import CostModel
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


def at_target(costs: CostModel, target_ms: float) -> list[list[float]]:
    """The most even distribution whose expected latency is the target: p_i proportional to exp(-t * cost_i), one t for
    all edges. Evenly drawn networks may be far from the target, and every candidate there would be training wasted.

    Where even the cheapest or the dearest candidates alone do not reach the target, the nearest such distribution.
    """

    def tilted(slope: float) -> list[list[float]]:
        rows = []
        for row in costs.candidate_ms:
            logs = -slope * np.array(row)
            shares = np.exp(logs - logs.max())
            rows.append([float(share) for share in shares / shares.sum()])
        return rows

    def expected_ms(rows: list[list[float]]) -> float:
        return costs.fixed_ms + sum(
            p * ms for row, own in zip(rows, costs.candidate_ms, strict=True) for p, ms in zip(row, own, strict=True)
        )

    spread = max(max(row) - min(row) for row in costs.candidate_ms) or 1.0
    low, high = -MOST_TILT / spread, MOST_TILT / spread
    for _ in range(100):
        middle = (low + high) / 2
        if expected_ms(tilted(middle)) > target_ms:
            low = middle
        else:
            high = middle
    return tilted((low + high) / 2)


MOST_TILT = 20.0
"""Beyond this an edge's rarest candidate would have a chance below e-20: never drawn, and not to be learned of."""
