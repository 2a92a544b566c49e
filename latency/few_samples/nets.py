"""Nets: what the latency of whole networks may depend on, as plain arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketnas_base.errors import InputError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MAX_NETS = 1_000_000
MAX_COLUMNS = 2_000


@dataclass(frozen=True, eq=False)
class Nets:
    """Networks of one space, one row each.

    groups: features by name, arrays of shape (nets, columns). The columns of a group share one scale: they are counts
      of like things, or already divided by their usual spread. How much a group matters is learned from measurements,
      so a coarse group (how often each operator occurs) may stand beside a fine one (which operator stands where).
    ways: the same networks as devices may run them, where that is not the same for all: with every operator executed,
      and without those that cannot reach the output. Their features are this network's in that case; empty otherwise.
    """

    space: str
    groups: Mapping[str, FloatArray]
    ways: "tuple[Nets, ...]" = ()

    def __post_init__(self) -> None:
        if not self.groups:
            raise InputError(f"nets of {self.space}: no features; give at least one group")
        rows = {len(columns) for columns in self.groups.values()}
        if len(rows | {len(way) for way in self.ways}) != 1:
            raise InputError(f"nets of {self.space}: the groups of features have different numbers of nets")
        if not 1 <= len(self) <= MAX_NETS:
            raise InputError(f"nets of {self.space}: {len(self)} nets; 1 to {MAX_NETS} can be handled")
        for name, columns in self.groups.items():
            if columns.ndim != 2 or columns.shape[1] < 1 or columns.dtype != np.float64:
                raise InputError(f"nets of {self.space}: group {name} must be a float64 array (nets, columns)")
            if not np.isfinite(columns).all():
                raise InputError(f"nets of {self.space}: group {name} holds a value that is not a finite number")
        if (width := sum(columns.shape[1] for columns in self.groups.values())) > MAX_COLUMNS:
            raise InputError(f"nets of {self.space}: {width} features; at most {MAX_COLUMNS} can be handled")

    def __len__(self) -> int:
        return len(next(iter(self.groups.values())))

    def take(self, rows: Sequence[int] | IntArray) -> "Nets":
        """The nets at `rows`, in that order. Raises InputError for none, and for a row that does not exist."""
        index = np.asarray(rows, dtype=np.int64)
        if index.ndim != 1 or len(index) == 0 or index.min() < 0 or index.max() >= len(self):
            raise InputError(f"nets of {self.space}: rows to take must be whole numbers from 0 to {len(self) - 1}")
        groups = {name: columns[index] for name, columns in self.groups.items()}
        return Nets(self.space, groups, tuple(way.take(index) for way in self.ways))


def one_hot(choices: IntArray, count: int) -> FloatArray:
    """(nets, places) of choices 0 to count - 1, as (nets, places * count) zeros and ones."""
    return np.asarray(choices[:, :, None] == np.arange(count), dtype=np.float64).reshape(len(choices), -1)


def counts(choices: IntArray, count: int) -> FloatArray:
    """How often each choice occurs in each net: (nets, count)."""
    return np.asarray((choices[:, :, None] == np.arange(count)).sum(axis=1), dtype=np.float64)
