"""What different tools measured of the same models, beside each other."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from latency.diff import rank_correlation

Statistic = Literal["median", "mean", "minimum", "estimate"]
"""Which number of many runs a figure is. `estimate`: what a tool calls the inference time, without saying how it comes
from its runs."""

# What two tools both state is compared, the first of these that they share.
_PREFERRED: tuple[Statistic, ...] = ("median", "mean", "minimum", "estimate")
# An interval of medians or of runs says nothing of how far a minimum can be trusted.
_INTERVALS_ARE_OF: tuple[Statistic, ...] = ("median", "mean")
MIN_FOR_RANKS = 3


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a latency lies, in ms. kind: of what, such as `95 % of the median` or `5 to 95 % of runs`: intervals of
    different kinds are not equally wide for the same data."""

    low_ms: float
    high_ms: float
    kind: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What one tool says of one model.

    model: its file, as the tool names it. sha256: None where the tool does not say. figures_ms: at least one.
    circumstances: what the latency depends on beside the model, as far as the tool says, by name (`device`, `threads`,
    ...). processes: how many of them the figures are over.
    """

    model: str
    sha256: str | None
    figures_ms: Mapping[Statistic, float]
    interval: Interval | None
    circumstances: Mapping[str, str]
    processes: int = 1


@dataclass(frozen=True, slots=True)
class ToolFile:
    """One file of results. failed: models that the tool tried and did not measure, with the reason."""

    name: str
    tool: str
    results: tuple[ToolResult, ...]
    failed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Differing:
    """One circumstance that is not known to be the same. None: that side does not say."""

    what: str
    first: str | None
    other: str | None


@dataclass(frozen=True, slots=True)
class Compared:
    """One model in two files.

    first_ms, other_ms: the statistic that both state (then the two are equal), else each one's own.
    overlap: whether the intervals do; None where one side has none, or for statistics that they are not of.
    differing: circumstances known to differ, then those that one side does not tell.
    """

    first: ToolResult
    other: ToolResult
    first_statistic: Statistic
    other_statistic: Statistic
    first_ms: float
    other_ms: float
    overlap: bool | None
    differing: tuple[Differing, ...]

    @property
    def ratio(self) -> float:
        """The other's time over the first's."""
        return self.other_ms / self.first_ms

    @property
    def difference_percent(self) -> float:
        """How much longer the other says it takes, in percent of the first."""
        return 100 * (self.ratio - 1)


@dataclass(frozen=True, slots=True)
class Overall:
    """All pairs of two files. rank_correlation: Spearman's, None below three pairs or where it is not defined."""

    pairs: int
    median_ratio: float
    rank_correlation: float | None


def compare(first: ToolResult, other: ToolResult) -> Compared:
    """Two results of one model."""
    shared = [name for name in _PREFERRED if name in first.figures_ms and name in other.figures_ms]
    mine, theirs = (shared[0], shared[0]) if shared else (_best(first), _best(other))
    return Compared(
        first=first,
        other=other,
        first_statistic=mine,
        other_statistic=theirs,
        first_ms=first.figures_ms[mine],
        other_ms=other.figures_ms[theirs],
        overlap=_overlap(first.interval, other.interval) if {mine, theirs} <= set(_INTERVALS_ARE_OF) else None,
        differing=differing(first.circumstances, other.circumstances),
    )


def differing(first: Mapping[str, str], other: Mapping[str, str]) -> tuple[Differing, ...]:
    """The circumstances that are not known to be the same; upper and lower case are."""
    names = [*first, *(name for name in other if name not in first)]
    found = [Differing(name, first.get(name), other.get(name)) for name in names]
    unlike = [one for one in found if (one.first or "").casefold() != (one.other or "").casefold()]
    return tuple(sorted(unlike, key=lambda one: None in (one.first, one.other)))


def overall(pairs: Sequence[Compared]) -> Overall | None:
    """All pairs together; None where there is none."""
    if not pairs:
        return None
    times = [pair.first_ms for pair in pairs], [pair.other_ms for pair in pairs]
    ranks = rank_correlation(*times) if len(pairs) >= MIN_FOR_RANKS else None
    return Overall(len(pairs), statistics.median(pair.ratio for pair in pairs), ranks)


def combined(results: Sequence[ToolResult]) -> ToolResult:
    """Several processes of one model under the same circumstances, as one: the median over processes of each figure
    that all of them state, with the range over processes as its interval."""
    if len(results) == 1:
        return results[0]
    stated = [name for name in _PREFERRED if all(name in result.figures_ms for result in results)]
    values = {name: [result.figures_ms[name] for result in results] for name in stated}
    middle = values[stated[0]]
    return ToolResult(
        model=results[0].model,
        sha256=results[0].sha256,
        figures_ms={name: statistics.median(values[name]) for name in stated},
        interval=Interval(min(middle), max(middle), f"{len(results)} processes"),
        circumstances=results[0].circumstances,
        processes=len(results),
    )


def _best(result: ToolResult) -> Statistic:
    return next(name for name in _PREFERRED if name in result.figures_ms)


def _overlap(first: Interval | None, other: Interval | None) -> bool | None:
    if first is None or other is None:
        return None
    return first.low_ms <= other.high_ms and other.low_ms <= first.high_ms
