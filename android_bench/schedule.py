"""In which order one process measures its models."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from android_bench.job import Job
from android_bench.protocol import Protocol

Role = Literal["job", "sentinel"]


@dataclass(frozen=True, slots=True)
class Step:
    """One model of one process: measured for itself, or as the sentinel."""

    job: Job
    role: Role


def schedule(jobs: Sequence[Job], sentinel: Job, protocol: Protocol, round_number: int) -> list[Step]:
    """The jobs in an order of this round's own, with the sentinel first, after every `sentinel_every` and last.

    Where a job stands depends on the seed, the round and its own id alone, so that a session that is resumed keeps
    the order of what is left.
    """

    def place(job: Job) -> bytes:
        return hashlib.sha256(f"{protocol.seed} {round_number} {job.id}".encode()).digest()

    steps = [Step(sentinel, "sentinel")]
    for index, job in enumerate(sorted(jobs, key=place), start=1):
        steps.append(Step(job, "job"))
        if index % protocol.sentinel_every == 0 or index == len(jobs):
            steps.append(Step(sentinel, "sentinel"))
    return steps
