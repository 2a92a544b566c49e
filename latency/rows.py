"""One row of a latency table: the figures of one operator, and what no figure may be."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from latency.provenance import OWN_RUNNER, TableInfo
from pocketnas_base.errors import InputError

# An operator that takes longer than ten minutes is a reading in the wrong unit, not an operator.
MAX_PLAUSIBLE_MS = 600_000.0
MAX_REASONS = 64
_REASON = re.compile(r"[A-Za-z0-9_-]{1,64}")
# A chain of a million operators is a damaged number.
MAX_PLACE = 1_000_000
# More copies of an operator in one model are a damaged number.
MAX_COPIES = 65_536


@dataclass(frozen=True, slots=True)
class TableRow:
    """The latency of one operator: of its own model, the empty model's share included; in a table whose `rows` are
    `share`, what it adds to a network.

    latency_ms: the lowest of the processes' medians: what the operator takes when nothing else wants the device.
    high_ms: how far above it another session may find it (97.5th bootstrap percentile). median_ms: the median over the
    processes' medians, drift divided out, and ci_low_ms to ci_high_ms its 95 % interval. p10_ms, p90_ms: percentiles
    over all raw samples, None where an official tool prints none. samples, processes: how many stand behind it.
    tolerated: reasons for which some of its measurements would have been void, had the user not overlooked them.
    settled: whether latency_ms was as certain as was asked for; else the processes that were allowed had been used up.
    Older tables say nothing of `settled` and of the median's interval.
    void_samples: how many more were taken and do not count, because something befell the device meanwhile; None: none,
    or an older table, which does not say.
    copies: N, where the operator was too short for the device's clock and its times are an invocation and what each of
    N copies more adds to a model that holds N; p10_ms and p90_ms are then None. None: the operator's own model.

    In an imported table latency_ms is what its source gives (`TableSource.times`), everything else None where the
    source says nothing of it, and high_ms the 97.5th percentile of the mean where it gives a variance and a count.
    """

    latency_ms: float
    high_ms: float | None
    median_ms: float | None
    p10_ms: float | None
    p90_ms: float | None
    samples: int | None
    processes: int | None
    tolerated: tuple[str, ...] = ()
    ci_low_ms: float | None = None
    ci_high_ms: float | None = None
    settled: bool | None = None
    copies: int | None = None
    void_samples: int | None = None

    def figures(self) -> dict[str, float | None]:
        """Its numbers by name, without what else is known of it."""
        return {name: getattr(self, name) for name in ROW_COLUMNS}

    @property
    def noise_ms(self) -> float | None:
        """How uncertain it is; None where the table does not say."""
        return None if self.high_ms is None else self.high_ms - self.latency_ms


TIMES = ("latency_ms", "high_ms", "median_ms", "p10_ms", "p90_ms")
COUNTS = ("samples", "processes")
ROW_COLUMNS = (*TIMES, *COUNTS)
# Columns of a row that a table may do without.
LATER_TIMES = ("ci_low_ms", "ci_high_ms")
LATER_COLUMNS = (*LATER_TIMES, "settled", "copies", "void_samples")
ROW_FIELDS = tuple(field.name for field in fields(TableRow))
_MAY_LACK = ("p10_ms", "p90_ms")


def checked_row(values: Mapping[str, object], info: TableInfo) -> TableRow:
    """A row of a file, by the names of `ROW_FIELDS`. Raises InputError, in one line, for a value that cannot be."""
    copies = values.get("copies")
    if copies is not None and (type(copies) is not int or not 2 <= copies <= MAX_COPIES):
        raise InputError(f"copies is {copies!r}; it must be a whole number from 2 to {MAX_COPIES}")
    for name in TIMES:
        if not (copies is not None and name in _MAY_LACK and values[name] is None):
            _check_time(name, values[name], info)
    for name in LATER_TIMES:
        if values.get(name) is not None:
            _check_time(name, values[name], info)
    if not isinstance(values.get("settled"), bool | None):
        raise InputError(f"settled is {values['settled']!r}; it must be true or false")
    for name in COUNTS:
        value = values[name]
        if value is None and info.source is not None:
            continue
        if type(value) is not int or value < 1:
            raise InputError(f"{name} is {value!r}; a count is at least 1")
    void = values.get("void_samples")
    if void is not None and (type(void) is not int or void < 1):
        raise InputError(f"void_samples is {void!r}; a count is at least 1")
    plain: dict[str, Any] = dict(values)
    plain["tolerated"] = _reasons(values.get("tolerated"))
    return TableRow(**plain)


def _check_time(name: str, value: object, info: TableInfo) -> None:
    may_lack = info.source is not None or (name in _MAY_LACK and info.runner != OWN_RUNNER)
    if value is None and name != "latency_ms" and may_lack:
        return
    if info.rows == "share":
        # What an operator adds may be nothing, and a weight less than nothing.
        if not isinstance(value, float) or not math.isfinite(value) or abs(value) > MAX_PLAUSIBLE_MS:
            raise InputError(f"{name} is {value!r}; it must be a number of milliseconds")
    elif not isinstance(value, float) or not math.isfinite(value) or not 0 < value <= MAX_PLAUSIBLE_MS:
        raise InputError(f"{name} is {value!r}; a time is a number of milliseconds above 0")


def _reasons(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    listed = value if isinstance(value, list | tuple) else [value]
    if len(listed) > MAX_REASONS or not all(isinstance(each, str) and _REASON.fullmatch(each) for each in listed):
        raise InputError("tolerated must be a list of reasons, by their ids")
    return tuple(listed)


def checked_place(value: object) -> int | None:
    """The place of a row that holds at one place of a chain only; None for one that holds at any."""
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= MAX_PLACE:
        raise InputError(f"place is {value!r}; it must be a whole number from 0 to {MAX_PLACE}")
    return value
