"""What several stages need of a run: its space, its data, its table."""

import os
from functools import cached_property
from typing import TYPE_CHECKING

from latency.predict import CostModel
from latency.table import LatencyTable
from pocketnas.run_directory import RunDirectory
from pocketnas.space_costs import costs_of
from pocketnas_base.errors import InputError
from pocketnas_base.progress import Progress
from search.architecture import Architecture
from search.data.dataset import ImageData
from search.layout import Space
from search.space import load_space

if TYPE_CHECKING:
    import torch

    from search.ranks import Ranks


class RunContext:
    """A run directory and what it holds, each read once."""

    def __init__(self, directory: RunDirectory, *, use_table: str | None = None, max_ms: float | None = None) -> None:
        """use_table: a table to take over, whatever the configuration says of it. max_ms: what no derived net may be
        predicted to exceed, where the configuration does not say."""
        self.directory = directory
        self.config = directory.config
        self.use_table = use_table or directory.config.table.use
        self.max_ms = max_ms
        self._data: ImageData | None = None

    @cached_property
    def space(self) -> Space:
        """The run's search space."""
        return load_space(self.directory.space_name)

    def data(self, progress: Progress) -> ImageData:
        """The run's images, in the space's resolution and channels. Raises DataError."""
        from search.data.load import load_data

        if self._data is None:
            self._data = load_data(
                self.config.data.source,
                resolution=self.space.resolution,
                channels=self.space.image_channels,
                classes=self.space.classes,
                progress=progress,
            )
        return self._data

    def limit_threads(self, place: "Ranks | None" = None) -> None:
        """Give torch the run's host threads: results are reproducible only for one and the same number of them. place:
        which of several ranks this is; where the run does not say how many threads, they share the host's cores."""
        import torch

        threads = self.config.host_threads
        if threads is None and place is not None and place.local_size > 1:
            threads = max(1, len(os.sched_getaffinity(0)) // place.local_size)
        if threads is not None:
            torch.set_num_threads(threads)

    def torch_device(self, place: "Ranks | None" = None) -> "torch.device":
        """Where search and training compute; place: which of several ranks this is. Raises InputError where the run
        asks for a GPU and there is none."""
        from search.accelerator import torch_device

        return torch_device(self.config.accelerator, place)

    def table(self) -> LatencyTable:
        """The run's table. Raises InputError when it is missing or was built for another space."""
        path = self.directory.table
        if not path.exists():
            raise InputError(f"{path} does not exist; build it first: pocketnas table build {self.directory.path}")
        table = LatencyTable.load(path)
        if table.info.space_fingerprint not in (None, self.space.fingerprint):
            raise InputError(
                f"table {path} was built for another space ({table.info.space}), this run searches {self.space.name}; "
                f"delete it and build one: pocketnas table build {self.directory.path}"
            )
        return table

    def costs(self, table: LatencyTable) -> CostModel:
        """What each candidate of the space costs by the table."""
        return costs_of(table, self.space)

    def architecture(self) -> Architecture:
        """The derived architecture. Raises InputError before the search has ended."""
        path = self.directory.architecture
        if not path.exists():
            raise InputError(f"{path} does not exist; search first: pocketnas search {self.directory.path}")
        return Architecture.load(path)
