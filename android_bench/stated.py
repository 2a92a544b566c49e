"""What an official tool says of its runs, where it does not print them one by one."""

from dataclasses import dataclass
from typing import Literal

Statistic = Literal["median", "mean"]


@dataclass(frozen=True, slots=True)
class StatedRuns:
    """A series of timed runs that is known by its statistics alone, in ns.

    median_ns and those after it: None where the tool does not print them. load_ns, first_ns: of loading the model and
    of its very first run, None likewise.
    """

    count: int
    mean_ns: float
    median_ns: float | None = None
    min_ns: float | None = None
    max_ns: float | None = None
    std_ns: float | None = None
    p5_ns: float | None = None
    p95_ns: float | None = None
    load_ns: int | None = None
    first_ns: int | None = None

    @property
    def statistic(self) -> Statistic:
        """Which of the statistics stands for the series."""
        return "mean" if self.median_ns is None else "median"

    @property
    def typical_ns(self) -> float:
        """The median, or the mean where the tool prints no median."""
        return self.mean_ns if self.median_ns is None else self.median_ns


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a model's graph one delegate runs, in how many parts.

    nodes, of_nodes: operators that it took over, and how many there were; None where the build does not print them.
    complete: whether nothing of the graph was left to others.
    """

    delegate: str
    nodes: int | None
    of_nodes: int | None
    partitions: int
    complete: bool


@dataclass(frozen=True, slots=True)
class StatedMeasurement:
    """One model in one process of an official tool. sequence: its place in the series of processes. started_ns: the
    device's clock when timing began. cpus_allowed: where it was allowed to run, a hexadecimal mask."""

    sequence: int
    started_ns: int
    cpus_allowed: str
    runs: StatedRuns
    coverage: tuple[Coverage, ...] = ()
