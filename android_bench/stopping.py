"""When a session may stop: which of its jobs are known as well as was asked for."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from statistics import median_high

from android_bench.job import Job
from android_bench.protocol import Protocol
from android_bench.reading import Reading, counts
from android_bench.statistics import is_settled, undisturbed_share

MISSED = 0.005
"""How likely a job may be left without a single process that nothing disturbed."""


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
        """Those of `jobs` that are not settled, or that had fewer processes than this session takes to be sure that
        one of them was undisturbed (`enough_processes`)."""
        within = self._protocol.settled_within
        medians = [self._medians[job.id, job.artifact.sha256] for job in jobs]
        least = max(self._protocol.min_processes, enough_processes(medians, within))
        return [job for job, own in zip(jobs, medians, strict=True) if not is_settled(own, least, within)]


def enough_processes(medians: Iterable[Sequence[float]], within: float) -> float:
    """How many processes each job of a session needs, told from the process medians of all of them.

    A job whose processes were all disturbed alike looks settled by itself; what the other jobs found shows how likely
    that is. Of n processes all are disturbed with probability (1 - share)^n, share being that of undisturbed ones
    (`undisturbed_share`, of all jobs the upper median, so that a few which scatter by themselves do not decide): n is
    the least for which that is `MISSED` or less. Infinite while every process differs; 1 where no job had two.
    """
    shares = [share for own in medians if (share := undisturbed_share(own, within)) is not None]
    share = median_high(shares) if shares else 1.0
    if share in (0.0, 1.0):
        return 1 if share else math.inf
    return math.ceil(math.log(MISSED) / math.log1p(-share))
