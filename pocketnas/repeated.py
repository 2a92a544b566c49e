"""Operators too short for the clock: measured again as several copies in one model, and what that says of one."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from android_bench.job import Job
from android_bench.statistics import Summary
from deploy.executorch_export import takes_channels_last
from deploy.operators import MAX_COPIES, export_operators
from latency.opspec import EMPTY, OpSpec
from latency.rows import TableRow
from pocketnas.config import TableConfig
from pocketnas_base.artifact import Runtime
from pocketnas_base.units import NS_PER_MS

MOST_UNRESOLVED = 0.01
"""How much of an operator's own time the clock's tick may be. A network's prediction is to hold within 5 %."""


def copies_needed(summaries: Mapping[OpSpec, Summary], tick_ns: int | None, runtime: Runtime) -> dict[OpSpec, int]:
    """The operators whose own time is too short for a clock that ticks every `tick_ns`, and how many copies of each
    are long enough: the lowest power of two that is, up to half of MAX_COPIES, since twice as many are measured too.

    tick_ns: None where nothing told it; nothing is then repeated. Nor is an ExecuTorch operator that takes contiguous
    images: its copies would share the change of the input's memory order, and the slope would leave that out.
    """
    if tick_ns is None:
        return {}
    needed = {}
    for op, summary in summaries.items():
        own = summary.floor_ns - summaries[EMPTY].floor_ns
        shares_work = runtime == "executorch" and not takes_channels_last(op)
        if op == EMPTY or shares_work or tick_ns <= MOST_UNRESOLVED * own:
            continue
        copies = 2
        while copies < MAX_COPIES // 2 and tick_ns > MOST_UNRESOLVED * copies * own:
            copies *= 2
        needed[op] = copies
    return needed


def repeated_jobs(needed: Mapping[OpSpec, int], config: TableConfig, cache: Path, seed: int) -> list[Job]:
    """Models of N and of 2N copies of each operator, for the N that it needs, and of the empty model as well."""
    jobs = []
    for copies in sorted({count * times for count in needed.values() for times in (1, 2)}):
        ops = [EMPTY, *(op for op, count in needed.items() if copies in (count, 2 * count))]
        files = export_operators(ops, config.runtime, cache, precision=config.precision, seed=seed, copies=copies)
        jobs += [
            Job(
                job_id(op, config, copies),
                file.artifact,
                (file.input_path,),
                file.reference_paths,
                file.max_output_error,
            )
            for op, file in files.items()
        ]
    return jobs


def job_id(op: OpSpec, config: TableConfig, copies: int = 1) -> str:
    """One store may hold an operator in several precisions, and several copies of it in one model."""
    precision = "" if config.precision == "fp32" else f"_{config.precision}"
    return f"{op.key}{precision}" + ("" if copies == 1 else f"_x{copies}")


@dataclass(frozen=True, slots=True)
class Pair:
    """A model of N copies, and one of twice as many."""

    some: Summary
    twice: Summary

    def difference_ns(self, figure: Callable[[Summary], float]) -> float:
        """What the copies in which they differ take together, by one of the figures of a summary."""
        return figure(self.twice) - figure(self.some)


def pair(named: Mapping[str, Summary], op: OpSpec, config: TableConfig, copies: int) -> Pair:
    """What was measured of an operator's `repeated_jobs`, by job id."""
    return Pair(*(named[job_id(op, config, count)] for count in (copies, 2 * copies)))


def slope_row(empty: Summary, op: Pair, of_empty: Pair, copies: int) -> TableRow:
    """What one operator takes, from models of N = `copies` and of 2N: T, and E of the empty model: an invocation and
    ((T(2N) - T(N)) - (E(2N) - E(N))) / N.

    What an invocation costs is in both models of an operator and falls out; of the clock's tick no more than a share of
    1 / N is left. What each further output costs, some tenths of a microsecond that are no operator's, is in the empty
    model's copies too. A difference below 0 is noise and counts as 0. The intervals of the four are independent and
    added in quadrature. There are no samples of the operator alone, so p10_ms and p90_ms are None.
    """
    parts = (op.some, op.twice, of_empty.some, of_empty.twice)

    def own_ns(figure: Callable[[Summary], float]) -> float:
        return max(0.0, op.difference_ns(figure) - of_empty.difference_ns(figure)) / copies

    def uncertain_ns(high: Callable[[Summary], float], low: Callable[[Summary], float]) -> float:
        return math.hypot(*(high(part) - low(part) for part in parts)) / copies

    floor_ns = empty.floor_ns + own_ns(lambda part: part.floor_ns)
    median_ns = empty.median_ns + own_ns(lambda part: part.median_ns)
    half_ns = uncertain_ns(lambda part: part.ci_high_ns, lambda part: part.ci_low_ns) / 2
    said = [part.settled for part in parts]
    return TableRow(
        latency_ms=floor_ns / NS_PER_MS,
        high_ms=(floor_ns + uncertain_ns(lambda part: part.floor_high_ns, lambda part: part.floor_ns)) / NS_PER_MS,
        median_ms=median_ns / NS_PER_MS,
        p10_ms=None,
        p90_ms=None,
        samples=op.some.samples + op.twice.samples,
        processes=min(op.some.processes, op.twice.processes),
        ci_low_ms=max(empty.median_ns, median_ns - half_ns) / NS_PER_MS,
        ci_high_ms=(median_ns + half_ns) / NS_PER_MS,
        settled=None if None in said else all(said),
        copies=copies,
    )
