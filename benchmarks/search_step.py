"""What one step of the search costs, against an ordinary training step of the same sampled network.

Prints ratios measured within this one run, alternating the variants step by step; --json writes them as JSON.
Peak memory is what the step allocates at its highest point beyond what was there before (parameters and optimiser
state excluded on both sides), from the allocator's own events.

    python benchmarks/search_step.py --space demo --batch 128
    python benchmarks/search_step.py --space mobile --batch 8 --paths 3
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

# The profiler announces every start and stop otherwise.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

import torch
from torch import Tensor
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from latency.predict import CostModel
from search.architecture import assemble
from search.latency_loss import ExpectedLatency
from search.network import Network, channels_last
from search.paths import ArchitectureParameters, PathPair, sample_pair, sample_path
from search.seeds import seeded
from search.space import SearchSpace, load_space
from search.supernet import Supernet

Step = Callable[[], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="demo")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--paths", type=int, default=8, help="sampled networks")
    parser.add_argument("--repeats", type=int, default=3, help="steps of each variant per sampled network")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    space = load_space(arguments.space)
    figures = compare(space, arguments.batch, arguments.paths, arguments.repeats)
    threads = torch.get_num_threads()
    print(f"space {space.name}, batch {arguments.batch}, {arguments.paths} sampled networks, CPU, {threads} threads")
    print(f"{'step':<16}{'time ratio':>12}{'memory ratio':>14}   against a training step of the sampled network")
    for name, ratios in figures.items():
        print(f"{name:<16}{ratios['time_ratio']:>12.3f}{ratios['memory_ratio']:>14.3f}")
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"space": space.name, "batch": arguments.batch, **figures}, indent=2) + "\n"
        )


def compare(space: SearchSpace, batch: int, paths: int, repeats: int) -> dict[str, dict[str, float]]:
    """Median ratios over sampled networks of weight step, architecture step and all-candidates step."""
    torch.manual_seed(0)
    images = torch.randn(batch, space.image_channels, space.resolution, space.resolution)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, space.classes, (batch,))
    supernet = channels_last(Supernet(space))
    parameters = ArchitectureParameters([len(edge.candidates) for edge in space.edges], seeded(0, "alpha"))
    costs = CostModel(1.0, tuple(tuple(op.macs / 1e6 for op in edge.candidates) for edge in space.edges))
    expected = ExpectedLatency(costs)
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.01, momentum=0.9, nesterov=True)

    ratios: dict[str, list[tuple[float, float]]] = {"weight_step": [], "arch_step": [], "all_paths": []}
    for number in range(paths):
        pair = sample_pair(parameters.probabilities(), seeded(0, f"path {number}"))
        network = channels_last(Network(assemble(space, pair.active.tolist(), "sampled")))
        steps = steps_of(supernet, optimizer, parameters, expected, pair, images, labels)
        steps["ordinary"] = ordinary_step(network, images, labels)
        seconds = alternate(steps, repeats)
        peaks = {name: peak_bytes(step) for name, step in steps.items()}
        for name, found in ratios.items():
            found.append((seconds[name] / seconds["ordinary"], peaks[name] / peaks["ordinary"]))
    return {
        name: {
            "time_ratio": statistics.median(time_ratio for time_ratio, _ in found),
            "memory_ratio": statistics.median(memory_ratio for _, memory_ratio in found),
        }
        for name, found in ratios.items()
    }


def ordinary_step(network: Network, images: Tensor, labels: Tensor) -> Step:
    """A training step of one network, with an optimiser of its own."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    return lambda: train(lambda: network(images), labels, optimizer)


def steps_of(
    supernet: Supernet,
    optimizer: torch.optim.Optimizer,
    parameters: ArchitectureParameters,
    expected: ExpectedLatency,
    pair: PathPair,
    images: Tensor,
    labels: Tensor,
) -> dict[str, Step]:
    """The supernet's steps along one given path (sampling is timed as well; its outcome is discarded)."""
    path = pair.active.tolist()

    def weight_step() -> None:
        sample_path(parameters.probabilities(), seeded(0, "discarded"))
        train(lambda: supernet(images, path), labels, optimizer)

    def arch_step() -> None:
        for weight in supernet.parameters():
            weight.requires_grad_(False)
        loss = functional.cross_entropy(supernet.forward_pair(images, pair, parameters.alpha), labels)
        p = parameters.probabilities()
        (loss + expected.of_pair(parameters.alpha, p, pair)).backward()
        for weight in supernet.parameters():
            weight.requires_grad_(True)

    def all_paths() -> None:
        train(lambda: forward_all(supernet, images, parameters.probabilities()), labels, optimizer)

    return {"weight_step": weight_step, "arch_step": arch_step, "all_paths": all_paths}


def train(forward: Callable[[], Tensor], labels: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """One ordinary SGD step."""
    loss = functional.cross_entropy(forward(), labels, label_smoothing=0.1)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def forward_all(supernet: Supernet, x: Tensor, p: Tensor) -> Tensor:
    """The supernet without binarisation: every candidate runs, outputs are weighed by p (One-Shot, DARTS)."""
    for op in supernet.before:
        x = op(x)
    for edge, candidates in enumerate(supernet.edges):
        x = sum_of([p[edge, index] * op(x) for index, op in enumerate(candidates)])
    for op in supernet.after:
        x = op(x)
    return x


def sum_of(outputs: Sequence[Tensor]) -> Tensor:
    """Sum of equally shaped tensors."""
    total = outputs[0]
    for output in outputs[1:]:
        total = total + output
    return total


def alternate(steps: dict[str, Step], repeats: int) -> dict[str, float]:
    """Least seconds of each step, all of them taken in turn after one unmeasured turn."""
    best = dict.fromkeys(steps, float("inf"))
    for turn in range(repeats + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if turn:
                best[name] = min(best[name], time.perf_counter() - started)
    return best


def peak_bytes(step: Step) -> int:
    """Highest running sum of the allocator's events during one step."""
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
