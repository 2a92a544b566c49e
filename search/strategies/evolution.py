"""Evolution over a one-shot supernet, every network within the latency limit.

Aging evolution (Real et al., AAAI 2019): a child of tournament winners takes the place of the oldest. Mutation and
crossover edge by edge, children over the limit thrown away, as Once-for-All does it (Cai et al., ICLR 2020).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from pocketnas_base.errors import InputError
from search.seeds import derive_seed
from search.state import State
from search.strategies.ledger import Ledger
from search.strategies.one_shot import OneShot, OneShotSettings, checked_history
from search.strategies.problem import Problem, job_fingerprint
from search.strategies.window import WindowSampler

Choices = tuple[int, ...]
Scored = tuple[Choices, float]

BIRTHS = 100
"""Attempts at a child that is new and within the limit, before a random network takes its place."""


@dataclass(frozen=True, slots=True)
class EvolutionSettings:
    """evaluations: networks scored in all, the first `population` of them drawn at random from the latency window.
    tournament: how many of the population a parent is the best of. mutation: chance of each edge to change. crossover:
    share of children with two parents."""

    evaluations: int
    population: int = 32
    tournament: int = 8
    mutation: float = 0.1
    crossover: float = 0.5

    def __post_init__(self) -> None:
        if not 1 <= self.population <= self.evaluations:
            raise InputError(
                f"evolution: population must be at least 1 and at most the {self.evaluations} evaluations, not "
                f"{self.population}"
            )
        if self.tournament < 1:
            raise InputError(f"evolution: tournament must be at least 1, not {self.tournament}")
        for name in ("mutation", "crossover"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"evolution: {name} must be between 0 and 1, not {getattr(self, name)}")


def mutate(choices: Sequence[int], candidates: Sequence[int], chance: float, rng: np.random.Generator) -> Choices:
    """Each edge changes to another of its candidates with this chance, and one that has others does so for certain.

    candidates: how many each edge has.
    """
    free = [edge for edge, count in enumerate(candidates) if count > 1]
    if not free:
        return tuple(choices)
    changed = {edge for edge in free if rng.random() < chance} | {free[int(rng.integers(len(free)))]}
    return tuple(
        (index + 1 + int(rng.integers(candidates[edge] - 1))) % candidates[edge] if edge in changed else index
        for edge, index in enumerate(choices)
    )


def cross(one: Sequence[int], other: Sequence[int], rng: np.random.Generator) -> Choices:
    """Each edge as in the one parent or the other, by a fair coin."""
    return tuple(a if rng.random() < 0.5 else b for a, b in zip(one, other, strict=True))


class Evolution:
    """First the supernet's weight steps, then one network a step. What changes is the supernet and the history of
    scores; the population is the last `population` of them."""

    name = "evolution"

    def __init__(self, problem: Problem, one_shot: OneShotSettings, settings: EvolutionSettings) -> None:
        self.problem, self.settings, self.ledger = problem, settings, Ledger()
        self.history: list[Scored] = []
        self._weight_steps = one_shot.steps
        self._one_shot = OneShot(problem, one_shot)
        self._births = Births(problem, settings)
        self.total_steps = one_shot.steps + settings.evaluations
        self.fingerprint = job_fingerprint(problem.fingerprint, self.name, [asdict(one_shot), asdict(settings)])

    def step(self, number: int) -> dict[str, float] | None:
        """A weight step; after the last of them, a network born and scored."""
        if number < self._weight_steps:
            self.ledger, point = self._one_shot.train_step(number, self.ledger)
            return point
        choices = self._births.next(self.history)
        self.ledger, accuracy = self._one_shot.score(choices, self.ledger)
        self.history.append((choices, accuracy))
        return {"held_out_percent": accuracy, "latency_ms": self.problem.costs.latency_ms(choices)}

    def winner(self) -> list[int]:
        """The best that ever lived, the earliest of equals."""
        return list(best_of(self.history)[0])

    def add_to(self, state: State) -> None:
        self._one_shot.add_to(state)
        state.numbers["history"] = self.history
        state.numbers["ledger"] = self.ledger.to_dict()

    def restore(self, state: State) -> None:
        self._one_shot.restore(state)
        self.history = checked_history(state.numbers["history"])
        self.ledger = Ledger.from_dict(state.numbers["ledger"], source="checkpoint")


class Births:
    """Whom to score next, given everyone scored so far: a function of the seed and the history alone."""

    def __init__(self, problem: Problem, settings: EvolutionSettings) -> None:
        self._problem, self._settings = problem, settings
        self._sampler = WindowSampler(problem.costs, problem.low_ms, problem.target_ms)
        self._candidates = [len(row) for row in problem.costs.candidate_ms]

    def next(self, history: Sequence[Scored]) -> Choices:
        """A network within the limit, new as far as the space has new ones."""
        seed = derive_seed(self._problem.seed, f"birth {len(history)}")
        rng = np.random.default_rng(seed)
        known = {choices for choices, _ in history}
        for _ in range(BIRTHS):
            if len(history) < self._settings.population:
                child = self._sampler.draw(int(rng.integers(2**62)))
            else:
                child = self._child(history[-self._settings.population :], rng)
            if child not in known and self._problem.costs.latency_ms(child) <= self._problem.target_ms:
                return child
        return self._sampler.draw(int(rng.integers(2**62)))

    def _child(self, population: Sequence[Scored], rng: np.random.Generator) -> Choices:
        if rng.random() < self._settings.crossover:
            return cross(self._parent(population, rng), self._parent(population, rng), rng)
        return mutate(self._parent(population, rng), self._candidates, self._settings.mutation, rng)

    def _parent(self, population: Sequence[Scored], rng: np.random.Generator) -> Choices:
        size = min(self._settings.tournament, len(population))
        drawn = rng.choice(len(population), size=size, replace=False)
        return best_of([population[index] for index in sorted(drawn)])[0]


def best_of(scored: Sequence[Scored]) -> Scored:
    """The most accurate, the earliest of equals."""
    return max(scored, key=lambda each: each[1])
