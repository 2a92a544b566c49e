"""Several targets and devices from one supernet: one training, one evolution a target, every score shared."""

from collections.abc import Sequence
from dataclasses import asdict

from pocketnas_base.errors import InputError
from search.state import State
from search.strategies.evolution import Births, EvolutionSettings, Scored, best_of
from search.strategies.ledger import Ledger
from search.strategies.one_shot import OneShot, checked_history
from search.strategies.problem import Problem, job_fingerprint


class Fronts:
    """For each problem in turn one network a step (see evolution.Evolution).

    The problems are one space, data and seed with other targets or other costs. A path's accuracy knows neither, so
    what was scored for one problem is not scored again for another, and counts wherever it is within the limit.
    one_shot: the supernet, which has to be trained before the first step; its weights are no part of the state.
    """

    name = "targets"

    def __init__(self, problems: Sequence[Problem], one_shot: OneShot, settings: EvolutionSettings) -> None:
        if not problems:
            raise InputError("give at least one target")
        self.problems, self.settings, self.ledger = list(problems), settings, Ledger()
        self.histories: list[list[Scored]] = [[] for _ in problems]
        self.one_shot = one_shot
        # Each once now, so that a target out of reach is refused before the first step; then one at a time, for memory.
        for number in reversed(range(len(problems))):
            self._turn = number, Births(problems[number], settings)
        self.total_steps = len(problems) * settings.evaluations
        asked = [asdict(one_shot.settings), asdict(settings), [problem.fingerprint for problem in problems]]
        self.fingerprint = job_fingerprint(problems[0].fingerprint, self.name, asked)

    def step(self, number: int) -> dict[str, float] | None:
        """A network for the problem whose turn it is."""
        which = number // self.settings.evaluations
        history = self.histories[which]
        if self._turn[0] != which:
            self._turn = which, Births(self.problems[which], self.settings)
        choices = self._turn[1].next(history)
        accuracy = self._known().get(choices)
        if accuracy is None:
            self.ledger, accuracy = self.one_shot.score(choices, self.ledger)
        history.append((choices, accuracy))
        return {"held_out_percent": accuracy, "latency_ms": self.problems[which].costs.latency_ms(choices)}

    def winner_of(self, which: int) -> list[int]:
        """The best of all scored networks that a problem's limit allows, the earliest of equals."""
        problem = self.problems[which]
        allowed = [
            each
            for history in self.histories
            for each in history
            if problem.costs.latency_ms(each[0]) <= problem.target_ms
        ]
        return list(best_of(allowed)[0])

    def winner(self) -> list[int]:
        """The first problem's."""
        return self.winner_of(0)

    def _known(self) -> dict[tuple[int, ...], float]:
        return {choices: accuracy for history in self.histories for choices, accuracy in history}

    def add_to(self, state: State) -> None:
        state.numbers["histories"] = self.histories
        state.numbers["ledger"] = self.ledger.to_dict()

    def restore(self, state: State) -> None:
        self.histories = [checked_history(history) for history in state.numbers["histories"]]
        self.ledger = Ledger.from_dict(state.numbers["ledger"], source="checkpoint")
