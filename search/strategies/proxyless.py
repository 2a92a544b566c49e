"""ProxylessNAS as one of the strategies."""

from collections.abc import Callable

from search.choices import REWARD_MODES
from search.proxyless import ProxylessSearch
from search.state import State
from search.strategies.ledger import Ledger
from search.strategies.problem import Problem


class Proxyless:
    """A ProxylessSearch that is counted like the others. derive: from the search's probabilities to choices."""

    name = "proxyless"

    def __init__(
        self, problem: Problem, search: ProxylessSearch, derive: Callable[[ProxylessSearch], list[int]]
    ) -> None:
        self.problem, self.search, self.ledger = problem, search, Ledger()
        self._derive = derive
        self.total_steps, self.fingerprint = search.total_steps, search.fingerprint

    def step(self, number: int) -> dict[str, float] | None:
        """A weight step, and in its turn an architecture step."""
        settings = self.search.settings
        point = self.search.step(number)
        self.ledger = self.ledger.plus(images_trained=settings.batch_size)
        if number >= settings.warmup_steps and (number - settings.warmup_steps + 1) % settings.arch_every == 0:
            self._count_update()
        return point

    def _count_update(self) -> None:
        """An update by gradients trains nothing but goes forward and backward; one by rewards only scores networks."""
        settings = self.search.settings
        if settings.mode in REWARD_MODES:
            scored = settings.samples * settings.batch_size
            self.ledger = self.ledger.plus(images_scored=scored, evaluated=settings.samples)
        else:
            self.ledger = self.ledger.plus(images_trained=settings.batch_size)

    def winner(self) -> list[int]:
        """What the search derives."""
        return self._derive(self.search)

    def add_to(self, state: State) -> None:
        self.search.add_to(state)
        state.numbers["ledger"] = self.ledger.to_dict()

    def restore(self, state: State) -> None:
        self.search.restore(state)
        self.ledger = Ledger.from_dict(state.numbers["ledger"], source="checkpoint")
