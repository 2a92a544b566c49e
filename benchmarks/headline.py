"""The searches and a hand-made family at equal measured latency, and what each search costs.

Builds a table of the space on the device, runs ProxylessNAS, evolution, random search and train-each with several
seeds, trains every winner and a MobileNetV2 family by one recipe, measures all of them on the device in one session,
and prints: accuracy and latency of every method, how it stands to the family's front, and the search cost of
train-each until its winner is as accurate as ProxylessNAS's. Everything is kept in --folder; the same command goes on
there.

    python benchmarks/headline.py --jobs 2 --json headline.json        Fashion-MNIST, two cores
    python benchmarks/headline.py --quick                              the same in two minutes, to see that it works
    python benchmarks/headline.py --data cifar10 --images DIR          CIFAR-10 as Parquet files, on a GPU
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pieces import run_pieces, spent_by_train_each
from record import write_figures

from pocketnas.config import parse_config
from pocketnas.console import print_table, say
from pocketnas.measuring import open_device
from pocketnas.pipeline import run_one
from pocketnas.run_directory import RunDirectory
from pocketnas.searches.contest import Contest, Entry
from pocketnas.searches.family import family_of, measure_networks
from pocketnas.searches.names import SEARCHES, Method, SearchMethod
from pocketnas.searches.standing import Bounded, Spent, cost_ratio, latency_ratio, points_above
from pocketnas.searches.statistics import Estimate, mean_of
from pocketnas.stages.context import RunContext
from pocketnas_base.errors import PocketNASError
from pocketnas_base.files import read_json, sha256_bytes, write_json
from search.architecture import Architecture
from search.data.load import check_source
from search.strategies.front import Point

HERE = Path(__file__).parent
CONFIGS = {
    "fashion-mnist": HERE / "headline_fashion_mnist.toml",
    "cifar10": HERE / "headline_cifar10.toml",
    "quick": HERE / "headline_quick.toml",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fashion-mnist", choices=("fashion-mnist", "cifar10"))
    parser.add_argument("--images", help="where the images are; left out, as the configuration says")
    parser.add_argument("--device", "-d", help="where latency is measured; left out, this machine")
    parser.add_argument("--seeds", type=int, help="how many; 3, with --quick 2")
    parser.add_argument("--jobs", type=int, default=1, help="searches and trainings side by side")
    parser.add_argument("--quick", action="store_true", help="budgets too small to mean anything")
    parser.add_argument("--folder", type=Path, help="where everything is kept; left out, runs/NAME")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    if arguments.quick and arguments.data != "fashion-mnist":
        parser.error("--quick is on Fashion-MNIST; leave it or --data out")
    seeds = arguments.seeds or (2 if arguments.quick else 3)
    directory = opened(CONFIGS["quick" if arguments.quick else arguments.data], arguments)
    RunContext(directory).torch_device()  # no GPU where one is asked for: said before hours of measuring
    if not directory.is_done("table"):
        run_one(directory, "table")
    bench = Headline(Contest(RunContext(directory)), range(seeds), arguments.jobs)
    figures = bench.figures()
    show(figures)
    if arguments.json:
        write_figures(arguments.json, figures)


def opened(template: Path, arguments: argparse.Namespace) -> RunDirectory:
    """The run of this configuration, begun or gone on with."""
    text = template.read_text()
    for key, value in (("source", arguments.images), ("device", arguments.device)):
        if value is not None:
            lines = [f"{key} = {json.dumps(value)}" if line.startswith(f"{key} = ") else line for line in
                     text.splitlines()]  # fmt: skip
            text = "\n".join(lines) + "\n"
    config = parse_config(text.encode(), source=str(template))
    check_source(config.data.source)  # no images: said before the run is begun
    path = arguments.folder or Path("runs") / config.name
    if not (path / "config.toml").exists():
        return RunDirectory.create(path, config, text.encode())
    if (path / "config.toml").read_text() != text:
        raise SystemExit(f"{path} holds another benchmark; name another --folder")
    return RunDirectory.open(path)


@dataclass(frozen=True, slots=True)
class Headline:
    """A contest with whole families, measured."""

    contest: Contest
    seeds: range
    jobs: int

    def figures(self) -> dict[str, Any]:
        """Run whatever is missing, then everything that is said."""
        contest, started = self.contest, time.monotonic()
        contest.context.limit_threads()
        family = family_of(contest.context, contest.table, contest.folder)
        if self.jobs > 1:
            run_pieces(contest.context.directory.path, self.seeds, self.jobs)
        entries = list(contest.entries(SEARCHES, self.seeds))
        accuracies = {seed: [self._trained(net, seed) for net in family.members] for seed in self.seeds}
        spent = [spent_by_train_each(contest, seed) for seed in self.seeds]
        winners = {(each.method, each.seed): self._winner(each) for each in entries}
        measured = self._measured([*winners.values(), *family.members])
        families = [
            [
                Point(net.name, measured[net.name], top1)
                for net, top1 in zip(family.members, accuracies[seed], strict=True)
            ]
            for seed in self.seeds
        ]
        methods = {name: self._method(name, entries, winners, measured, families) for name in SEARCHES}
        ours = [
            Spent(each.ledger.seconds, each.ledger.images_trained, 0, each.accuracy)
            for each in entries
            if each.method == "proxyless"
        ]
        return {
            **self._circumstances(),
            "methods": methods,
            "family": [
                {
                    "name": net.name,
                    "latency_ms": measured[net.name],
                    "accuracy": asdict(mean_of([accuracies[seed][number] for seed in self.seeds])),
                }
                for number, net in enumerate(family.members)
            ],
            "train_each_over_proxyless": {
                figure: bounded(cost_ratio(spent, ours, figure)) for figure in ("seconds", "images")
            },
            "seconds_in_this_call": time.monotonic() - started,
        }

    def _circumstances(self) -> dict[str, Any]:
        contest, config = self.contest, self.contest.context.config
        device = open_device(config.device, config.devices)
        return {
            "device": device.info.model or device.id,
            "soc": device.info.soc,
            "trained_on": self._trained_on(),
            "data": config.data.source,
            "space": contest.context.space.name,
            "runtime": config.table.runtime,
            "target_ms": contest.target_ms,
            "seeds": list(self.seeds),
        }

    def _trained_on(self) -> str:
        device = self.contest.context.torch_device()
        return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"

    def _trained(self, net: Architecture, seed: int) -> float:
        say(f"{net.name}, seed {seed} ...")
        return self.contest.train(net, seed)

    def _winner(self, entry: Entry) -> Architecture:
        return Architecture.load(self.contest.place(entry.method, entry.seed) / "architecture.json")

    def _measured(self, nets: list[Architecture]) -> dict[str, float]:
        """Latency in ms by name, in one session; kept, unless the networks change."""
        contest, kept = self.contest, self.contest.folder / "measured.json"
        content = sha256_bytes(json.dumps([[net.name, *(op.key for op in net.ops)] for net in nets]).encode())
        if kept.exists():
            plain: Any = read_json(kept, what="measurement")
            if plain["content"] == content:
                return dict(plain["latency_ms"])
        config = contest.context.config
        device = open_device(config.device, config.devices)
        measured = measure_networks(contest.context, contest.table, device, nets, contest.folder)
        write_json(kept, {"content": content, "latency_ms": measured})
        return measured

    def _method(
        self,
        name: SearchMethod,
        entries: list[Entry],
        winners: dict[tuple[Method, int], Architecture],
        measured: dict[str, float],
        families: list[list[Point]],
    ) -> dict[str, Any]:
        own = [entry for entry in entries if entry.method == name]
        points = [
            Point(winners[name, entry.seed].name, measured[winners[name, entry.seed].name], entry.accuracy)
            for entry in own
        ]
        above = points_above(points, families)
        return {
            "accuracy": asdict(mean_of([point.accuracy for point in points])),
            "measured_ms": asdict(mean_of([point.latency_ms for point in points])),
            "predicted_ms": asdict(mean_of([entry.latency_ms for entry in own])),
            "search_seconds": asdict(mean_of([entry.ledger.seconds for entry in own])),
            "images_trained": mean_of([entry.ledger.images_trained for entry in own]).value,
            "candidates_trained": mean_of([entry.ledger.candidates_trained for entry in own]).value,
            "candidates_evaluated": mean_of([entry.ledger.candidates_evaluated for entry in own]).value,
            "points_above_family": None if above is None else asdict(above),
            "times_as_fast_as_family": bounded(latency_ratio(points, families)),
            "winners": [asdict(point) for point in points],
        }


def bounded(figure: Bounded) -> dict[str, Any]:
    """For the JSON document and for people."""
    return {**asdict(figure), "text": figure.text}


def show(figures: dict[str, Any]) -> None:
    """The figures as tables."""
    title = (
        f"{figures['space']} on {figures['data']}, target {figures['target_ms']:.3f} ms, {len(figures['seeds'])} seeds"
    )
    methods = figures["methods"]
    cost = [
        [
            name,
            shown(method["accuracy"], ".2f"),
            shown(method["measured_ms"], ".3f"),
            shown(method["search_seconds"], ".0f"),
            f"{method['candidates_trained']:g}",
        ]
        for name, method in methods.items()
    ]
    print_table(["method", "top-1 %", "measured ms", "search s", "candidates trained"], cost, title=title)
    standing = [
        [
            name,
            "outside it" if method["points_above_family"] is None else shown(method["points_above_family"], "+.2f"),
            method["times_as_fast_as_family"]["text"],
        ]
        for name, method in methods.items()
    ]
    print_table(["against the family", "points at equal ms", "times as fast at equal top-1"], standing)
    family = [[net["name"], f"{net['latency_ms']:.3f}", shown(net["accuracy"], ".2f")] for net in figures["family"]]
    print_table(["family", "measured ms", "top-1 %"], family)
    for figure, ratio in figures["train_each_over_proxyless"].items():
        print(f"train-each until as accurate as proxyless, over proxyless, in {figure}: {ratio['text']}")
    print("in brackets: 95 % bootstrap interval over seeds; against the family: its front, seed by seed")


def shown(estimate: dict[str, float | None], form: str) -> str:
    """`91.20 [90.90, 91.50]`."""
    plain = Estimate(**estimate)  # type: ignore[arg-type]
    if plain.low is None or plain.high is None:
        return format(plain.value, form)
    return f"{plain.value:{form}} [{plain.low:{form}}, {plain.high:{form}}]"


if __name__ == "__main__":
    try:
        main()
    except PocketNASError as error:
        raise SystemExit(f"headline: {error}") from None
