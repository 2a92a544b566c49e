"""What a search's settings are worth: how well its supernet ranks networks, and how good a network it derives.

Networks are drawn at random, evenly, among those predicted at the target, and each is trained by itself, with several
seeds: so good is what chance finds, and so far do two trainings of the same networks agree. For every variation and
every seed a ProxylessNAS search is run. After its warm-up those networks are scored with the supernet's weights (batch
norm recalibrated, held-out images), and the scores are held against what they came to by themselves on average; in the
end it derives a network at the target, which is trained in the same way. Costs are a table's, or, without one,
proportional to multiply-accumulates.

    python benchmarks/search_settings.py --out DIR      the ways of warmup_paths, on the demo's configuration
    python benchmarks/search_settings.py --out DIR --config benchmarks/headline_fashion_mnist.toml --jobs 2 \\
        --vary arch_learning_rate=0.01 --vary hold_rate=0.001,warmup_paths=fair
    python benchmarks/search_settings.py --out DIR --seeds 1 --networks 6 --quick

Without --vary the ways of warmup_paths are compared; the configuration as it stands is always among the variations.
Finished pieces are kept in --out; the same command goes on there.
"""

import argparse
import hashlib
import json
import statistics
import tomllib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, combinations
from multiprocessing import get_context
from pathlib import Path
from typing import Any, get_args

import torch
from pydantic import ValidationError
from record import write_figures
from scipy.stats import spearmanr

from latency.library import load_table
from latency.predict import CostModel
from pocketnas.children import end_with_parent
from pocketnas.config import RunConfig, builtin_config, load_config
from pocketnas.space_costs import costs_of
from pocketnas.stages.search import proxyless_search, target_of
from pocketnas.stages.training import training_settings
from pocketnas_base.errors import InputError, PocketNASError
from pocketnas_base.files import read_json, write_json
from pocketnas_base.validation import fault_of
from search.accelerator import torch_device
from search.architecture import assemble
from search.choices import WarmupPaths
from search.data.load import load_data
from search.derive import derive_at
from search.layout import Space
from search.space import load_space
from search.strategies.problem import WINDOW, Problem
from search.strategies.scoring import Scorer
from search.strategies.window import WindowSampler
from search.training import Training, logits_of, top1

SCORED_IMAGES = 2000
RECALIBRATION_IMAGES = 2048
AS_IT_STANDS = "as it stands"
OF_ALL = ("target_ms", "target_ratio", "max_ms", "derive", "tensorboard")
"""Of [search], but no variation's own: every network is derived at the configuration's target."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where finished pieces are kept")
    parser.add_argument("--config", type=Path, help="whose [search], [train] and images; left out, the demo's")
    parser.add_argument("--vary", action="append", metavar="KEY=VALUE[,KEY=VALUE]", help="of [search]; several times")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--networks", type=int, default=16, help="drawn at random, each trained by itself")
    parser.add_argument("--trainings", type=int, default=2, help="of every network, each with another seed")
    parser.add_argument("--train-steps", type=int, help="of each network trained by itself; left out, [train]'s")
    parser.add_argument("--table", help="a latency table of the space; left out, work stands for time")
    parser.add_argument("--jobs", type=int, default=1, help="pieces side by side")
    parser.add_argument("--quick", action="store_true", help="a tenth of all steps: does it run?")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    if arguments.networks < 3:
        parser.error(f"--networks must be at least 3, not {arguments.networks}: they are ranked")
    if arguments.trainings < 2:
        parser.error(f"--trainings must be at least 2, not {arguments.trainings}: they are held against each other")
    for name in ("seeds", "train_steps", "jobs"):
        if (given := getattr(arguments, name)) is not None and given < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1, not {given}")
    try:
        bench = prepare(arguments)
        ways = [way for way in get_args(WarmupPaths) if way != bench.config.search.warmup_paths]
        variations = varied(bench.config, arguments.vary or [f"warmup_paths={way}" for way in ways])
    except PocketNASError as error:
        parser.error(str(error))
    arguments.out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        trained: dict[tuple[int, ...], list[Future[float]]] = {}

        def train(choices: tuple[int, ...]) -> None:
            if choices not in trained:
                trained[choices] = [
                    pool.submit(trained_accuracy, bench, choices, seed) for seed in range(bench.trainings)
                ]

        for choices in bench.networks:
            train(choices)
        begun = {
            name: [pool.submit(search_once, bench, config, seed) for seed in range(arguments.seeds)]
            for name, config in variations.items()
        }
        found = {name: [each.result() for each in searches] for name, searches in begun.items()}
        for search in chain.from_iterable(found.values()):
            train(tuple(search["derived"]))
        accuracies = {choices: [each.result() for each in trainings] for choices, trainings in trained.items()}
    show(figures := figures_of(bench, found, accuracies))
    if arguments.json:
        write_figures(arguments.json, figures)


@dataclass(frozen=True)
class Bench:
    """What all pieces share. networks: choices of those drawn at random. trainings: of every network by itself."""

    config: RunConfig
    space: Space
    costs: CostModel
    target_ms: float
    networks: tuple[tuple[int, ...], ...]
    train_steps: int
    trainings: int
    out: Path

    def problem(self, seed: int) -> Problem:
        """What every search of this seed is given, with its images."""
        config, space = self.config, self.space
        data = load_data(
            config.data.source, resolution=space.resolution, channels=space.image_channels, classes=space.classes
        )
        return Problem(
            space=space,
            costs=self.costs,
            target_ms=self.target_ms,
            data=data,
            holdout=config.data.holdout,
            batch_size=config.search.batch_size,
            seed=seed,
            augmentation=config.search.augmentation.augmentation,
            device=torch_device(config.accelerator, None),
        )


def prepare(arguments: argparse.Namespace) -> Bench:
    """The configuration, its space, its target, and the networks that chance finds there. Raises PocketNASError."""
    config, _ = builtin_config("demo") if arguments.config is None else load_config(arguments.config)
    share = 10 if arguments.quick else 1
    steps = {name: getattr(config.search, name) // share for name in ("warmup_steps", "steps")}
    config = config.model_copy(update={"search": config.search.model_copy(update=steps)})
    space = load_space(config.space)
    if arguments.table is None:
        costs = CostModel(0.1, tuple(tuple(op.macs / 1e7 for op in edge.candidates) for edge in space.edges))
    else:
        costs = costs_of(load_table(arguments.table), space)
    target_ms = target_of(config.search, space, costs)
    sampler = WindowSampler(costs, (1 - WINDOW) * target_ms, target_ms)
    networks = tuple(sampler.draw(number) for number in range(arguments.networks))
    train_steps = max(1, (arguments.train_steps or config.train.steps) // share)
    return Bench(config, space, costs, target_ms, networks, train_steps, arguments.trainings, arguments.out)


def varied(config: RunConfig, variations: Sequence[str]) -> dict[str, RunConfig]:
    """Each variation's configuration, by what it changes. Raises InputError for what [search] does not know."""
    found = {AS_IT_STANDS: config}
    for variation in variations:
        plain = config.model_dump(exclude_unset=True)
        changes = dict(_pair(part) for part in variation.split(","))
        if shared := [key for key in changes if key in OF_ALL]:
            raise InputError(f"--vary {variation}: {shared[0]} has no say here; all are derived at one target")
        plain["search"] |= changes
        try:
            found[variation] = RunConfig.model_validate(plain)
        except ValidationError as error:
            raise InputError(f"--vary {variation}: {fault_of(error)}") from None
    return found


def _pair(text: str) -> tuple[str, object]:
    """A key with a number, true, false or a word."""
    key, _, value = text.partition("=")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def search_once(bench: Bench, config: RunConfig, seed: int) -> dict[str, Any]:
    """One search: the networks' scores after its warm-up, and the choices that it derives."""
    torch.set_num_threads(1)
    asked = [config.search.model_dump_json(), bench.networks]
    return piece(bench, f"search-{seed}", asked, lambda: _search_once(bench, config, seed))


def _search_once(bench: Bench, config: RunConfig, seed: int) -> dict[str, Any]:
    problem, costs = bench.problem(seed), bench.costs
    scorer = Scorer(problem, recalibration_images=RECALIBRATION_IMAGES, scoring_images=SCORED_IMAGES)
    job = proxyless_search(config, bench.space, costs, problem.data, bench.target_ms, seed)
    for number in range(config.search.warmup_steps):
        job.step(number)
    scores = [scorer.score(job.supernet, path) for path in bench.networks]
    for number in range(config.search.warmup_steps, job.total_steps):
        job.step(number)
    return {
        "scores": scores,
        "expected_over_target": float(job.expected.of(job.architecture_parameters.probabilities().detach()))
        / bench.target_ms,
        "entropy": job.architecture_parameters.entropy(),
        "derived": derive_at(job.probabilities(), costs, bench.target_ms, bench.target_ms),
    }


def trained_accuracy(bench: Bench, choices: Sequence[int], seed: int) -> float:
    """Held-out accuracy in percent of a network trained by itself on the images of weight steps.

    By [train], for the length asked for and without a teacher.
    """
    torch.set_num_threads(1)
    recipe = training_settings(bench.config.train, seed)
    warmup_steps = recipe.warmup_steps * bench.train_steps // recipe.steps
    settings = replace(recipe, steps=bench.train_steps, warmup_steps=warmup_steps)

    def train() -> dict[str, float]:
        problem = bench.problem(seed)
        batches = problem.batches(settings.batch_size, bench.config.train.augmentation.augmentation)
        job = Training(assemble(bench.space, choices, "network"), settings, batches)
        for number in range(job.total_steps):
            job.step(number)
        images, labels = problem.held_out
        return {"accuracy": top1(logits_of(job.finished(), images, batches.normalisation), labels)}

    asked = [bench.config.train.model_dump_json(), list(choices)]
    return float(piece(bench, f"trained-{seed}", asked, train)["accuracy"])


def piece(bench: Bench, name: str, asked: object, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Done once, then read. asked: what it depends on beside space, costs, target, images and length of training."""
    whole = [bench.space.fingerprint, bench.costs.candidate_ms, bench.costs.fixed_ms, bench.target_ms]
    whole += [bench.config.data.model_dump_json(), bench.train_steps, asked]
    path = bench.out / f"{name}-{hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:16]}.json"
    if not path.exists():
        found = work()
        write_json(path, found)
        print(f"{path.stem}: {found}", flush=True)
    read = read_json(path, what="piece")
    assert isinstance(read, dict)
    return read


def figures_of(
    bench: Bench, found: dict[str, list[dict[str, Any]]], accuracies: dict[tuple[int, ...], list[float]]
) -> dict[str, Any]:
    """All figures. found: each variation's searches. accuracies: of every network by itself, one a seed."""
    alone = {choices: statistics.fmean(each) for choices, each in accuracies.items()}
    return {
        "target_ms": bench.target_ms,
        "chance": summary_of([alone[choices] for choices in bench.networks])
        | {"agreement": agreement([accuracies[choices] for choices in bench.networks])},
        "variations": {
            name: summarise([judged(bench, search, alone) for search in searches]) for name, searches in found.items()
        },
        "derived": {
            name: [described(bench.space, search["derived"]) for search in searches] for name, searches in found.items()
        },
    }


def judged(bench: Bench, found: dict[str, Any], alone: dict[tuple[int, ...], float]) -> dict[str, float]:
    """A search's figures. alone: what networks came to by themselves on average."""
    zeros = [zeros_of(bench.space, path) for path in bench.networks]
    scores, truth = found["scores"], [alone[path] for path in bench.networks]
    return {
        "spearman": float(spearmanr(scores, truth).statistic),
        "score_minus_alone_per_zero": slope(zeros, [s - a for s, a in zip(scores, truth, strict=True)]),
        "expected_over_target": found["expected_over_target"],
        "entropy": found["entropy"],
        "zeros": zeros_of(bench.space, found["derived"]),
        "derived_accuracy": alone[tuple(found["derived"])],
    }


def agreement(accuracies: Sequence[Sequence[float]]) -> float:
    """How far trainings with two seeds rank the same networks alike: Spearman's coefficient, mean over pairs of seeds.

    accuracies: [network][seed], each seed with held-out images of its own.
    """
    of_seeds = list(zip(*accuracies, strict=True))
    return statistics.fmean(float(spearmanr(one, other).statistic) for one, other in combinations(of_seeds, 2))


def described(space: Space, choices: Sequence[int]) -> str:
    """A network's searched operators, first to last."""
    return ", ".join(edge.candidates[index].choice for edge, index in zip(space.edges, choices, strict=True))


def zeros_of(space: Space, choices: Sequence[int]) -> int:
    """How many blocks are left out."""
    return sum(edge.candidates[index].kind == "zero" for edge, index in zip(space.edges, choices, strict=True))


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Least-squares slope of y over x; 0 where x does not vary."""
    mean_x, mean_y = statistics.fmean(x), statistics.fmean(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread if spread else 0.0


def summarise(runs: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Every figure of one variation over its seeds."""
    return {name: summary_of([run[name] for run in runs]) for name in runs[0]}


def summary_of(values: Sequence[float]) -> dict[str, Any]:
    """Mean, and each value."""
    return {"mean": statistics.fmean(values), "each": list(values)}


def show(figures: dict[str, Any]) -> None:
    """What chance finds, then one line a figure of each variation."""
    chance = figures["chance"]
    print(f"networks drawn at random at {figures['target_ms']:.4g} ms, trained by themselves: ", end="")
    print(f"{chance['mean']:.2f} % on average, {min(chance['each']):.2f} to {max(chance['each']):.2f}")
    print(f"two trainings rank those alike: Spearman {chance['agreement']:.2f}")
    for variation, found in figures["variations"].items():
        print(f"\n{variation}")
        for name, of in found.items():
            print(f"  {name:<28}{of['mean']:8.3f}   ({', '.join(f'{value:.3f}' for value in of['each'])})")
        for network in figures["derived"][variation]:
            print(f"  derived: {network}")


if __name__ == "__main__":
    try:
        main()
    except PocketNASError as error:
        raise SystemExit(f"search_settings: {error}") from None
