"""The statistics that TFLite's benchmark_model prints of a series of runs (stats_calculator.h: Stat).

The line is `count=N first=... curr=... min=... max=... avg=... std=...`, in newer builds with
`p5=... median=... p95=...` behind it; `count=N curr=X` alone when all runs took equally long; and `count=0` when
there was none.
"""

import re
from dataclasses import dataclass

from android_bench.parsers.text import excerpt, integer, number, unreadable

_SOURCE = "benchmark_model"
_SHORT = ["curr"]
_LONG = ["first", "curr", "min", "max", "avg", "std"]
_PERCENTILES = ["p5", "median", "p95"]
_PAIR = re.compile(r"([a-z0-9]{1,10})=(\S{1,40})")
# The average is printed with 6 significant digits.
_ROUNDING = 1e-5


@dataclass(frozen=True, slots=True)
class RunStatistics:
    """A series of runs, in whole microseconds. avg_us: to 6 digits; std_us: of the population, cut to a whole number;
    p5_us, median_us, p95_us: None in builds that do not print them."""

    count: int
    first_us: int
    last_us: int
    min_us: int
    max_us: int
    avg_us: float
    std_us: int
    p5_us: int | None
    median_us: int | None
    p95_us: int | None


def parse_run_statistics(line: str) -> RunStatistics | None:
    """The statistics in a line that begins with `count=`; None for a series of no run.

    Raises UnreadableOutputError when the line is cut, garbled, or contradicts itself.
    """
    text = line.strip().replace("(all same)", "")
    pairs = [_PAIR.fullmatch(word) for word in text.split()[:20]]
    fields = {pair[1]: pair[2] for pair in pairs if pair is not None}
    count = integer(fields.pop("count", None))
    if count is None or None in pairs or len(pairs) != len(fields) + 1:
        raise unreadable(_SOURCE, f"no statistics: {excerpt(line)}")
    if count == 0 and not fields:
        return None
    names = list(fields)
    percentiles = names[-3:] == _PERCENTILES
    if count == 0 or names[: len(names) - 3 * percentiles] not in (_SHORT, _LONG):
        raise unreadable(_SOURCE, f"no statistics: {excerpt(line)}")
    average_us = number(fields.pop("avg", fields["curr"]), 0)
    whole = {key: value for key, text in fields.items() if (value := integer(text)) is not None}
    if len(whole) != len(fields) or average_us is None:
        raise unreadable(_SOURCE, f"no statistics: {excerpt(line)}")
    # Where only `curr` is printed, every run took just as long.
    last_us = whole["curr"]
    statistics = RunStatistics(
        count=count,
        first_us=whole.get("first", last_us),
        last_us=last_us,
        min_us=whole.get("min", last_us),
        max_us=whole.get("max", last_us),
        avg_us=average_us,
        std_us=whole.get("std", 0),
        p5_us=whole.get("p5"),
        median_us=whole.get("median"),
        p95_us=whole.get("p95"),
    )
    if not _is_consistent(statistics):
        raise unreadable(_SOURCE, f"statistics that contradict themselves: {excerpt(line)}")
    return statistics


def _is_consistent(runs: RunStatistics) -> bool:
    percentiles = [value for value in (runs.p5_us, runs.median_us, runs.p95_us) if value is not None]
    inside = [runs.first_us, runs.last_us, *percentiles]
    return (
        all(runs.min_us <= value <= runs.max_us for value in inside)
        and percentiles == sorted(percentiles)
        and runs.min_us * (1 - _ROUNDING) <= runs.avg_us <= runs.max_us * (1 + _ROUNDING)
        and runs.std_us <= runs.max_us - runs.min_us
    )
