"""The console text of TFLite's `benchmark_model`, from TensorFlow 1.12 to LiteRT (benchmark_model.cc)."""

import re
from dataclasses import dataclass
from typing import Literal

from android_bench.parsers.run_statistics import RunStatistics, parse_run_statistics
from android_bench.parsers.text import Output, excerpt, integer, name, number, unreadable
from android_bench.parsers.tflite_log import LogLine, log_lines

_SOURCE = "benchmark_model"
_BEGIN = re.compile(r"Running benchmark for (?:at least )?([0-9]{1,10}) iterations")
_SUMMARY = re.compile(
    r"Inference timings in us: Init: ([^\s,]+), First inference: ([^\s,]+), "
    r"Warmup \(avg\): ([^\s,]+), Inference \(avg\): (\S+)"
)
_OLD_SUMMARY = re.compile(
    r"Average inference timings in us: Warmup: ([^\s,]+), Init: ([^\s,]+), (?:no stats|Inference): (\S+)"
)
_SUMMARY_TITLES = ("Inference timings in us:", "Average inference timings in us:")
_DELEGATE = re.compile(
    r"Replacing ([0-9]{1,9})(?: out of ([0-9]{1,9}))? node\(s\) with delegate \(([^)]{1,200})\) node, "
    r"yielding ([0-9]{1,9}) partitions.*"
)
_APPLIED = re.compile(
    r"Explicitly applied ([^ ]{1,60}) delegate, and the model graph will be (?:(completely) executed by the delegate"
    r"|(partially) executed by the delegate w/ ([0-9]{1,9}) delegate kernels)\."
    r"|Though ([^ ]{1,60}) delegate is explicitly applied, the model graph will not be executed by the delegate\."
)
_INITIALIZED = re.compile(r"Initialized session in ([0-9.e+]{1,30})ms\.?")
_MEMORY = re.compile(
    r"(?:Memory footprint delta from the start of the tool|Peak memory footprint) \(MB\): init=(\S+) overall=(\S+)"
)
_PEAK_MEMORY = "Overall peak memory footprint (MB) via periodic monitoring: "
_MODEL_SIZE = "The input model file size (MB): "
_UNCONSUMED = "Unconsumed cmdline flags: "
_FAILED = "Benchmarking failed."
_SEVERE = frozenset({"ERROR", "FATAL"})
# Both print an average with 6 significant digits, but not always from the same type.
_ROUNDING = 1e-5


@dataclass(frozen=True, slots=True)
class DelegateCoverage:
    """One subgraph, or one round, in which a delegate took over `replaced` of `nodes` operators. nodes: None in builds
    of 2020, which do not print it."""

    delegate: str
    replaced: int
    nodes: int | None
    partitions: int


@dataclass(frozen=True, slots=True)
class AppliedDelegate:
    """How far a delegate that was asked for runs the model. name: the tool's own, such as "GPU". kernels: into how many
    parts it compiled what it runs."""

    name: str
    extent: Literal["completely", "partially", "not"]
    kernels: int


@dataclass(frozen=True, slots=True)
class BenchmarkLog:
    """One process of benchmark_model. warmup: None without warm-up runs. requested_runs: how many runs were asked for
    at least; fewer in `inference` mean that the time was up. first_inference_us: None where there was no warm-up or
    the build does not print it. applied: the delegates that were asked for, in builds since 2020. unconsumed_flags:
    what it was told but did not understand. errors: what it called errors, though it came to an end."""

    inference: RunStatistics
    warmup: RunStatistics | None
    requested_runs: int
    init_us: int | None
    first_inference_us: int | None
    initialized_ms: float | None
    model_size_mb: float | None
    init_memory_mb: float | None
    overall_memory_mb: float | None
    peak_memory_mb: float | None
    delegates: tuple[DelegateCoverage, ...]
    applied: tuple[AppliedDelegate, ...]
    unconsumed_flags: str | None
    errors: tuple[str, ...]


def parse_benchmark_model(output: Output) -> BenchmarkLog:
    """The measurement in the standard output, or the output and error together, of one process.

    Raises UnreadableOutputError when it failed, measured nothing, was cut short, ran twice, or contradicts itself.
    """
    lines = log_lines(output, _SOURCE)
    messages = [line.message for line in lines]
    failure = _failure(lines)
    if failure is not None:
        raise unreadable(_SOURCE, f"it failed: {failure}")
    init_us, first_inference_us, average_us = _summary(lines)
    warmup, inference, requested_runs = _series(messages)
    if abs(inference.avg_us - average_us) > _ROUNDING * max(inference.avg_us, average_us):
        raise unreadable(_SOURCE, f"its runs took {inference.avg_us} us, but its summary says {average_us} us")
    initialized = _first(_INITIALIZED, messages)
    memory = _first(_MEMORY, messages)
    return BenchmarkLog(
        inference=inference,
        warmup=warmup,
        requested_runs=requested_runs,
        init_us=init_us,
        first_inference_us=first_inference_us if warmup is not None else None,
        initialized_ms=number(initialized[1], 0) if initialized else None,
        model_size_mb=number(_after(_MODEL_SIZE, messages)),
        init_memory_mb=number(memory[1]) if memory else None,
        overall_memory_mb=number(memory[2]) if memory else None,
        peak_memory_mb=number(_after(_PEAK_MEMORY, messages)),
        delegates=tuple(_coverage(match) for m in messages if (match := _DELEGATE.fullmatch(m.strip()))),
        applied=tuple(_applied(match) for m in messages if (match := _APPLIED.fullmatch(m.strip()))),
        unconsumed_flags=name(_after(_UNCONSUMED, messages)),
        errors=_errors(lines),
    )


def _coverage(match: re.Match[str]) -> DelegateCoverage:
    nodes = int(match[2]) if match[2] is not None else None
    return DelegateCoverage(name(match[3]) or "unnamed", int(match[1]), nodes, int(match[4]))


def _applied(match: re.Match[str]) -> AppliedDelegate:
    if match[5] is not None:
        return AppliedDelegate(name(match[5]) or "unnamed", "not", 0)
    kernels = int(match[4]) if match[4] is not None else 1
    return AppliedDelegate(name(match[1]) or "unnamed", "completely" if match[2] else "partially", kernels)


def _failure(lines: list[LogLine]) -> str | None:
    if not any(line.message.strip() == _FAILED for line in lines):
        return None
    errors = [error for error in _errors(lines) if error != _FAILED]
    return errors[0] if errors else _FAILED


def _errors(lines: list[LogLine]) -> tuple[str, ...]:
    errors = (name(line.message) for line in lines if line.severity in _SEVERE)
    return tuple(error for error in errors if error is not None)


def _summary(lines: list[LogLine]) -> tuple[int | None, int | None, float]:
    """Start-up and first inference in us, where stated, and the average inference in us."""
    found = [line.message.strip() for line in lines if line.message.startswith(_SUMMARY_TITLES)]
    if len(found) != 1:
        errors = _errors(lines)
        because = f"; its first error: {errors[0]}" if errors else ""
        raise unreadable(_SOURCE, f"{len(found)} summaries of timings where there must be one{because}")
    if new := _SUMMARY.fullmatch(found[0]):
        init, first, average = integer(new[1]), integer(new[2]), number(new[4], 0)
    elif old := _OLD_SUMMARY.fullmatch(found[0]):
        init, first, average = integer(old[2]), None, number(old[3], 0)
    else:
        average = None
    if average is None:
        raise unreadable(_SOURCE, f"no summary of timings: {excerpt(found[0])}")
    return init, first, average


def _series(messages: list[str]) -> tuple[RunStatistics | None, RunStatistics, int]:
    """Warm-up, measurement, and the runs asked for. Two series are announced, the second is the measurement; a tool
    told not to warm up may announce only that."""
    announced = [(index, match) for index, message in enumerate(messages) if (match := _BEGIN.match(message))]
    if not 1 <= len(announced) <= 2:
        raise unreadable(_SOURCE, f"{len(announced)} series of runs where there must be one or two")
    ends = [*(index for index, _ in announced[1:]), len(messages)]
    series = [_statistics(messages[index + 1 : end]) for (index, _), end in zip(announced, ends, strict=True)]
    inference = series[-1]
    if inference is None:
        raise unreadable(_SOURCE, "it measured no run")
    return series[0] if len(series) == 2 else None, inference, int(announced[-1][1][1])


def _statistics(messages: list[str]) -> RunStatistics | None:
    line = next((message for message in messages if message.startswith("count=")), None)
    if line is None:
        raise unreadable(_SOURCE, "a series of runs without its statistics")
    return parse_run_statistics(line)


def _first(pattern: re.Pattern[str], messages: list[str]) -> re.Match[str] | None:
    return next((match for message in messages if (match := pattern.fullmatch(message.strip()))), None)


def _after(title: str, messages: list[str]) -> str | None:
    return next((message.removeprefix(title) for message in messages if message.startswith(title)), None)
