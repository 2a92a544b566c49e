"""What AndroidX' Jetpack Benchmark writes: `...-benchmarkData.json` (androidx.benchmark.ResultWriter).

A micro-benchmark states its times as the metric `timeNs`: nanoseconds, one value a repetition, each the mean of many
iterations. Macro-benchmarks state other metrics, in other units.
"""

import math
from dataclasses import dataclass
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter

from android_bench.parsers.json_text import Fields, parse_fields
from android_bench.parsers.text import Output, excerpt, name, unreadable

_SOURCE = "Jetpack Benchmark"
# Ids of conditions that make a result doubtful. Whoever suppresses one finds it in front of the result's name
# (androidx.benchmark.Errors).
_SUPPRESSIBLE = (
    "ACTIVITY-MISSING",
    "CODE-COVERAGE",
    "DEBUGGABLE",
    "DEVICE-MIRRORING",
    "EMULATOR",
    "ENG-BUILD",
    "JIT-ENABLED",
    "LOW-BATTERY",
    "METHOD-TRACING",
    "METHOD-TRACING-ENABLED",
    "NOT-AOT-COMPILED",
    "NOT-PROFILEABLE",
    "SHELL-ACCESS-DENIED",
    "SIMPLEPERF",
    "UNLOCKED",
    "UNLOCKED-NO-ACTIVITY",
    "UNSUSTAINED-ACTIVITY-MISSING",
    "UNSUSTAINED-CLOCKS",
)
# Doubles that were printed and read again.
_ROUNDING = 1e-9
_MAX_NS = 1e15

_Ns = Annotated[float, Field(gt=0, le=_MAX_NS)]
_Text = Annotated[str, Field(max_length=1000)]


@dataclass(frozen=True, slots=True)
class JetpackTimes:
    """The metric `timeNs`, in ns. runs_ns: one value a repetition."""

    minimum_ns: float
    maximum_ns: float
    median_ns: float
    runs_ns: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class JetpackBenchmark:
    """One benchmark. suppressed: the errors that were suppressed, by their ids, taken off its name. times: None where
    it states other metrics only; metrics: their names."""

    name: str
    class_name: str | None
    suppressed: tuple[str, ...]
    times: JetpackTimes | None
    metrics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JetpackReport:
    """A whole file. device: maker and model. sdk: Android's API level. cpu_locked: whether clocks were fixed."""

    device: str | None
    fingerprint: str | None
    sdk: int | None
    cpu_locked: bool | None
    sustained_performance: bool | None
    benchmarks: tuple[JetpackBenchmark, ...]


class _Version(Fields):
    sdk: Annotated[int, Field(ge=1, le=1000)] | None = None


class _Build(Fields):
    brand: _Text | None = None
    model: _Text | None = None
    fingerprint: _Text | None = None
    version: _Version = _Version()


class _Context(Fields):
    build: _Build
    cpu_locked: bool | None = Field(default=None, alias="cpuLocked")
    sustained: bool | None = Field(default=None, alias="sustainedPerformanceModeEnabled")


class _Times(Fields):
    minimum: _Ns
    maximum: _Ns
    median: _Ns
    runs: Annotated[list[_Ns], Field(min_length=1, max_length=1_000_000)]


class _Metrics(Fields):
    model_config = ConfigDict(extra="allow")

    time_ns: _Times | None = Field(default=None, alias="timeNs")


class _Benchmark(Fields):
    name: Annotated[str, Field(min_length=1, max_length=1000)]
    class_name: _Text | None = Field(default=None, alias="className")
    metrics: _Metrics


class _Report(Fields):
    context: _Context
    benchmarks: Annotated[list[_Benchmark], Field(min_length=1, max_length=100_000)]


_ADAPTER = TypeAdapter(_Report)


def parse_jetpack(output: Output) -> JetpackReport:
    """The benchmarks in a file. Raises UnreadableOutputError when it is another one, is cut, or contradicts itself."""
    read = parse_fields(output, _SOURCE, _ADAPTER)
    build = read.context.build
    return JetpackReport(
        device=name(" ".join(filter(None, (build.brand, build.model)))),
        fingerprint=name(build.fingerprint),
        sdk=build.version.sdk,
        cpu_locked=read.context.cpu_locked,
        sustained_performance=read.context.sustained,
        benchmarks=tuple(_benchmark(benchmark) for benchmark in read.benchmarks),
    )


def _benchmark(read: _Benchmark) -> JetpackBenchmark:
    shown = name(read.name, 1000) or "unnamed"
    suppressed = []
    while (prefix := shown.partition("_"))[0] in _SUPPRESSIBLE and prefix[2]:
        suppressed.append(prefix[0])
        shown = prefix[2]
    others = [name(metric, 60) or "unnamed" for metric in (read.metrics.model_extra or {})]
    return JetpackBenchmark(
        name=shown,
        class_name=name(read.class_name, 1000),
        suppressed=tuple(suppressed),
        times=None if read.metrics.time_ns is None else _times(read.metrics.time_ns, read.name),
        metrics=tuple(others[:100]),
    )


def _times(read: _Times, benchmark: str) -> JetpackTimes:
    def is_close(value: float, to: float) -> bool:
        return math.isclose(value, to, rel_tol=_ROUNDING)

    inside = read.minimum <= read.median <= read.maximum
    if not (inside and is_close(min(read.runs), read.minimum) and is_close(max(read.runs), read.maximum)):
        raise unreadable(_SOURCE, f"the times of {excerpt(benchmark)} contradict each other")
    return JetpackTimes(read.minimum, read.maximum, read.median, tuple(read.runs))
