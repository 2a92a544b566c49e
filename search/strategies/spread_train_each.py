"""train-each with its candidates trained elsewhere, as many at once as the controller draws between two updates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from search.state import State
from search.strategies.problem import Problem
from search.strategies.train_each import TrainEach, TrainEachSettings


@dataclass(frozen=True, slots=True)
class Trained:
    """How a candidate came out. accuracy: held-out top-1 in percent. seconds: that its training and scoring took."""

    accuracy: float
    seconds: float


class Answer(Protocol):
    """A candidate under way."""

    def result(self) -> Trained:
        """Wait for it. Raises PocketNASError when it failed."""


class Crew(Protocol):
    """Who trains candidates."""

    def train(self, candidate: int, choices: Sequence[int]) -> Answer:
        """Begin with a candidate, and come back at once."""


class SpreadTrainEach(TrainEach):
    """The very search that TrainEach is, candidate by candidate, but for its seconds; steps are counted alike, so that
    one goes on where the other was interrupted. Only the last step of a candidate waits for it."""

    def __init__(self, problem: Problem, settings: TrainEachSettings, crew: Crew) -> None:
        super().__init__(problem, settings)
        self._crew = crew
        self._under_way: dict[int, tuple[tuple[int, ...], Answer]] = {}

    def step(self, number: int) -> dict[str, float] | None:
        """See that all candidates up to the next update are under way; after one's last step, its reward."""
        settings = self.settings
        candidate, inner = divmod(number, settings.recipe.steps)
        update = (candidate // settings.per_update + 1) * settings.per_update
        for each in range(candidate, min(update, settings.candidates)):
            if each not in self._under_way:
                choices = self.drawn(each)
                self._under_way[each] = choices, self._crew.train(each, choices)
        self.ledger = self.ledger.plus(images_trained=settings.recipe.batch_size)
        if inner + 1 < settings.recipe.steps:
            return None
        choices, answer = self._under_way.pop(candidate)
        trained = answer.result()
        self.ledger = self.ledger.plus(seconds=trained.seconds)
        return self.judge(choices, trained.accuracy)

    def restore(self, state: State) -> None:
        super().restore(state)
        # A candidate that was half trained here is trained anew there.
        self._training = None
