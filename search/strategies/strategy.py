"""The one protocol of every strategy, and running one to its end."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pocketnas_base.progress import Progress
from search.loop import Curve, SteppedJob, run_steps
from search.state import State
from search.strategies.ledger import Ledger


class Strategy(SteppedJob, Protocol):
    """A search in numbered steps (see loop.SteppedJob) that counts what it spends.

    name: how users call it. ledger: what the steps have spent but for the time, which the runner takes; a strategy
    whose work is done elsewhere enters that work's own time.
    """

    name: str
    ledger: Ledger

    def winner(self) -> list[int]:
        """The architecture found, as choices per edge; predicted at most at the problem's limit. After all steps."""


@dataclass(frozen=True, slots=True)
class Found:
    """How a search ended. choices: the winner's candidate at every edge. curve: one point now and then."""

    choices: tuple[int, ...]
    ledger: Ledger
    curve: Curve


class _Timed:
    """A strategy whose steps are timed; the time is kept in its checkpoint."""

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self.total_steps, self.fingerprint = strategy.total_steps, strategy.fingerprint
        self.seconds = 0.0

    def step(self, number: int) -> dict[str, float] | None:
        started, elsewhere_s = time.monotonic(), self.strategy.ledger.seconds
        point = self.strategy.step(number)
        # What another machine has worked meanwhile is in the ledger already; waiting for it is no work.
        if self.strategy.ledger.seconds == elsewhere_s:
            self.seconds += time.monotonic() - started
        return None if point is None else {**point, "seconds": self.seconds + self.strategy.ledger.seconds}

    def add_to(self, state: State) -> None:
        self.strategy.add_to(state)
        state.numbers["seconds"] = self.seconds

    def restore(self, state: State) -> None:
        self.strategy.restore(state)
        self.seconds = state.numbers["seconds"]


def run_strategy(strategy: Strategy, checkpoint: Path, progress: Progress) -> Found:
    """Run a strategy from its checkpoint, or from the start, to its end. Killed and called again, it ends as if it had
    not been killed, but for the seconds."""
    timed = _Timed(strategy)
    curve = run_steps(timed, checkpoint, progress, f"steps of {strategy.name}")
    return Found(tuple(strategy.winner()), strategy.ledger.after(timed.seconds), curve)
