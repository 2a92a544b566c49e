"""How a search's winner stands to a hand-made family, and what another search pays to reach its accuracy.

Winners differ in latency and in accuracy at once. The family's front, which is drawn through several widths, makes one
figure of the two: points above the front at the winner's own latency, or times as fast at its own accuracy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pocketnas.searches.statistics import Estimate, difference_of, ratio_of
from search.strategies.front import Point, accuracy_at, latency_at, pareto


@dataclass(frozen=True, slots=True)
class Bounded:
    """A ratio over seeds. at_least, at_most: in how many of them what was counted is only a bound of the ratio, the
    other net's accuracy or the budget having ended before they were equal."""

    ratio: Estimate
    at_least: int = 0
    at_most: int = 0

    @property
    def text(self) -> str:
        """`1.83 [1.61, 2.05]`, and how it is bounded."""
        low, high = self.ratio.low, self.ratio.high
        interval = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
        bounds = [f"at {word} in {count} of the seeds" for word, count in
                  (("least", self.at_least), ("most", self.at_most)) if count]  # fmt: skip
        return f"{self.ratio.value:.2f}{interval}" + (f" ({', '.join(bounds)})" if bounds else "")


@dataclass(frozen=True, slots=True)
class Spent:
    """What a search had spent when it first had this accuracy. accuracy: test top-1 of its winner at that time, trained
    by the final recipe."""

    seconds: float
    images: float
    candidates: int
    accuracy: float


def points_above(winners: Sequence[Point], families: Sequence[Sequence[Point]]) -> Estimate | None:
    """Points of top-1 above the family's front at the winner's latency, one winner and one family a seed; None where a
    winner is faster or slower than the whole family."""
    fronts = [accuracy_at(family, winner.latency_ms) for winner, family in zip(winners, families, strict=True)]
    known = [accuracy for accuracy in fronts if accuracy is not None]
    if len(known) < len(fronts):
        return None
    return difference_of([winner.accuracy for winner in winners], known)


def latency_ratio(winners: Sequence[Point], families: Sequence[Sequence[Point]]) -> Bounded:
    """The family's latency over the winner's, at the winner's accuracy.

    A winner better than the whole family is at least as far ahead as of the family's best, one worse than all of it at
    most as far as of its fastest.
    """
    theirs, at_least, at_most = [], 0, 0
    for winner, family in zip(winners, families, strict=True):
        front, equal_ms = pareto(family), latency_at(family, winner.accuracy)
        if equal_ms is None:
            above = winner.accuracy > front[-1].accuracy
            equal_ms = front[-1].latency_ms if above else front[0].latency_ms
            at_least, at_most = at_least + above, at_most + (not above)
        theirs.append(equal_ms)
    return Bounded(ratio_of(theirs, [winner.latency_ms for winner in winners]), at_least, at_most)


def cost_ratio(rivals: Sequence[Sequence[Spent]], ours: Sequence[Spent], figure: str = "seconds") -> Bounded:
    """What the rival's search costs until its winner is as accurate as ours, over what ours costs.

    rivals: a seed each, every change of the rival's winner in the order of spending, and last what it spent in all.
    A rival that never gets there has spent its whole budget, and the ratio is at least that.
    """
    costs, at_least = [], 0
    for steps, own in zip(rivals, ours, strict=True):
        equal = [step for step in steps if step.accuracy >= own.accuracy]
        costs.append(float(getattr(equal[0] if equal else steps[-1], figure)))
        at_least += not equal
    return Bounded(ratio_of(costs, [float(getattr(own, figure)) for own in ours]), at_least)
