"""Several targets from one supernet, for one device or several: one front of accuracy and latency a table."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from latency.table import LatencyTable
from pocketnas.console import progress_bar
from pocketnas.launch import ranks_of
from pocketnas.searches.methods import evolution_settings, one_shot_settings
from pocketnas.searches.problems import weights_problem
from pocketnas.space_costs import costs_of
from pocketnas.stages.context import RunContext
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_json
from pocketnas_base.progress import Progress, silent
from search.architecture import Architecture, assemble

if TYPE_CHECKING:
    from search.ranks import Ranks
    from search.strategies.problem import Problem, WeightsProblem
    from search.supernet import Supernet

MAX_TARGETS = 64


@dataclass(frozen=True, slots=True)
class Derived:
    """One network of a front. accuracy: top-1 in percent on all test images with the supernet's weights, batch norm
    recalibrated. on_front: no other network of the same table is as fast and better."""

    target_ms: float
    architecture: Architecture
    latency_ms: float
    accuracy: float
    on_front: bool


@dataclass(frozen=True, slots=True)
class Front:
    """What one table's device gets, by target. name: how the user calls the table."""

    name: str
    table: LatencyTable
    networks: tuple[Derived, ...]


def parse_targets(text: str) -> tuple[float, ...]:
    """Latencies in ms between commas, each once, the lowest first. Raises InputError."""
    words = [word.strip() for word in text.split(",")]
    if len(words) > MAX_TARGETS:
        raise InputError(f"--targets takes at most {MAX_TARGETS} latencies, not {len(words)}")
    wrong = [word for word in words if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", word) or float(word) == 0]
    if wrong:
        raise InputError(f"--targets takes latencies in ms such as 20,30,40, not {wrong[0]!r}")
    return tuple(sorted({float(word) for word in words}))


def evolved(context: RunContext, tables: Sequence[tuple[str, LatencyTable]], targets: Sequence[float]) -> list[Front]:
    """Fronts from a supernet of all paths alike, by evolution under each target's limit. What it takes is kept in the
    run's directory under `targets`; a killed call goes on there, and one for other targets or tables finds the supernet
    trained. Its weight steps are taken by all ranks together; what comes after them is the work of this one."""
    from search.loop import run_steps
    from search.strategies.fronts import Fronts
    from search.strategies.one_shot import OneShot

    config = context.config
    problems = _problems(context, tables, targets)
    job = Fronts(problems, OneShot(problems[0], one_shot_settings(config)), evolution_settings(config))
    with ranks_of(context, __name__) as ranks, progress_bar("supernet") as progress:
        _train_supernet(context, problems[0], ranks, progress)
    context.limit_threads()
    # Trained already: read by itself, in a form that needs no other rank.
    run_steps(job.one_shot.training, _supernet_file(context), silent, "steps")
    with progress_bar("targets") as progress:
        checkpoint = _supernet_file(context).with_name(f"evolution-{job.fingerprint[:16]}.safetensors")
        run_steps(job, checkpoint, progress, "networks")
    choices = [job.winner_of(which) for which in range(len(problems))]
    return _fronts(context, tables, targets, problems, job.one_shot.supernet, choices)


def follow(context: RunContext, ranks: "Ranks") -> None:
    """What every rank but the first does of `evolved`."""
    _train_supernet(context, weights_problem(context, context.config.seed, silent), ranks, silent)


def _train_supernet(context: RunContext, problem: "WeightsProblem", ranks: "Ranks", progress: Progress) -> None:
    """All weight steps, by all ranks together, on the device of each."""
    from search.loop import run_steps
    from search.strategies.one_shot import OneShotTraining

    context.limit_threads(ranks)
    spread = replace(problem, ranks=ranks, device=context.torch_device(ranks))
    training = OneShotTraining(spread, one_shot_settings(context.config))
    run_steps(training, _supernet_file(context), progress, "steps", ranks=ranks)


def _supernet_file(context: RunContext) -> Path:
    return context.directory.path / "targets" / "one_shot.safetensors"


def most_probable(
    context: RunContext, tables: Sequence[tuple[str, LatencyTable]], targets: Sequence[float]
) -> list[Front]:
    """Fronts from the run's own search: its supernet, and at each target what its probabilities hold most probable.

    Raises InputError before the search is done.
    """
    from search.derive import derive_at
    from search.searched_supernet import load_supernet

    directory = context.directory
    plain = read_json(directory.search_result, what="search result")
    fingerprint = plain.get("fingerprint") if isinstance(plain, dict) else None
    if not isinstance(fingerprint, str):
        raise InputError(f"{directory.search_result} does not say whose search it is; search again in another run")
    supernet, parameters = load_supernet(
        context.space, directory.search / "checkpoint.safetensors", belongs_to=fingerprint
    )
    rows = parameters.probabilities().tolist()
    probabilities = [row[: len(edge.candidates)] for row, edge in zip(rows, context.space.edges, strict=True)]
    problems = _problems(context, tables, targets)
    choices = [derive_at(probabilities, each.costs, each.target_ms, each.target_ms) for each in problems]
    return _fronts(context, tables, targets, problems, supernet.to(context.torch_device()), choices)


def _problems(
    context: RunContext, tables: Sequence[tuple[str, LatencyTable]], targets: Sequence[float]
) -> "list[Problem]":
    """One for each table and target, tables first."""
    from search.strategies.problem import Problem

    context.limit_threads()
    with progress_bar("data") as progress:
        weights = weights_problem(context, context.config.seed, progress)
    first = Problem.of(weights, costs_of(tables[0][1], context.space), targets[0])
    return [
        replace(first, costs=costs_of(table, context.space), target_ms=target_ms)
        for _, table in tables
        for target_ms in targets
    ]


def _fronts(
    context: RunContext,
    tables: Sequence[tuple[str, LatencyTable]],
    targets: Sequence[float],
    problems: "Sequence[Problem]",
    supernet: "Supernet",
    choices: Sequence[Sequence[int]],
) -> list[Front]:
    from search.strategies.front import Point, pareto

    accuracies = _test_accuracies(context, problems[0], supernet, choices)
    fronts = []
    for number, (name, table) in enumerate(tables):
        part = range(number * len(targets), (number + 1) * len(targets))
        found = [problems[which].costs.latency_ms(choices[which]) for which in part]
        # Two targets may share a network: by its place on the plane it is on the front for both.
        best = {
            (point.latency_ms, point.accuracy)
            for point in pareto(Point("", ms, accuracies[which]) for which, ms in zip(part, found, strict=True))
        }
        networks = tuple(
            Derived(
                problems[which].target_ms,
                assemble(context.space, choices[which], network_name(name, problems[which].target_ms)),
                ms,
                accuracies[which],
                (ms, accuracies[which]) in best,
            )
            for which, ms in zip(part, found, strict=True)
        )
        fronts.append(Front(name, table, networks))
    return fronts


def _test_accuracies(
    context: RunContext, problem: "Problem", supernet: "Supernet", choices: Sequence[Sequence[int]]
) -> list[float]:
    """On images that neither the weights nor the choice of networks has seen."""
    from search.strategies.scoring import Scorer
    from search.training import logits_of, top1

    compare, data = context.config.compare, problem.data
    scorer = Scorer(problem, recalibration_images=compare.recalibration_images, scoring_images=compare.scoring_images)
    normalisation = problem.weight_batches.normalisation
    accuracies = []
    with progress_bar("test") as progress:
        for number, each in enumerate(choices):
            progress(number, len(choices), "networks")
            network = scorer.network(supernet, each)
            accuracies.append(top1(logits_of(network, data.test_images, normalisation), data.test_labels))
    return accuracies


def network_name(table: str, target_ms: float) -> str:
    """How a network of a front is called: `phone-20ms`."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(table).stem)
    return f"{stem}-{target_ms:.15g}ms"
