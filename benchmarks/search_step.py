"""What one step of the search costs in each mode, against an ordinary training step of the same sampled network.

weight_step: of the supernet's weights. arch_step: the two-path update; those of the other modes have their names behind
it, and reinforce and tunas run networks of their own choice, `--samples` of them. all_paths: a weight step in which
every candidate runs with gradients and outputs are weighed by their probabilities (One-Shot, DARTS).
Prints ratios measured within this one run, alternating the variants step by step; --json writes them as JSON.
Peak memory is what the step allocates at its highest point beyond what was there before (parameters and optimiser
state excluded on both sides), from the allocator's own events.

    python benchmarks/search_step.py --space demo --batch 128
    python benchmarks/search_step.py --space mobile --batch 8 --paths 3
    python benchmarks/search_step.py --space mobile --batch 8 --paths 3 --original ../proxylessnas

--original DIR: a checkout of the original implementation (mit-han-lab/proxylessnas). Its weight step and its two-path
architecture step take turns with ours, along the same paths, with the same batch and threads.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

# The profiler announces every start and stop otherwise.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

import torch
from original import Original, OriginalSteps, import_original
from record import write_figures
from torch import Tensor
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from latency.predict import CostModel
from search.accelerator import torch_device
from search.architecture import assemble
from search.choices import REWARD_MODES, UpdateMode
from search.latency_loss import ExpectedLatency, LatencyLoss
from search.layout import Space
from search.network import Network, channels_last
from search.paths import ArchitectureParameters, PathPair, rescale_pair, sample_pair, sample_path
from search.seeds import seeded
from search.space import load_space
from search.supernet import Supernet
from search.updates.all_paths import gated_logits
from search.updates.choose import make_update
from search.updates.one_path import recomputed_logits
from search.updates.two_path import pair_logits
from search.updates.update import SearchParts, descend

WEIGHT = 0.1
OURS = ("weight_step", "arch_step")

Step = Callable[[], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="demo")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--paths", type=int, default=8, help="sampled networks")
    parser.add_argument("--repeats", type=int, default=3, help="steps of each variant per sampled network")
    parser.add_argument("--samples", type=int, default=10, help="networks per update of reinforce and tunas")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--original", type=Path, metavar="DIR", help="a checkout of mit-han-lab/proxylessnas")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    space, device = load_space(arguments.space), torch_device(arguments.device)
    original = import_original(arguments.original, space) if arguments.original else None
    figures, speedups = compare(
        space, arguments.batch, arguments.paths, arguments.repeats, arguments.samples, device, original
    )
    where = f"CPU, {torch.get_num_threads()} threads" if device.type == "cpu" else torch.cuda.get_device_name(device)
    print(f"space {space.name}, batch {arguments.batch}, {arguments.paths} sampled networks, {where}")
    print(f"{'step':<24}{'time ratio':>12}{'memory ratio':>14}   against a training step of the sampled network")
    for name, ratios in figures.items():
        print(f"{name:<24}{ratios['time_ratio']:>12.3f}{ratios['memory_ratio']:>14.3f}")
    for name, speedup in speedups.items():
        print(f"original over ours, {name}: {speedup:.3f} times the time")
    if arguments.json:
        measured = {"space": space.name, "batch": arguments.batch, "samples": arguments.samples, "where": where}
        beside = {"original_over_ours": speedups} if speedups else {}
        write_figures(arguments.json, {**measured, **figures, **beside})


def compare(
    space: Space,
    batch: int,
    paths: int,
    repeats: int,
    samples: int,
    device: torch.device,
    original: Original | None = None,
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Median ratios over sampled networks of every kind of step; and the original's time over ours of the same step,
    where there is an original."""
    torch.manual_seed(0)
    images = torch.randn(batch, space.image_channels, space.resolution, space.resolution)
    images = images.contiguous(memory_format=torch.channels_last).to(device)
    labels = torch.randint(0, space.classes, (batch,)).to(device)
    supernet = channels_last(Supernet(space)).to(device)
    parameters = ArchitectureParameters([len(edge.candidates) for edge in space.edges], seeded(0, "alpha")).to(device)
    costs = CostModel(1.0, tuple(tuple(op.macs / 1e6 for op in edge.candidates) for edge in space.edges))
    target_ms = costs.latency_ms([0] * len(space.edges))
    loss = LatencyLoss("add#linear", target_ms)
    parts = SearchParts(supernet, parameters, costs, ExpectedLatency(costs), loss)
    optimizers = Optimizers(
        torch.optim.SGD(supernet.parameters(), lr=0.01, momentum=0.9, nesterov=True),
        torch.optim.Adam(parameters.parameters(), lr=1e-3, betas=(0.0, 0.999)),
    )
    theirs = OriginalSteps(original, space, loss, WEIGHT, device) if original else None

    found: dict[str, list[tuple[float, float]]] = {}
    speedups: dict[str, list[float]] = {name: [] for name in OURS if theirs}
    for number in range(paths):
        pair = sample_pair(parameters.probabilities(), seeded(0, f"path {number}"))
        network = channels_last(Network(assemble(space, pair.active.tolist(), "sampled"))).to(device)
        steps = steps_of(parts, optimizers, pair, images, labels)
        for mode in REWARD_MODES:
            steps[f"arch_step_{mode}"] = reward_step(mode, parts, optimizers, samples, images, labels)
        if theirs:
            steps |= theirs.along(pair, images, labels)
        steps["ordinary"] = ordinary_step(network, images, labels)
        seconds = alternate(steps, repeats, device)
        peaks = {name: peak_bytes(step, device) for name, step in steps.items()}
        for name in steps:
            ratio = (seconds[name] / seconds["ordinary"], peaks[name] / peaks["ordinary"])
            found.setdefault(name, []).append(ratio)
        for name, ratios in speedups.items():
            ratios.append(seconds[f"original_{name}"] / seconds[name])
    del found["ordinary"]
    figures = {
        name: {
            "time_ratio": statistics.median(time_ratio for time_ratio, _ in ratios),
            "memory_ratio": statistics.median(memory_ratio for _, memory_ratio in ratios),
        }
        for name, ratios in found.items()
    }
    return figures, {name: statistics.median(ratios) for name, ratios in speedups.items()}


@dataclass(frozen=True)
class Optimizers:
    """Of the supernet's weights, and of alpha."""

    weights: torch.optim.Optimizer
    alpha: torch.optim.Optimizer


def ordinary_step(network: Network, images: Tensor, labels: Tensor) -> Step:
    """A training step of one network, with an optimiser of its own."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    return lambda: train(lambda: network(images), labels, optimizer)


def steps_of(
    parts: SearchParts, optimizers: Optimizers, pair: PathPair, images: Tensor, labels: Tensor
) -> dict[str, Step]:
    """The supernet's steps along one given path (sampling is timed as well; its outcome is discarded)."""
    supernet, parameters, path = parts.supernet, parts.parameters, pair.active.tolist()

    def weight_step() -> None:
        sample_path(parameters.probabilities(), seeded(0, "discarded"))
        train(lambda: supernet(images, path), labels, optimizers.weights)

    def two_path() -> None:
        p = parameters.probabilities()
        before = parts.alpha.detach().clone()
        sample_pair(p, seeded(0, "discarded"))
        logits = pair_logits(supernet, images, pair, parts.alpha)
        descend(parts, logits, labels, parts.expected.of_pair(parts.alpha, p, pair), WEIGHT)
        optimizers.alpha.step()
        rescale_pair(parts.alpha, before, pair)

    def one_path() -> None:
        p = parameters.probabilities()
        sample_path(p, seeded(0, "discarded"))
        logits = recomputed_logits(supernet, images, path, parts.alpha)
        descend(parts, logits, labels, parts.expected.of(p), WEIGHT)
        optimizers.alpha.step()

    def all_paths() -> None:
        p = parameters.probabilities()
        sample_path(p, seeded(0, "discarded"))
        gates = functional.one_hot(torch.tensor(path), p.shape[1]).to(p).requires_grad_()
        logits = gated_logits(supernet, images, path, gates)
        descend(parts, logits, labels, parts.expected.of(p), WEIGHT)
        optimizers.alpha.step()

    def weighed() -> None:
        train(lambda: forward_all(supernet, images, parameters.probabilities()), labels, optimizers.weights)

    return {
        "weight_step": weight_step,
        "arch_step": architecture_step(parts, optimizers, two_path),
        "arch_step_one_path": architecture_step(parts, optimizers, one_path),
        "arch_step_all_paths": architecture_step(parts, optimizers, all_paths),
        "all_paths": weighed,
    }


def reward_step(
    mode: UpdateMode, parts: SearchParts, optimizers: Optimizers, samples: int, images: Tensor, labels: Tensor
) -> Step:
    """An update by reward, of `samples` networks of its own choice."""
    update = make_update(mode, parts, samples=samples, baseline_decay=0.95, reward_exponent=0.1, reward_beta=-0.1)

    def step() -> None:
        update.backward(images, labels, WEIGHT, seeded(0, "sampled"))
        optimizers.alpha.step()

    return architecture_step(parts, optimizers, step)


def architecture_step(parts: SearchParts, optimizers: Optimizers, work: Step) -> Step:
    """What every mode has around it."""

    def step() -> None:
        optimizers.alpha.zero_grad(set_to_none=True)
        with parts.supernet.weights_frozen():
            work()

    return step


def train(forward: Callable[[], Tensor], labels: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """One ordinary SGD step."""
    loss = functional.cross_entropy(forward(), labels, label_smoothing=0.1)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def forward_all(supernet: Supernet, x: Tensor, p: Tensor) -> Tensor:
    """The supernet without binarisation: every candidate runs, outputs are weighed by p (One-Shot, DARTS)."""
    return supernet.walk(
        x,
        lambda edge, inner: sum_of([p[edge, index] * op(inner) for index, op in enumerate(supernet.candidates(edge))]),
    )


def sum_of(outputs: Sequence[Tensor]) -> Tensor:
    """Sum of equally shaped tensors."""
    total = outputs[0]
    for output in outputs[1:]:
        total = total + output
    return total


def alternate(steps: dict[str, Step], repeats: int, device: torch.device) -> dict[str, float]:
    """Least seconds of each step, all of them taken in turn after one unmeasured turn."""
    best = dict.fromkeys(steps, float("inf"))
    for turn in range(repeats + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn:
                best[name] = min(best[name], time.perf_counter() - started)
    return best


def peak_bytes(step: Step, device: torch.device) -> int:
    """Highest running sum of the allocator's events during one step."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        step()
    events = recorded.profiler.kineto_results.events()
    current = peak = 0
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        current += event.nbytes()
        peak = max(peak, current)
    return peak


if __name__ == "__main__":
    main()
