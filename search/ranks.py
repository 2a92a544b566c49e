"""Several processes that compute one step together: what each takes of a batch, and what they tell each other.

Every rank holds the whole network, draws the same paths and takes an equal share of every batch; gradients are
averaged, so that all weights move alike. Everything passes through one sum over all ranks.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
from torch import Tensor
from torch import distributed as dist

from pocketnas_base.errors import InputError, PocketNASError

PATIENCE = timedelta(hours=2)
"""How long a rank waits for the others: rank 0 evaluates and writes alone meanwhile."""


class RankLostError(PocketNASError):
    """Another rank is gone, or has come to something else than this one."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """rank: which one this process is, of `size` in all; rank 0 writes files and measures devices. local: which one it
    is of the `local_size` on its host. With one rank every method gives back what it is given."""

    rank: int = 0
    size: int = 1
    local: int = 0
    local_size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the rank that writes."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Which of `count` images this rank takes. Raises InputError where they cannot be divided equally."""
        if count % self.size:
            raise InputError(
                f"a batch of {count} images cannot be divided equally among {self.size} ranks; "
                f"choose a batch_size that is a multiple of {self.size}"
            )
        part = count // self.size
        return slice(self.rank * part, (self.rank + 1) * part)

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all ranks of a detached tensor of any shape; the same bits on every rank."""
        return value if self.size == 1 else self._summed(value.detach().clone()) / self.size

    def gathered(self, value: Tensor) -> Tensor:
        """[size, ...]: every rank's tensor, all of one shape."""
        found = value.new_zeros(self.size, *value.shape)
        found[self.rank] = value
        # A sum with zeros gives each back to the bit, and every backend has it on every device.
        return found if self.size == 1 else self._summed(found)

    def total(self, value: Tensor) -> Tensor:
        """The sum over all ranks of a detached tensor of any shape; the same bits on every rank."""
        return value if self.size == 1 else self._summed(value.detach().clone())

    @torch.no_grad()
    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their means over all ranks, in place and in one message."""
        if self.size == 1 or not tensors:
            return
        flat = self._summed(torch.cat([tensor.reshape(-1) for tensor in tensors])).div_(self.size)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))

    def average_gradients(self, parameters: Iterator[torch.nn.Parameter]) -> None:
        """Average the gradients that are there: those of a sampled path, which is the same on every rank."""
        if self.size > 1:
            self.average([parameter.grad for parameter in parameters if parameter.grad is not None])

    def check_agreement(self, digest: bytes, device: torch.device, when: str) -> None:
        """Raises RankLostError, on every rank, unless all have the same digest (sha256)."""
        if self.size == 1:
            return
        found = self.gathered(torch.frombuffer(bytearray(digest), dtype=torch.uint8).to(device, torch.int32))
        other = [rank for rank in range(self.size) if not torch.equal(found[rank], found[0])]
        if other:
            raise RankLostError(
                f"rank {other[0]} does not agree with rank 0 {when}: all need the same configuration, table, images "
                f"and checkpoint (a run directory that every host sees), the same versions and the same kind of "
                f"processor"
            )

    @staticmethod
    def _summed(value: Tensor) -> Tensor:
        try:
            dist.all_reduce(value)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise RankLostError(
                f"another rank is gone ({reason}); the same command again goes on from the last checkpoint"
            ) from error
        return value


ALONE = Ranks()


def digest_of(tensors: Mapping[str, Tensor], numbers: object) -> bytes:
    """sha256 over tensors, their names included, and plain numbers."""
    found = hashlib.sha256(json.dumps(numbers, sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.digest()


@contextmanager
def joined(place: Ranks, *, device: torch.device, meeting: Path | None = None) -> Iterator[Ranks]:
    """All ranks together from here on: NCCL between GPUs, gloo between processors.

    meeting: a file, on one host, by which they find each other; None: the environment that torchrun sets.
    """
    if meeting is not None:
        # All on this host: nobody else has to be able to reach them.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    try:
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            init_method="env://" if meeting is None else f"file://{meeting.resolve()}",
            rank=place.rank,
            world_size=place.size,
            timeout=PATIENCE,
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise RankLostError(f"rank {place.rank} of {place.size} cannot meet the others: {reason}") from error
    try:
        yield place
    finally:
        dist.destroy_process_group()
