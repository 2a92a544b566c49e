"""What a comparison says: cost and quality of every method over the seeds, and how they stand to ProxylessNAS."""

from collections.abc import Sequence
from dataclasses import dataclass

from pocketnas.searches.contest import Entry
from pocketnas.searches.names import METHODS, REFERENCE, Method
from pocketnas.searches.statistics import Estimate, difference_of, mean_of, ratio_of


@dataclass(frozen=True, slots=True)
class Against:
    """A method beside ProxylessNAS. seconds_ratio, images_ratio: its search cost over ProxylessNAS's, trained images
    counted; None for a method without a search. accuracy_difference: in points of top-1."""

    seconds_ratio: Estimate | None
    images_ratio: Estimate | None
    accuracy_difference: Estimate
    latency_ratio: Estimate


@dataclass(frozen=True, slots=True)
class Verdict:
    """One method over the seeds. seconds, images_trained, images_scored, candidates_trained, candidates_evaluated: of
    its search, the winner's final training not counted. accuracy: test top-1 in percent at the target."""

    method: Method
    seeds: tuple[int, ...]
    seconds: Estimate
    images_trained: float
    images_scored: float
    candidates_trained: float
    candidates_evaluated: float
    latency_ms: Estimate
    accuracy: Estimate
    against: Against | None


def verdicts(entries: Sequence[Entry]) -> list[Verdict]:
    """One verdict a method, in the order of `METHODS`. Every method must have the same seeds."""
    by_method = {name: [entry for entry in entries if entry.method == name] for name in METHODS}
    reference = by_method[REFERENCE]
    return [_verdict(name, own, reference) for name, own in by_method.items() if own]


def _verdict(method: Method, own: Sequence[Entry], reference: Sequence[Entry]) -> Verdict:
    count = len(own)
    return Verdict(
        method,
        tuple(entry.seed for entry in own),
        mean_of([entry.ledger.seconds for entry in own]),
        sum(entry.ledger.images_trained for entry in own) / count,
        sum(entry.ledger.images_scored for entry in own) / count,
        sum(entry.ledger.candidates_trained for entry in own) / count,
        sum(entry.ledger.candidates_evaluated for entry in own) / count,
        mean_of([entry.latency_ms for entry in own]),
        mean_of([entry.accuracy for entry in own]),
        _against(own, reference) if reference else None,
    )


def _against(own: Sequence[Entry], reference: Sequence[Entry]) -> Against:
    assert [entry.seed for entry in own] == [entry.seed for entry in reference]
    searched = all(entry.ledger.images_trained for entry in own)
    return Against(
        _ratio(own, reference, "seconds") if searched else None,
        _ratio(own, reference, "images_trained") if searched else None,
        difference_of([entry.accuracy for entry in own], [entry.accuracy for entry in reference]),
        ratio_of([entry.latency_ms for entry in own], [entry.latency_ms for entry in reference]),
    )


def _ratio(own: Sequence[Entry], reference: Sequence[Entry], name: str) -> Estimate:
    return ratio_of(
        [getattr(entry.ledger, name) for entry in own], [getattr(entry.ledger, name) for entry in reference]
    )
