"""The best of random networks within the latency window, ranked by a one-shot supernet's weights.

Li and Talwalkar, Random Search and Reproducibility for NAS, 2019: what any cleverer choice has to beat.
"""

from dataclasses import asdict

from pocketnas_base.errors import InputError
from search.seeds import derive_seed
from search.state import State
from search.strategies.evolution import Scored, best_of
from search.strategies.ledger import Ledger
from search.strategies.one_shot import OneShot, OneShotSettings, checked_history
from search.strategies.problem import Problem, job_fingerprint
from search.strategies.window import WindowSampler

DRAWS = 100
"""Draws for one that is new; a space may have fewer networks in the window than are asked for."""


class RandomChoice:
    """First the supernet's weight steps, then one network a step, as evolution without the evolution."""

    name = "random"

    def __init__(self, problem: Problem, one_shot: OneShotSettings, evaluations: int) -> None:
        if evaluations < 1:
            raise InputError(f"random: evaluations must be at least 1, not {evaluations}")
        self.problem, self.ledger = problem, Ledger()
        self.history: list[Scored] = []
        self._weight_steps = one_shot.steps
        self._one_shot = OneShot(problem, one_shot)
        self._sampler = WindowSampler(problem.costs, problem.low_ms, problem.target_ms)
        self.total_steps = one_shot.steps + evaluations
        self.fingerprint = job_fingerprint(problem.fingerprint, self.name, [asdict(one_shot), evaluations])

    def step(self, number: int) -> dict[str, float] | None:
        """A weight step; after the last of them, a network drawn and scored."""
        if number < self._weight_steps:
            self.ledger, point = self._one_shot.train_step(number, self.ledger)
            return point
        choices = self._draw()
        self.ledger, accuracy = self._one_shot.score(choices, self.ledger)
        self.history.append((choices, accuracy))
        return {"held_out_percent": accuracy, "latency_ms": self.problem.costs.latency_ms(choices)}

    def winner(self) -> list[int]:
        """The most accurate, the earliest of equals."""
        return list(best_of(self.history)[0])

    def _draw(self) -> tuple[int, ...]:
        known = {choices for choices, _ in self.history}
        for attempt in range(DRAWS):
            purpose = f"network {len(self.history)} {attempt}"
            choices = self._sampler.draw(derive_seed(self.problem.seed, purpose))
            if choices not in known:
                break
        return choices

    def add_to(self, state: State) -> None:
        self._one_shot.add_to(state)
        state.numbers["history"] = self.history
        state.numbers["ledger"] = self.ledger.to_dict()

    def restore(self, state: State) -> None:
        self._one_shot.restore(state)
        self.history = checked_history(state.numbers["history"])
        self.ledger = Ledger.from_dict(state.numbers["ledger"], source="checkpoint")
