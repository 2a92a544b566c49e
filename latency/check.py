"""What is wrong with a table: rows that are missing, unstable, implausible, or measured with an eye shut.

Apart from measuring, so that a table can be judged again, by others, and when the limits change.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from latency.chain import Chain
from latency.opspec import OpSpec
from latency.predict import operator_ms
from latency.rows import TableRow
from latency.table import Entry, LatencyTable
from pocketnas_base.errors import InputError

FindingKind = Literal["missing", "unstable", "implausible", "tolerated", "void"]

# A network's prediction is to hold within 5 %: a row that is less certain than that cannot carry its part of it.
MOST_HIGH = 1.05
# Of a quiet device's samples the slow tenth is a few percent off the fast tenth. Half as much again: for a good part of
# the time the device did something else, or changed its clock.
MOST_SPREAD = 1.5
# Where more is thrown away than kept, what was kept was taken between two disturbances, and hardly without any.
MOST_VOID = 0.5
# 10 T multiply-accumulates a second at batch 1: above any phone's processor, GPU or NPU. What is faster did not run.
MOST_MACS_PER_MS = 1e10
# A space offers a few dozen candidates at a place.
MAX_FAMILY = 1024

LIMITS = {
    "high_over_latency": MOST_HIGH,
    "p90_over_p10": MOST_SPREAD,
    "void_share": MOST_VOID,
    "macs_per_ms": MOST_MACS_PER_MS,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. key: the row. figures: the numbers behind it, with their unit in the name. text: what
    is wrong and what to do, in one line."""

    kind: FindingKind
    key: str
    figures: dict[str, float]
    text: str


def check_table(table: LatencyTable, chain: Chain | None) -> list[Finding]:
    """Everything wrong with a table; of its coverage only where a space's chain is given.

    Raises InputError when the table is of another space than the chain.
    """
    missing = [] if chain is None else list(_missing(table, chain))
    entries = table.entries()
    rows = [finding for entry in entries for finding in _of_row(table, entry)]
    return [*missing, *rows, *_against_their_work(entries, table), *_tolerated(table, entries)]


def _missing(table: LatencyTable, chain: Chain) -> Iterator[Finding]:
    info = table.info
    if info.space_fingerprint not in (None, chain.fingerprint):
        raise InputError(f"the table of {table.name} is of another space than {chain.space}; give its own with --space")
    seen: set[str] = set()
    for place, op in chain.wanted():
        optional = (op.kind == "zero" and not table.prices_zero) or (op.kind == "empty" and info.rows == "share")
        key = f"{op.key}@{place}" if table.placed and op.kind != "empty" else op.key
        if optional or key in seen or table.find(op, place) is not None:
            continue
        seen.add(key)
        yield Finding("missing", key, {}, f"space {chain.space} offers it and the table has no row; {_again(table)}")


def _of_row(table: LatencyTable, entry: Entry) -> Iterator[Finding]:
    row = entry.row
    if row.high_ms is not None and row.latency_ms > 0:
        share = row.high_ms / row.latency_ms
        if share > MOST_HIGH:
            yield Finding(
                "unstable",
                entry.key,
                {"latency_ms": row.latency_ms, "high_ms": row.high_ms, "high_over_latency": share},
                f"{row.latency_ms:.4f} ms, but up to {row.high_ms:.4f} ms ({_percent(share)}, at most "
                f"{_percent(MOST_HIGH)} is asked); {_longer(table)}",
            )
        elif row.settled is False:
            yield Finding(
                "unstable",
                entry.key,
                {"latency_ms": row.latency_ms, "high_ms": row.high_ms, "high_over_latency": share},
                f"{row.latency_ms:.4f} to {row.high_ms:.4f} ms ({_percent(share)}) is wider than was asked for, and "
                f"its {row.processes} processes were all that it was allowed; {_longer(table)}",
            )
        elif share < 1:
            yield Finding(
                "implausible",
                entry.key,
                {"latency_ms": row.latency_ms, "high_ms": row.high_ms},
                f"high_ms {row.high_ms:.4f} lies below latency_ms {row.latency_ms:.4f}; {_again(table)}",
            )
    if row.p10_ms is not None and row.p90_ms is not None and row.p10_ms > 0 and row.p90_ms / row.p10_ms > MOST_SPREAD:
        yield Finding(
            "unstable",
            entry.key,
            {"p10_ms": row.p10_ms, "p90_ms": row.p90_ms, "p90_over_p10": row.p90_ms / row.p10_ms},
            f"samples from {row.p10_ms:.4f} to {row.p90_ms:.4f} ms (10th to 90th percentile, a factor "
            f"{row.p90_ms / row.p10_ms:.2f}, at most {MOST_SPREAD} is asked); {_longer(table)}",
        )
    yield from _void(table, entry)
    yield from _implausible(table, entry)


def _void(table: LatencyTable, entry: Entry) -> Iterator[Finding]:
    void, kept = entry.row.void_samples, entry.row.samples
    if void is None or kept is None or void / (void + kept) <= MOST_VOID:
        return
    yield Finding(
        "void",
        entry.key,
        {"samples": float(kept), "void_samples": float(void), "void_share": void / (void + kept)},
        f"{void} of {void + kept} samples were void ({100 * void / (void + kept):.0f} %, at most {100 * MOST_VOID:.0f} "
        f"% is asked); {_longer(table)}",
    )


def _implausible(table: LatencyTable, entry: Entry) -> Iterator[Finding]:
    source = table.info.source
    if source is not None and source.times == "regression weight":
        return  # a weight is no time: it may be anything
    op, row = entry.op, entry.row
    if op.kind in ("empty", "zero"):
        if row.latency_ms < 0:
            yield Finding(
                "implausible", entry.key, {"latency_ms": row.latency_ms}, f"{row.latency_ms:.4f} ms; {_again(table)}"
            )
        return
    own = operator_ms(table, op, entry.place)
    if own + _noise(row) <= 0:
        than = "the empty model" if table.info.rows == "alone" else "nothing"
        yield Finding(
            "implausible",
            entry.key,
            {"latency_ms": row.latency_ms, "own_ms": own},
            f"{row.latency_ms:.4f} ms is no more than {than}, beyond its noise; {_again(table)}",
        )
    elif own > 0 and op.macs / own > MOST_MACS_PER_MS:
        yield Finding(
            "implausible",
            entry.key,
            {"latency_ms": row.latency_ms, "macs": float(op.macs), "macs_per_ms": op.macs / own},
            f"{op.macs / 1e6:.1f} M MACs in {own:.6f} ms is {op.macs / own / 1e9:.0f} T MACs/s, more than any device "
            f"does; is it in milliseconds? {_again(table)}",
        )


def _against_their_work(entries: list[Entry], table: LatencyTable) -> Iterator[Finding]:
    """Rows slower than one of their family that has more to do, by more than both rows' noise.

    A family has everything in common but kernel and expansion; more to do is neither of both smaller. Rows that do not
    state their noise are not compared: a difference would say nothing.
    """
    families: dict[tuple[object, ...], list[Entry]] = {}
    for entry in entries:
        if entry.op.kind in ("conv", "mbconv") and entry.row.noise_ms is not None:
            families.setdefault(_family(entry), []).append(entry)
    for members in families.values():
        if len(members) > MAX_FAMILY:
            raise InputError(
                f"the table of {table.name} has {len(members)} operators that differ in kernel and expansion only; "
                f"at most {MAX_FAMILY} are compared"
            )
        for less in members:
            more = [other for other in members if _does_more(other.op, less.op) and _slower(less.row, other.row)]
            if not more:
                continue
            worst = min(more, key=lambda other: other.row.latency_ms)
            yield Finding(
                "implausible",
                less.key,
                {
                    "latency_ms": less.row.latency_ms,
                    "macs": float(less.op.macs),
                    "other_ms": worst.row.latency_ms,
                    "other_macs": float(worst.op.macs),
                },
                f"{less.row.latency_ms:.4f} ms for {less.op.macs / 1e6:.2f} M MACs, but {worst.op.choice} takes "
                f"{worst.row.latency_ms:.4f} ms for {worst.op.macs / 1e6:.2f} M at the same place; {_again(table)}",
            )


def _family(entry: Entry) -> tuple[object, ...]:
    op = entry.op
    return (
        entry.place,
        op.kind,
        op.in_channels,
        op.out_channels,
        op.stride,
        op.resolution,
        op.residual,
        op.activation,
        op.squeeze_excite,
    )


def _does_more(one: OpSpec, other: OpSpec) -> bool:
    return one.kernel >= other.kernel and one.expansion >= other.expansion and one.macs > other.macs


def _slower(one: TableRow, other: TableRow) -> bool:
    return one.latency_ms - _noise(one) > other.latency_ms + _noise(other)


def _noise(row: TableRow) -> float:
    return max(0.0, row.noise_ms or 0.0)


def _tolerated(table: LatencyTable, entries: list[Entry]) -> Iterator[Finding]:
    named = [entry for entry in entries if entry.row.tolerated]
    for entry in named:
        yield Finding(
            "tolerated",
            entry.key,
            {"latency_ms": entry.row.latency_ms},
            f"some of its samples count although {', '.join(entry.row.tolerated)}; measure it without --tolerate",
        )
    if table.info.tolerated and not named:
        yield Finding(
            "tolerated",
            "table",
            {},
            f"samples of it count although {', '.join(table.info.tolerated)}, and it does not say of which rows; "
            "build it without --tolerate",
        )


def _again(table: LatencyTable) -> str:
    if table.info.source is not None:
        return "ask its source, or measure one: pocketnas table build"
    return "to measure it again, delete the samples beside the table (.sqlite) and build it once more"


def _longer(table: LatencyTable) -> str:
    if table.info.source is not None:
        return "its source was noisy; measure one: pocketnas table build"
    return (
        "build it with more --processes, or on a quieter or cooler device once more without the samples beside the "
        "table (.sqlite)"
    )


def _percent(share: float) -> str:
    return f"+{100 * (share - 1):.1f} %"
