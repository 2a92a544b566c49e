"""What is read back of a session: where it comes from, and each of its measurements."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from android_bench.schedule import Role
from android_bench.stated import Coverage, StatedRuns
from pocketnas_base.artifact import Runtime


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """Where the samples of one session come from. key: equal for sessions whose samples may be mixed.
    device, runners, protocol: plain JSON values."""

    key: str
    device_id: str
    device_fingerprint: str
    device: Mapping[str, object]
    runners: Mapping[str, Mapping[str, str]]
    protocol: Mapping[str, object]
    tool_version: str | None
    created_at: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """One measurement as stored: the samples of one artifact in one process. Arrays are int64, nanoseconds.

    process: the operating system's process, unique in the file; an official tool needs one for each model, and the
    whole series of them has one number. round: which of the protocol's processes it counts for; a round that was
    interrupted has several processes. load_ns, first_ns: None where the tool does not say. voids: the ids of the
    reasons why it should not be counted. stated: what a tool that prints no samples says of them; there are none then.
    coverage: of the graph by delegates, where the tool says so. warmup_stable, cpu_ns, waited_ns: as in
    `results.MeasurementLine`; None in samples of before they were asked for.
    """

    process: int
    round: int
    runtime: Runtime
    role: Role
    job_id: str
    artifact_sha256: str
    precision: str
    sequence: int
    started_ns: int
    load_ns: int | None
    first_ns: int | None
    warmup_ns: NDArray[np.int64]
    samples_ns: NDArray[np.int64]
    output_error: float | None
    cpus_allowed: str
    voluntary_switches: int | None
    involuntary_switches: int | None
    peak_rss_kb: int | None
    cores_ran: tuple[int, ...] = ()
    voids: tuple[str, ...] = ()
    stated: StatedRuns | None = None
    coverage: tuple[Coverage, ...] = ()
    warmup_stable: bool | None = None
    cpu_ns: int | None = None
    waited_ns: int | None = None

    @property
    def median_ns(self) -> float:
        """Median of the samples; what stands for them where a tool states no more than statistics."""
        return float(np.median(self.samples_ns)) if self.stated is None else self.stated.typical_ns

    @property
    def runs(self) -> int:
        """How many runs were timed."""
        return len(self.samples_ns) if self.stated is None else self.stated.count

    @property
    def middle_ns(self) -> int:
        """The device's clock halfway through the timed section."""
        timed = int(self.samples_ns.sum()) if self.stated is None else int(self.stated.count * self.stated.mean_ns)
        return self.started_ns + timed // 2


def counts(reading: Reading, tolerated: Collection[str] = ()) -> bool:
    """Whether a measurement counts: it is not void, or each of its reasons is tolerated."""
    return set(reading.voids) <= set(tolerated)
