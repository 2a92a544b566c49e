"""Which paths a warm-up had better train: what its supernet knows of networks, and what the search derives from it.

For every way of [search] warmup_paths and every seed, the demo's search on Fashion-MNIST: after the warm-up, random
networks are scored with the supernet's weights (batch norm recalibrated, held-out images), and the scores are held
against those of the same networks trained by themselves; then the search goes on, derives a network at the target, and
that one is trained. Costs are a table's, or, without one, proportional to multiply-accumulates.

    python benchmarks/warmup.py --out warmup/                 about half an hour on two cores; goes on where it stopped
    python benchmarks/warmup.py --out warmup/ --seeds 1 --networks 6 --quick
"""

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from record import write_figures
from scipy.stats import spearmanr

from latency.library import load_table
from latency.predict import CostModel
from pocketnas.config import RunConfig, builtin_config
from pocketnas.space_costs import costs_of
from pocketnas.stages.search import proxyless_search
from search.architecture import Architecture, assemble
from search.batch_norm import recalibrate
from search.data.batches import TrainingBatches, normalisation_of
from search.data.dataset import ImageData, split
from search.data.load import load_data
from search.derive import derive_at
from search.hand_made import hand_made_choices
from search.layout import Space
from search.path_order import WarmupPaths
from search.proxyless import ProxylessSearch
from search.sampling import random_choices
from search.space import load_space
from search.training import Training, TrainingSettings, logits_of, top1

SCORED_IMAGES = 2000
RECALIBRATION_IMAGES = 2048


@dataclass(frozen=True)
class Bench:
    """What all pieces share."""

    config: RunConfig
    space: Space
    costs: CostModel
    target_ms: float
    data: ImageData
    out: Path
    train_steps: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where finished pieces are kept")
    parser.add_argument("--ways", default=",".join(get_args(WarmupPaths)))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--networks", type=int, default=16, help="ranked, each trained by itself once")
    parser.add_argument("--train-steps", type=int, default=600, help="of each network trained by itself")
    parser.add_argument(
        "--table", default=None, help="a latency table of the demo space; left out, work stands for time"
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of all steps: does it run?")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    bench = prepare(arguments)
    choices = random_choices(bench.space, arguments.networks, seed=7)
    alone = [trained_accuracy(bench, assemble(bench.space, each, f"net-{i:02d}"), 0) for i, each in enumerate(choices)]
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in arguments.ways.split(",")}
    for seed in range(arguments.seeds):
        for way, found in runs.items():
            found.append(search_once(bench, way, seed, choices, alone))
    figures = {way: summarise(found) for way, found in runs.items()}
    show(figures)
    if arguments.json:
        write_figures(arguments.json, figures)


def prepare(arguments: argparse.Namespace) -> Bench:
    """The demo's configuration, space and images."""
    config, _ = builtin_config("demo")
    share = 10 if arguments.quick else 1
    steps = {name: getattr(config.search, name) // share for name in ("warmup_steps", "steps")}
    config = config.model_copy(update={"search": config.search.model_copy(update=steps)})
    space = load_space(config.space)
    if arguments.table is None:
        costs = CostModel(0.1, tuple(tuple(op.macs / 1e7 for op in edge.candidates) for edge in space.edges))
    else:
        costs = costs_of(load_table(arguments.table), space)
    assert config.search.target_ratio is not None
    target_ms = config.search.target_ratio * costs.latency_ms(hand_made_choices(space))
    data = load_data(
        config.data.source, resolution=space.resolution, channels=space.image_channels, classes=space.classes
    )
    return Bench(config, space, costs, target_ms, data, arguments.out, arguments.train_steps // share)


def search_once(
    bench: Bench, way: str, seed: int, choices: Sequence[tuple[int, ...]], alone: Sequence[float]
) -> dict[str, float]:
    """One search: rank correlation after its warm-up, and the network that it derives."""
    return piece(bench.out / f"search-{way}-{seed}.json", lambda: _search_once(bench, way, seed, choices, alone))


def _search_once(
    bench: Bench, way: str, seed: int, choices: Sequence[tuple[int, ...]], alone: Sequence[float]
) -> dict[str, float]:
    search = bench.config.search.model_copy(update={"warmup_paths": way})
    config = bench.config.model_copy(update={"search": search})
    job = proxyless_search(config, bench.space, bench.costs, bench.data, bench.target_ms, seed)
    for number in range(search.warmup_steps):
        job.step(number)
    scores = [inherited_accuracy(bench, job, path, seed) for path in choices]
    for number in range(search.warmup_steps, job.total_steps):
        job.step(number)
    derived = derive_at(job.probabilities(), bench.costs, bench.target_ms)
    architecture = assemble(bench.space, derived, f"{way}-{seed}")
    zeros = [zeros_of(bench.space, path) for path in choices]
    return {
        "spearman": float(spearmanr(scores, alone).statistic),
        "score_minus_alone_per_zero": slope(zeros, [s - a for s, a in zip(scores, alone, strict=True)]),
        "zeros": zeros_of(bench.space, derived),
        "derived_accuracy": trained_accuracy(bench, architecture, seed),
    }


def inherited_accuracy(bench: Bench, job: ProxylessSearch, path: Sequence[int], seed: int) -> float:
    """Held-out accuracy in percent of a path with the supernet's weights, which are left as they are."""
    kept = {name: value.clone() for name, value in job.supernet.state_dict().items()}
    images, labels = held_out(bench, seed)
    normalisation = normalisation_of(bench.data)
    recalibrate(job.supernet, job.weight_batches.unaugmented(RECALIBRATION_IMAGES), lambda x: job.supernet(x, path))
    job.supernet.eval()
    with torch.inference_mode():
        logits = torch.cat([job.supernet(normalisation(part), path) for part in torch.split(images, 500)])
    job.supernet.train()
    job.supernet.load_state_dict(kept)
    return top1(logits, labels)


def trained_accuracy(bench: Bench, architecture: Architecture, seed: int) -> float:
    """Held-out accuracy in percent of a network trained by itself on the images of weight steps."""

    def train() -> dict[str, float]:
        config = bench.config.train
        settings = TrainingSettings(
            steps=bench.train_steps,
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            label_smoothing=config.label_smoothing,
            dropout=config.dropout,
            seed=seed,
        )
        part, _ = split(bench.data.train_labels, bench.config.data.holdout, seed)
        batches = TrainingBatches.of(bench.data, part, batch_size=config.batch_size, seed=seed)
        job = Training(architecture, settings, batches)
        for number in range(job.total_steps):
            job.step(number)
        images, labels = held_out(bench, seed)
        return {"accuracy": top1(logits_of(job.finished(), images, normalisation_of(bench.data)), labels)}

    return piece(bench.out / f"trained-{architecture.name}.json", train)["accuracy"]


def held_out(bench: Bench, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and labels that no weight step of this seed sees."""
    _, part = split(bench.data.train_labels, bench.config.data.holdout, seed)
    return bench.data.train_images[part[:SCORED_IMAGES]], bench.data.train_labels[part[:SCORED_IMAGES]]


def piece(path: Path, work: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Done once, then read."""
    if not path.exists():
        found = work()
        path.write_text(json.dumps(found) + "\n")
        print(f"{path.stem}: {found}", flush=True)
    read: dict[str, float] = json.loads(path.read_text())
    return read


def zeros_of(space: Space, choices: Sequence[int]) -> int:
    """How many blocks are left out."""
    return sum(edge.candidates[index].kind == "zero" for edge, index in zip(space.edges, choices, strict=True))


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Least-squares slope of y over x; 0 where x does not vary."""
    mean_x, mean_y = statistics.fmean(x), statistics.fmean(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread if spread else 0.0


def summarise(runs: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Mean and every seed's value of each figure."""
    return {
        name: {"mean": statistics.fmean(run[name] for run in runs), "seeds": [run[name] for run in runs]}
        for name in runs[0]
    }


def show(figures: dict[str, dict[str, Any]]) -> None:
    """One row a way."""
    names = ["spearman", "score_minus_alone_per_zero", "zeros", "derived_accuracy"]
    print(f"{'warmup_paths':<20}" + "".join(f"{name:>42}" for name in names))
    for way, found in figures.items():
        cells = (f"{found[n]['mean']:.2f} ({', '.join(f'{v:.2f}' for v in found[n]['seeds'])})" for n in names)
        print(f"{way:<20}" + "".join(f"{cell:>42}" for cell in cells))


if __name__ == "__main__":
    main()
