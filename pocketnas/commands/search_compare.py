"""`pocketnas search compare`: the searches side by side on one run's space, images and table."""

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pocketnas.commands.run import check_before_measuring, find_run
from pocketnas.console import print_json, print_table, say
from pocketnas.launch import refuse_several_processes
from pocketnas.pipeline import run_one
from pocketnas.ray_cluster import check_ray_installed, connected
from pocketnas.searches.names import METHODS, Method, parse_methods
from pocketnas.searches.statistics import Estimate
from pocketnas.stages.context import RunContext
from pocketnas_base.errors import InputError

if TYPE_CHECKING:
    from pocketnas.searches.contest import Contest
    from pocketnas.searches.verdict import Verdict

COLUMNS = ["method", "search s", "trained", "scored", "latency ms", "top-1 %", "time ratio", "top-1 points"]
MAX_SEEDS = 1000


def compare_searches(
    run_or_config: Path, runs: Path, methods: str | None, seeds: int, *, ray: str | None = None, as_json: bool
) -> None:
    """Run what is missing of the comparison, then print it. Killed and called again, it goes on where it stopped.

    methods: names between commas; None: all, but for the family where its latency cannot be known. ray: the address of
    a Ray cluster, see pocketnas.ray_cluster, which then trains the candidates of train-each.
    """
    if ray is not None:
        check_ray_installed()
    named = METHODS if methods is None else parse_methods(methods)
    if not 1 <= seeds <= MAX_SEEDS:
        raise InputError(f"--seeds takes 1 to {MAX_SEEDS}, not {seeds}")
    refuse_several_processes("search compare")
    directory = find_run(run_or_config, runs)
    check_before_measuring(RunContext(directory))
    if not directory.is_done("table"):
        run_one(directory, "table")

    from pocketnas.searches.contest import Contest
    from pocketnas.searches.verdict import verdicts

    contest = Contest(RunContext(directory), on_ray=ray is not None)
    left_out: dict[str, str] = {}
    if methods is None:
        named, left_out = _possible(contest)
    first = directory.config.seed
    with nullcontext() if ray is None else connected(ray):
        entries = list(contest.entries(named, range(first, first + seeds)))
    found = verdicts(entries)
    if as_json:
        print_json({**_document(contest, found), "left_out": left_out})
        return
    title = f"{contest.context.space.name}: searches at {contest.target_ms:.3f} ms, {seeds} seed{'s'[: seeds > 1]}"
    print_table(COLUMNS, [_row(verdict) for verdict in found], title=title)
    print(_legend(seeds, any(verdict.against for verdict in found)))
    for name, reason in left_out.items():
        print(f"{name} left out: {reason}")


def _possible(contest: "Contest") -> tuple[tuple[Method, ...], dict[str, str]]:
    """All methods that can be had here, and why another cannot."""
    try:
        contest.family()
    except InputError as error:
        say(f"mobilenet-v2 left out: {error}")
        return tuple(name for name in METHODS if name != "mobilenet-v2"), {"mobilenet-v2": str(error)}
    return METHODS, {}


def _document(contest: "Contest", found: "list[Verdict]") -> dict[str, object]:
    config = contest.context.config
    return {
        "name": config.name,
        "space": contest.context.space.name,
        "data": config.data.source,
        "table": contest.table.name,
        "target_ms": contest.target_ms,
        "methods": {verdict.method: {**asdict(verdict), "seeds": list(verdict.seeds)} for verdict in found},
    }


def _row(verdict: "Verdict") -> list[str]:
    against = verdict.against
    searched = verdict.images_trained > 0
    return [
        verdict.method,
        _shown(verdict.seconds, ".1f") if searched else "none",
        f"{verdict.candidates_trained:g}",
        f"{verdict.candidates_evaluated:g}",
        f"{verdict.latency_ms.value:.3f}",
        _shown(verdict.accuracy, ".2f"),
        _shown(against.seconds_ratio, ".2f") if against and against.seconds_ratio else "",
        _shown(against.accuracy_difference, "+.2f") if against else "",
    ]


def _shown(estimate: Estimate, form: str) -> str:
    value = format(estimate.value, form)
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{format(estimate.low, form)}, {format(estimate.high, form)}]"


def _legend(seeds: int, compared: bool) -> str:
    lines = [
        "trained, scored: networks trained from scratch, and scored on held-out images, by the search itself",
        "latency: predicted by the table; of mobilenet-v2 the target, at which its front is read",
    ]
    if compared:
        lines.append("time ratio, top-1 points: search time over proxyless's, and top-1 less its")
    if seeds > 1:
        lines.append(f"in brackets: 95 % bootstrap interval over {seeds} seeds")
    return "\n".join(lines)
