"""When a session may stop: which of its jobs are known as well as was asked for."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from android_bench.job import Job
from android_bench.protocol import Protocol
from android_bench.reading import Reading, counts
from android_bench.statistics import is_settled


class Stopping:
    """Judges the jobs of a session by its rounds, in their order. What it says depends on nothing but what they hold,
    so a session that is resumed decides as it did before."""

    def __init__(self, protocol: Protocol, tolerated: Collection[str]) -> None:
        self._protocol, self._tolerated = protocol, tolerated
        self._medians: dict[tuple[str, str], list[float]] = defaultdict(list)

    def add(self, found: Iterable[Reading]) -> None:
        """A round is over; this is what it holds."""
        for reading in found:
            if reading.role == "job" and counts(reading, self._tolerated):
                self._medians[reading.job_id, reading.artifact_sha256].append(reading.median_ns)

    def open(self, jobs: Sequence[Job]) -> list[Job]:
        """Those of `jobs` that are not settled."""
        least, within = self._protocol.min_processes, self._protocol.settled_within
        return [job for job in jobs if not is_settled(self._medians[job.id, job.artifact.sha256], least, within)]
