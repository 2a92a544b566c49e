"""A job: one artifact to measure, with what it is fed and what it must answer."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pocketnas_base.artifact import Artifact, Runtime
from pocketnas_base.errors import InputError

MAX_ID_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Job:
    """One artifact under a name that is unique in its session.

    inputs, references: raw little-endian tensor files, one per input and one per output of the model, in the model's
      own order and memory layout; none: pseudo-random inputs, and outputs that only need to be finite.
    max_output_error: allowed max |output - reference| / max |reference|.
    """

    id: str
    artifact: Artifact
    inputs: tuple[Path, ...] = ()
    references: tuple[Path, ...] = ()
    max_output_error: float = 1e-4

    def __post_init__(self) -> None:
        if not self.id.isprintable() or not 1 <= len(self.id) <= MAX_ID_LENGTH:
            raise InputError(f"a job's id needs 1 to {MAX_ID_LENGTH} printable characters, not {self.id!r}")
        if self.references and not self.inputs:
            raise InputError(f"{self.id}: a reference without the inputs that it belongs to")
        if not 0 <= self.max_output_error < float("inf"):
            raise InputError(f"{self.id}: max_output_error must be a number from 0, not {self.max_output_error}")


def check_jobs(jobs: Sequence[Job]) -> None:
    """Raises InputError when there is nothing to do, or when two jobs share an id."""
    if not jobs:
        raise InputError("there is nothing to measure")
    seen: set[str] = set()
    for job in jobs:
        if job.id in seen:
            raise InputError(f"two jobs are named {job.id}")
        seen.add(job.id)


def pick_sentinels(jobs: Sequence[Job], named: Collection[str]) -> dict[Runtime, Job]:
    """One sentinel per runtime: the job that `named` holds, else the one whose file is of median size.

    Raises InputError when a name is no job's, or when two of one runtime are named.
    """
    unknown = set(named) - {job.id for job in jobs}
    if unknown:
        raise InputError(f"no job is named {sorted(unknown)[0]}, so it cannot be the sentinel")
    sentinels: dict[Runtime, Job] = {}
    for runtime in sorted({job.artifact.runtime for job in jobs}):
        own = [job for job in jobs if job.artifact.runtime == runtime]
        chosen = [job for job in own if job.id in named]
        if len(chosen) > 1:
            raise InputError(f"two sentinels are named for {runtime}: {chosen[0].id} and {chosen[1].id}")
        by_size = sorted(own, key=lambda job: (job.artifact.path.stat().st_size, job.id))
        sentinels[runtime] = chosen[0] if chosen else by_size[len(by_size) // 2]
    return sentinels
