"""TensorFlow Lite's benchmark_model: what it is told, and what becomes of its answer."""

import json

from android_bench.job import Job
from android_bench.official.coverage import check_applied, coverage_of
from android_bench.official.launch import Ended, Launcher, ModelFailedError
from android_bench.official.profile import stated_profile
from android_bench.parsers.benchmark_model import BenchmarkLog, parse_benchmark_model
from android_bench.plan import PROFILE_RUNS
from android_bench.process import LOAD_ALLOWANCE_S
from android_bench.protocol import Protocol
from android_bench.stated import StatedMeasurement, StatedRuns
from pocketnas_base.artifact import Delegate

_NS_PER_US = 1000
# XNNPACK is named although it is usual: only then does a build say what it runs. Nothing is said of it beside another
# delegate, which must come first. NNAPI has a CPU device of its own, which would do in silence what the NPU cannot.
_DELEGATE_FLAGS: dict[Delegate, tuple[str, ...]] = {
    "cpu": ("--use_xnnpack=true",),
    "gpu": ("--use_gpu=true",),
    "nnapi": ("--use_nnapi=true", "--disable_nnapi_cpu=true"),
}


class BenchmarkModel:
    """See `tool.Tool`. It prints statistics and no samples, in whole microseconds, of random inputs."""

    def __init__(self, launcher: Launcher, protocol: Protocol, delegate: Delegate) -> None:
        self._launcher, self._protocol, self._delegate = launcher, protocol, delegate

    def measure(self, job: Job, sequence: int, path: str) -> StatedMeasurement:
        del job
        protocol = self._protocol
        ended, log = self._run(
            [
                *self._flags(path, protocol.warmup_min_runs, protocol.warmup_min_ns),
                f"--num_runs={protocol.min_runs}",
                f"--min_secs={_seconds(protocol.min_ns)}",
            ]
        )
        coverage = coverage_of(log)
        check_applied(log, coverage, self._delegate)
        runs = stated_runs(log)
        if runs.typical_ns <= 0:
            raise ModelFailedError("it is faster than the microsecond that benchmark_model can tell")
        started_ns = max(0, ended.ended_ns - round(runs.count * runs.mean_ns))
        return StatedMeasurement(sequence, started_ns, ended.cpus_allowed, runs, coverage)

    def profile(self, job: Job, sequence: int, path: str) -> str:
        ended, log = self._run(
            [
                *self._flags(path, 1, 0),
                f"--num_runs={PROFILE_RUNS}",
                "--min_secs=0",
                "--enable_op_profiling=true",
            ]
        )
        coverage = coverage_of(log)
        check_applied(log, coverage, self._delegate)
        return json.dumps(stated_profile(ended.output, log, coverage, job.id, sequence), allow_nan=False)

    def _flags(self, path: str, warmup_runs: int, warmup_ns: int) -> list[str]:
        protocol = self._protocol
        return [
            f"--graph={path}",
            f"--num_threads={protocol.threads}",
            *_DELEGATE_FLAGS[self._delegate],
            f"--warmup_runs={warmup_runs}",
            f"--warmup_min_secs={_seconds(warmup_ns)}",
            f"--max_secs={_seconds(protocol.max_ns)}",
        ]

    def _run(self, arguments: list[str]) -> tuple[Ended, BenchmarkLog]:
        # The limit holds for the warm-up and for the timed runs, each on its own.
        ended = self._launcher.run(arguments, timeout_s=LOAD_ALLOWANCE_S + 2 * self._protocol.max_ns / 1e9)
        return ended, parse_benchmark_model(ended.output)


def stated_runs(log: BenchmarkLog) -> StatedRuns:
    """The timed runs of a log."""
    runs = log.inference
    # Without a warm-up the first timed run is the first of all.
    first = log.warmup or runs

    def ns(us: float | None) -> float | None:
        return None if us is None else us * _NS_PER_US

    return StatedRuns(
        count=runs.count,
        mean_ns=runs.avg_us * _NS_PER_US,
        median_ns=ns(runs.median_us),
        min_ns=ns(runs.min_us),
        max_ns=ns(runs.max_us),
        std_ns=ns(runs.std_us),
        p5_ns=ns(runs.p5_us),
        p95_ns=ns(runs.p95_us),
        load_ns=None if log.init_us is None else log.init_us * _NS_PER_US,
        first_ns=first.first_us * _NS_PER_US,
    )


def _seconds(ns: int) -> str:
    """As its flags want it, without an exponent."""
    return f"{ns / 1e9:.9f}".rstrip("0").rstrip(".")
