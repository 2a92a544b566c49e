"""Logs that hold several processes one after the other, as a loop over models writes them: each process by itself."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

from android_bench.errors import UnreadableOutputError
from android_bench.parsers.benchmark_model import BenchmarkLog, parse_benchmark_model
from android_bench.parsers.executor_runner import ExecutorLog, parse_executor_runner
from android_bench.parsers.text import MAX_LOG_BYTES, Output, integer, lines_of, name, text_of, unreadable
from android_bench.parsers.tflite_log import log_lines

Log = TypeVar("Log", BenchmarkLog, ExecutorLog)

MAX_RUNS = 10_000
_MAX_NAME = 4096
_GRAPH = re.compile(r"Graph: \[(.{1,4096})\]")
_THREADS = re.compile(r"(?:Num threads|#threads used for CPU inference): \[([0-9]{1,4})\]")
_STARTING, _PARAMETERS = "STARTING!", "Log parameter values verbosely: "
_PROFILED = "Operator-wise Profiling Info for Regular Benchmark Runs"
_EXECUTOR_FILE = re.compile(r"Model file (.{1,4096}) is loaded\.")
_EXECUTOR_THREADS = re.compile(r"Resetting threadpool with num threads = ([0-9]{1,4})")
_EXECUTOR_MESSAGE = re.compile(r"(?:executorch:|ExecuTorch *: \[)[^\]]{1,300}\] (.*)")
_TRACED = "ETDump written to file"


@dataclass(frozen=True, slots=True)
class ToolRun(Generic[Log]):
    """One process of a tool. model: its file, by the path it had there; None in logs that do not name it. threads: None
    where the log does not say, or leaves them to the tool. profiled: whether operators were timed as well, which takes
    time of its own. log: what it measured, None where it did not; failure: why not."""

    model: str | None
    threads: int | None
    profiled: bool
    log: Log | None
    failure: str | None


def parse_benchmark_runs(output: Output) -> tuple[ToolRun[BenchmarkLog], ...]:
    """Every process of benchmark_model in a log. Each begins with `STARTING!`, in logcat with its parameters; a log
    without either is one process. Raises UnreadableOutputError when there are too many."""
    text = text_of(output, "benchmark_model", MAX_LOG_BYTES).removeprefix("\ufeff")
    messages = [line.message.strip() for line in log_lines(text, "benchmark_model")]
    starts, waits_for_parameters = [], False
    for index, message in enumerate(messages):
        begins = message == _STARTING or (message.startswith(_PARAMETERS) and not waits_for_parameters)
        if begins:
            starts.append(index)
        if begins or message.startswith(_PARAMETERS):
            waits_for_parameters = message == _STARTING
    return tuple(
        _run(lines, texts, _GRAPH, _THREADS, parse_benchmark_model, _PROFILED)
        for lines, texts in _split(lines_of(text), messages, starts)
    )


def parse_executor_runs(output: Output) -> tuple[ToolRun[ExecutorLog], ...]:
    """Every process of executor_runner in a log. Each begins by naming its threads, its model, or both. Raises
    UnreadableOutputError when there are too many."""
    text = text_of(output, "executor_runner", MAX_LOG_BYTES).removeprefix("\ufeff")
    lines = lines_of(text)
    messages = [match[1].strip() if (match := _EXECUTOR_MESSAGE.search(line)) else "" for line in lines]
    starts, named = [], True
    for index, message in enumerate(messages):
        names_model = _EXECUTOR_FILE.fullmatch(message) is not None
        if (names_model or _EXECUTOR_THREADS.fullmatch(message)) and named:
            starts.append(index)
            named = names_model
        named = named or names_model
    return tuple(
        _run(own, texts, _EXECUTOR_FILE, _EXECUTOR_THREADS, parse_executor_runner, _TRACED)
        for own, texts in _split(lines, messages, starts)
    )


def _split(
    lines: Sequence[str], messages: Sequence[str], starts: Sequence[int]
) -> list[tuple[Sequence[str], Sequence[str]]]:
    """What stands before the first process belongs to it."""
    if len(starts) > MAX_RUNS:
        raise unreadable("the log", f"{len(starts)} processes, at most {MAX_RUNS} are read")
    cuts = [0, *starts[1:], len(lines)]
    return [(lines[a:b], messages[a:b]) for a, b in pairwise(cuts)]


def _run(
    lines: Sequence[str],
    messages: Sequence[str],
    model: re.Pattern[str],
    threads: re.Pattern[str],
    parse: Callable[[str], Log],
    profiled: str,
) -> ToolRun[Log]:
    log, failure = None, None
    try:
        log = parse("\n".join(lines))
    except UnreadableOutputError as error:
        failure = str(error)
    return ToolRun(
        model=name(_first(model, messages), _MAX_NAME),
        threads=integer(_first(threads, messages), 1),
        profiled=any(message.startswith(profiled) for message in messages),
        log=log,
        failure=failure,
    )


def _first(pattern: re.Pattern[str], messages: Sequence[str]) -> str | None:
    return next((match[1] for message in messages if (match := pattern.fullmatch(message))), None)
