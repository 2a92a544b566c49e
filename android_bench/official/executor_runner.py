"""ExecuTorch's executor_runner: what it is told, and what becomes of its answer."""

import math
from collections.abc import Sequence
from itertools import accumulate
from statistics import median

from android_bench.job import Job
from android_bench.official.launch import Ended, Launcher, ModelFailedError
from android_bench.parsers.executor_runner import ExecutorLog, parse_executor_runner
from android_bench.process import LOAD_ALLOWANCE_S
from android_bench.protocol import Protocol
from android_bench.results import ErrorLine, MeasurementLine
from android_bench.stated import StatedMeasurement, StatedRuns
from pocketnas_base.errors import MeasurementError

_NS_PER_MS = 1_000_000
# Each execution prints a line, and a phone's own log may hold no more than 256 KiB of them.
MAX_EXECUTIONS = 2000
# It cannot be told how long to run, only how often: a tenth more than would do if all were alike.
_MARGIN = 1.1
# Not every build has the latter two; gflags passes over what is named here and missing there.
_QUIET = ("--undefok=print_output,etdump_path", "--print_output=none", "--etdump_path=/dev/null")
_TRACED = b"ETDump written to file"
_LOGCAT_TIMEOUT_S = 30.0


class ExecutorRunner:
    """See `tool.Tool`. Builds since April 2026 print every execution, older ones how long all of them took together.
    It has no warm-up, sets all inputs to ones, and takes no time limit."""

    def __init__(self, launcher: Launcher, protocol: Protocol) -> None:
        self._launcher, self._protocol = launcher, protocol
        self._took_ns: dict[str, float] = {}

    def measure(self, job: Job, sequence: int, path: str) -> MeasurementLine | StatedMeasurement:
        """How often it has to run is known once it has run: the first time, a short process shows it."""
        sha256 = job.artifact.sha256
        if sha256 not in self._took_ns:
            _, log = self._run(path, min(MAX_EXECUTIONS, self._protocol.warmup_min_runs + self._protocol.min_runs))
            self._took_ns[sha256] = _typical_ns(log, self._protocol)
        ended, log = self._run(path, executions(self._protocol, self._took_ns[sha256]))
        self._took_ns[sha256] = _typical_ns(log, self._protocol)
        started_ns = max(0, ended.ended_ns - round(log.total_ms * _NS_PER_MS))
        if not log.has_samples or log.load_ms is None:
            runs = StatedRuns(
                count=log.executions,
                mean_ns=log.average_ms * _NS_PER_MS,
                load_ns=None if log.load_ms is None else round(log.load_ms * _NS_PER_MS),
            )
            return StatedMeasurement(sequence, started_ns, ended.cpus_allowed, runs)
        samples = _samples_ns(log)
        warmup = warmup_runs(self._protocol, samples)
        return MeasurementLine(
            type="measurement",
            id=job.id,
            sequence=sequence,
            load_ns=round(log.load_ms * _NS_PER_MS),
            first_ns=samples[0],
            started_ns=started_ns + sum(samples[:warmup]),
            warmup_ns=samples[:warmup],
            warmup_stable=None,
            samples_ns=samples[warmup:],
            output_error=None,
            cpus_allowed=ended.cpus_allowed,
            cores_ran=[],
            voluntary_switches=None,
            involuntary_switches=None,
            cpu_ns=None,
            waited_ns=None,
            peak_rss_kb=None,
        )

    def profile(self, job: Job, sequence: int, path: str) -> str:
        del path
        message = "executor_runner says nothing of single operators; leave --runner out to see them"
        return ErrorLine(type="error", id=job.id, sequence=sequence, kind="profile", message=message).model_dump_json()

    def _run(self, path: str, count: int) -> tuple[Ended, ExecutorLog]:
        launcher, protocol = self._launcher, self._protocol
        ended = launcher.run(
            [f"--model_path={path}", f"--num_executions={count}", f"--cpu_threads={protocol.threads}", *_QUIET],
            timeout_s=LOAD_ALLOWANCE_S + 2 * protocol.max_ns / 1e9,
        )
        if _TRACED in ended.output:
            raise MeasurementError(
                f"{launcher.name} notes what every operator does, which takes time of its own: build it with"
                " -DEXECUTORCH_ENABLE_EVENT_TRACER=OFF"
            )
        log = parse_executor_runner(ended.output if b"executorch:" in ended.output else self._logcat(ended))
        if log.total_ms <= 0:
            raise ModelFailedError("executor_runner says that it took no time")
        return ended, log

    def _logcat(self, ended: Ended) -> bytes:
        """Android's own builds print nothing: what they say is in the phone's log."""
        if self._launcher.device.is_local:
            return ended.output
        done = self._launcher.device.transport.run(
            ("logcat", "-d", "-v", "threadtime", f"--pid={ended.process}", "-s", "ExecuTorch:V"),
            timeout_s=_LOGCAT_TIMEOUT_S,
        )
        return done.stdout


def executions(protocol: Protocol, typical_ns: float) -> int:
    """How often to run a model that takes `typical_ns`, warm-up and all, for what the protocol asks for."""
    at_most = max(1, math.floor(protocol.max_ns / typical_ns))
    warmup = max(protocol.warmup_min_runs, min(at_most, math.ceil(protocol.warmup_min_ns / typical_ns)))
    timed = max(protocol.min_runs, math.ceil(_MARGIN * protocol.min_ns / typical_ns))
    return min(MAX_EXECUTIONS, warmup + min(timed, protocol.max_runs, at_most))


def warmup_runs(protocol: Protocol, samples_ns: Sequence[int]) -> int:
    """How many of the first executions are warm-up: as many as the protocol asks for. Where there are not enough for
    its times, they are shared out as the times are; one is always left to be timed."""
    count, warmup_ns = len(samples_ns), protocol.warmup_min_ns
    enough = sum(sum_ns < warmup_ns for sum_ns in accumulate(samples_ns)) + 1 if warmup_ns else 0
    share = count * warmup_ns // max(1, warmup_ns + protocol.min_ns)
    return min(count - 1, max(protocol.warmup_min_runs, min(enough, share)))


def _samples_ns(log: ExecutorLog) -> list[int]:
    return [round(sample_ms * _NS_PER_MS) for sample_ms in log.samples_ms]


def _typical_ns(log: ExecutorLog, protocol: Protocol) -> float:
    samples = _samples_ns(log)
    if not samples:
        return log.average_ms * _NS_PER_MS
    return max(1.0, median(samples[warmup_runs(protocol, samples) :]))
