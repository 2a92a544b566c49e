"""A comparison of searches: every method with every seed, each kept as soon as it is done."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pocketnas.console import progress_bar, say
from pocketnas.searches.family import Family, family_of
from pocketnas.searches.methods import build_strategy
from pocketnas.searches.names import Method, SearchMethod
from pocketnas.searches.network import train_network
from pocketnas.searches.problems import weights_problem
from pocketnas.stages.context import RunContext
from pocketnas.stages.search import limit_of, target_of
from pocketnas_base.errors import InputError
from pocketnas_base.files import write_json
from search.architecture import Architecture, assemble

if TYPE_CHECKING:
    from search.strategies.front import Point
    from search.strategies.ledger import Ledger
    from search.strategies.problem import Problem
    from search.strategies.strategy import Found, Strategy


@dataclass(frozen=True, slots=True)
class Entry:
    """How one method did with one seed.

    ledger: what its search cost; of the family, which is not searched, nothing. latency_ms: the winner's, predicted by
    the run's table; of the family the target itself. accuracy: test top-1 in percent of the winner, trained from
    scratch; of the family what its front reaches at the target, between the two members next to it. networks: what was
    trained, with latency and accuracy.
    """

    method: Method
    seed: int
    ledger: "Ledger"
    latency_ms: float
    accuracy: float
    networks: "tuple[Point, ...]"


class Contest:
    """A run's comparison. Everything lies in its directory under `compare`, by method and seed. on_ray: see
    build_strategy."""

    def __init__(self, context: RunContext, *, on_ray: bool = False) -> None:
        self.on_ray = on_ray
        self.context, self.folder = context, context.directory.path / "compare"
        self.table = context.table()
        self.costs = context.costs(self.table)
        target_ms = target_of(context.config.search, context.space, self.costs)
        limit_ms = limit_of(context)
        self.target_ms = target_ms if limit_ms is None else min(target_ms, limit_ms)

    def entries(self, methods: Sequence[Method], seeds: Sequence[int]) -> Iterator[Entry]:
        """Every method with every seed, seed by seed, so that a comparison stopped early has whole seeds."""
        self.context.limit_threads()
        family = self.family() if "mobilenet-v2" in methods else None
        for seed in seeds:
            for method in methods:
                say(f"{method}, seed {seed} ...")
                if method == "mobilenet-v2":
                    assert family is not None
                    yield self._hand_made(family, seed)
                else:
                    yield self._searched(method, seed)

    def family(self) -> Family:
        """The hand-made nets with their latencies. Raises InputError where the target does not lie among them."""
        from search.strategies.front import around

        family = family_of(self.context, self.table, self.folder)
        if family.missing and len(family.members) < 2:
            raise InputError(
                f"the latency of {', '.join(family.missing)} is not known: the table of {self.table.name} lacks their "
                "widths and is not of the run's device; leave mobilenet-v2 out of --methods"
            )
        around(family.latency_ms, self.target_ms)
        return family

    def problem(self, seed: int) -> "Problem":
        """What every search is given."""
        from search.strategies.problem import Problem

        with progress_bar("data") as progress:
            weights = weights_problem(self.context, seed, progress)
        return Problem.of(weights, self.costs, self.target_ms)

    def search(self, method: SearchMethod, seed: int) -> "tuple[Strategy, Found]":
        """Run one search to its end, or read how it ended."""
        from search.strategies.strategy import run_strategy

        strategy = build_strategy(method, self.context.config, self.problem(seed), on_ray=self.on_ray)
        with progress_bar(method) as progress:
            return strategy, run_strategy(strategy, self.place(method, seed) / "search.safetensors", progress)

    def place(self, method: Method, seed: int) -> Path:
        """The folder of one method with one seed."""
        return self.folder / f"{method}-{seed}"

    def train(self, architecture: Architecture, seed: int) -> float:
        """Test top-1 in percent of a network trained by the run's recipe."""
        with progress_bar("train") as progress:
            return train_network(self.context, architecture, seed, self.folder / "networks", progress)

    def _searched(self, method: SearchMethod, seed: int) -> Entry:
        from search.strategies.front import Point

        _, found = self.search(method, seed)
        architecture = assemble(self.context.space, found.choices, f"{method}-{seed}")
        architecture.save(self.place(method, seed) / "architecture.json")
        write_json(self.place(method, seed) / "curve.json", found.curve)
        latency_ms, accuracy = self.costs.latency_ms(found.choices), self.train(architecture, seed)
        winner = Point(architecture.name, latency_ms, accuracy)
        return self._kept(Entry(method, seed, found.ledger, latency_ms, accuracy, (winner,)))

    def _hand_made(self, family: Family, seed: int) -> Entry:
        from search.strategies.front import Point, accuracy_at, around
        from search.strategies.ledger import Ledger

        beside = around(family.latency_ms, self.target_ms)
        points = [
            Point(family.members[index].name, family.latency_ms[index], self.train(family.members[index], seed))
            for index in beside
        ]
        accuracy = accuracy_at(points, self.target_ms)
        assert accuracy is not None  # the target lies between the two
        return self._kept(Entry("mobilenet-v2", seed, Ledger(), self.target_ms, accuracy, tuple(points)))

    def _kept(self, entry: Entry) -> Entry:
        write_json(self.place(entry.method, entry.seed) / "entry.json", asdict(entry))
        return entry
