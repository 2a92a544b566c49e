"""Two tables beside each other: how far they agree, which operators moved, what differs in where they come from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from latency.predict import operator_ms
from latency.table import Entry, LatencyTable
from pocketnas_base.errors import InputError

# Rows that repeat lie within this of each other.
REPEATS_WITHIN = 0.03


@dataclass(frozen=True, slots=True)
class Moved:
    """One operator in both tables. ratio: the second's time over the first's."""

    key: str
    first_ms: float
    second_ms: float

    @property
    def ratio(self) -> float:
        return self.second_ms / self.first_ms


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs in the provenance of two tables."""

    field: str
    first: object
    second: object


@dataclass(frozen=True)
class TableDiff:
    """The comparison of two tables, the first being the yardstick.

    rows: every operator that both have, the one that moved most first. median_ratio, p5_ratio, p95_ratio: of
    second_ms / first_ms. within: share of the rows whose ratio is within 3 % of 1; within_of_median: of the median
    ratio, that is once one device's being faster as a whole is divided out. rank_correlation: Spearman's, None where
    it is not defined. not_compared: rows in both tables whose time is not above 0 in one of them. measured_otherwise:
    rows that one table alone took from several copies in one model.
    """

    rows: tuple[Moved, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    not_compared: tuple[str, ...]
    measured_otherwise: tuple[str, ...]
    of_shares: bool
    median_ratio: float
    p5_ratio: float
    p95_ratio: float
    within: float
    within_of_median: float
    rank_correlation: float | None
    provenance: tuple[Difference, ...]


def diff_tables(first: LatencyTable, second: LatencyTable) -> TableDiff:
    """Compare two tables: their rows as they stand, or, where one table holds shares, what each operator adds.

    Raises InputError when they have no operator in common, and for a linear model: its weights are no times.
    """
    for table in (first, second):
        if table.info.source is not None and table.info.source.times == "regression weight":
            raise InputError(
                f"the table of {table.name} holds weights of a linear model, which are no times; compare what "
                "the two predict: pocketnas predict"
            )
    of_shares = "share" in (first.info.rows, second.info.rows)
    left, right = ({entry.key: entry for entry in table.entries()} for table in (first, second))
    common = [key for key in left if key in right]
    rows, not_compared = [], []
    for key in common:
        times = [_ms(table, side[key], of_shares) for table, side in ((first, left), (second, right))]
        if min(times) > 0:
            rows.append(Moved(key, *times))
        else:
            not_compared.append(key)
    if not rows:
        raise InputError(
            f"the table of {first.name} and that of {second.name} have no operator in common that both give a time for"
        )
    rows.sort(key=lambda row: -abs(math.log(row.ratio)))
    ratios = sorted(row.ratio for row in rows)
    median = _quantile(ratios, 0.5)
    return TableDiff(
        rows=tuple(rows),
        only_first=tuple(key for key in left if key not in right),
        only_second=tuple(key for key in right if key not in left),
        not_compared=tuple(not_compared),
        measured_otherwise=tuple(
            key for key in common if (left[key].row.copies is None) != (right[key].row.copies is None)
        ),
        of_shares=of_shares,
        median_ratio=median,
        p5_ratio=_quantile(ratios, 0.05),
        p95_ratio=_quantile(ratios, 0.95),
        within=_share_within(ratios, 1.0),
        within_of_median=_share_within(ratios, median),
        rank_correlation=rank_correlation([row.first_ms for row in rows], [row.second_ms for row in rows]),
        provenance=_provenance(first, second),
    )


def _ms(table: LatencyTable, entry: Entry, of_shares: bool) -> float:
    if not of_shares or entry.op.kind == "empty":
        return entry.row.latency_ms
    return operator_ms(table, entry.op, entry.place)


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Linear between the two nearest."""
    place = share * (len(ordered) - 1)
    index = min(int(place), len(ordered) - 2) if len(ordered) > 1 else 0
    above = ordered[min(index + 1, len(ordered) - 1)]
    return ordered[index] + (place - index) * (above - ordered[index])


def _share_within(ratios: Sequence[float], of: float) -> float:
    return sum(abs(ratio / of - 1) <= REPEATS_WITHIN for ratio in ratios) / len(ratios)


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rank correlation, equal values sharing their mean rank; None where one side has one value only."""
    one, other = _ranks(first), _ranks(second)
    mean = (len(one) + 1) / 2
    product = sum((a - mean) * (b - mean) for a, b in zip(one, other, strict=True))
    squares = [sum((rank - mean) ** 2 for rank in ranks) for ranks in (one, other)]
    return None if 0 in squares else product / math.sqrt(squares[0] * squares[1])


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in range(start, end + 1):
            ranks[order[place]] = (start + end) / 2 + 1
        start = end + 1
    return ranks


def _provenance(first: LatencyTable, second: LatencyTable) -> tuple[Difference, ...]:
    one, other = (table.info.model_dump(mode="json") for table in (first, second))
    return tuple(Difference(name, one[name], other[name]) for name in one if one[name] != other[name])
