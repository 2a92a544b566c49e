"""`pocketnas table diff`: two tables beside each other."""

from latency.diff import REPEATS_WITHIN, TableDiff, diff_tables
from latency.library import load_table
from pocketnas.console import one_line, print_json, print_table, print_words

MOST_MOVED = 10


def diff(first: str, second: str, *, as_json: bool) -> None:
    """Print how the second table differs from the first."""
    one, other = load_table(first), load_table(second)
    found = diff_tables(one, other)
    if as_json:
        print_json(_plain(found))
        return
    print(f"first:  {one.name}")
    print(f"second: {other.name}")
    what = "what operators add" if found.of_shares else "rows"
    correlation = "not defined" if found.rank_correlation is None else f"{found.rank_correlation:.4f}"
    print(f"{len(found.rows)} {what} compared, second over first:")
    print(f"  median ratio           {found.median_ratio:.4f}")
    print(f"  5th to 95th percentile {found.p5_ratio:.4f} to {found.p95_ratio:.4f}")
    print(f"  within {100 * REPEATS_WITHIN:.0f} %             {100 * found.within:.1f} % of rows")
    print(f"  of the median ratio    {100 * found.within_of_median:.1f} % of rows, a faster device divided out")
    print(f"  rank correlation       {correlation}")
    for keys, where in (
        (found.only_first, "only in the first"),
        (found.only_second, "only in the second"),
        (found.not_compared, "in both, without a time above 0"),
        (found.measured_otherwise, "from several copies of the operator in one table only"),
    ):
        if keys:
            print(f"{len(keys)} {where}: {', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''}")
    print_table(
        ["operator", "first ms", "second ms", "ratio"],
        [
            [row.key, f"{row.first_ms:.4f}", f"{row.second_ms:.4f}", f"{row.ratio:.4f}"]
            for row in found.rows[:MOST_MOVED]
        ],
        title="moved most",
    )
    if found.provenance:
        sides = one.info.facts(), other.info.facts()
        print_words(
            ["provenance", "first", "second"],
            [[each.field, *(one_line(side[each.field]) for side in sides)] for each in found.provenance],
        )


def _plain(found: TableDiff) -> dict[str, object]:
    return {
        "rows_compared": len(found.rows),
        "of_shares": found.of_shares,
        "median_ratio": found.median_ratio,
        "p5_ratio": found.p5_ratio,
        "p95_ratio": found.p95_ratio,
        "within_3_percent": found.within,
        "within_3_percent_of_median": found.within_of_median,
        "rank_correlation": found.rank_correlation,
        "only_first": list(found.only_first),
        "only_second": list(found.only_second),
        "not_compared": list(found.not_compared),
        "measured_otherwise": list(found.measured_otherwise),
        "rows": [
            {"op": row.key, "first_ms": row.first_ms, "second_ms": row.second_ms, "ratio": row.ratio}
            for row in found.rows
        ],
        "provenance": [
            {"field": difference.field, "first": difference.first, "second": difference.second}
            for difference in found.provenance
        ],
    }
