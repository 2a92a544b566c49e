"""The log of ExecuTorch's `executor_runner` (executor_runner.cpp; the platform layers' log lines, and logcat's)."""

import math
import re
from dataclasses import dataclass

from android_bench.parsers.text import (
    MAX_LOG_BYTES,
    Output,
    excerpt,
    integer,
    lines_of,
    name,
    number,
    text_of,
    unreadable,
)

_SOURCE = "executor_runner"
_LINE = re.compile(r"([DIEF]) [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6} executorch:[^\]]{1,300}\] (.*)")
_LOGCAT = re.compile(
    r"[0-9]{2}-[0-9]{2} [0-9:.]{8,18} +[0-9]{1,8} +[0-9]{1,8} ([VDIWEF]) ExecuTorch *: \[[^\]]{1,300}\] (.*)"
)
_LOADED = re.compile(r"Model loaded in ([0-9.]{1,40}) ms\.")
_ITERATION = re.compile(r"Iteration ([0-9]{1,10}) of ([0-9]{1,10}): ([0-9.]{1,40}) ms")
_EXECUTED = re.compile(r"Model executed successfully ([0-9]{1,10}) time\(s\) in ([0-9.]{1,40}) ms\.")
_OUTPUTS = re.compile(r"([0-9]{1,6}) outputs:")
_SEVERE = frozenset({"E", "F"})
# Each time is printed with 6 decimals.
_ROUNDING_MS = 1e-6


@dataclass(frozen=True, slots=True)
class ExecutorLog:
    """One process of executor_runner. samples_ms: each execution's own time, empty in builds that do not print them,
    of which only the total and the average are known: see `has_samples`. load_ms: None in builds without it.
    errors: what it called errors, though it came to an end."""

    executions: int
    total_ms: float
    samples_ms: tuple[float, ...]
    load_ms: float | None
    outputs: int | None
    errors: tuple[str, ...]

    @property
    def has_samples(self) -> bool:
        """Whether each execution's time is known, and not only their average."""
        return bool(self.samples_ms)

    @property
    def average_ms(self) -> float:
        return self.total_ms / self.executions


def parse_executor_runner(output: Output) -> ExecutorLog:
    """The measurement in the log of one process: its standard error, or output and error together, or logcat.

    Raises UnreadableOutputError when it failed, does not say how long it took, was cut short, ran twice, or
    contradicts itself.
    """
    lines = _log_lines(output)
    messages = [message for _, message in lines]
    executed = [match for message in messages if (match := _EXECUTED.fullmatch(message))]
    if len(executed) != 1:
        failure = _errors(lines)
        because = f"; its last error: {failure[-1]}" if failure else ""
        raise unreadable(_SOURCE, f"{len(executed)} lines say how long it took, where there must be one{because}")
    executions = integer(executed[0][1], 1)
    total_ms = number(executed[0][2], 0)
    if executions is None or total_ms is None:
        raise unreadable(_SOURCE, f"no time: {excerpt(executed[0][0])}")
    loaded = next((match for message in messages if (match := _LOADED.fullmatch(message))), None)
    outputs = next((match for message in messages if (match := _OUTPUTS.fullmatch(message.strip()))), None)
    return ExecutorLog(
        executions=executions,
        total_ms=total_ms,
        samples_ms=_samples(messages, executions, total_ms),
        load_ms=number(loaded[1], 0) if loaded else None,
        outputs=int(outputs[1]) if outputs else None,
        errors=_errors(lines),
    )


def _log_lines(output: Output) -> list[tuple[str, str]]:
    """Level and message of each line that ExecuTorch wrote; what a model or a backend printed is passed over."""
    lines = lines_of(text_of(output, _SOURCE, MAX_LOG_BYTES))
    matches = (_LINE.fullmatch(line) or _LOGCAT.fullmatch(line) for line in lines)
    return [(match[1], match[2]) for match in matches if match]


def _samples(messages: list[str], executions: int, total_ms: float) -> tuple[float, ...]:
    matches = [match for message in messages if (match := _ITERATION.fullmatch(message))]
    if not matches:
        return ()
    if [(int(match[1]), int(match[2])) for match in matches] != [(i, executions) for i in range(1, len(matches) + 1)]:
        raise unreadable(_SOURCE, "its iterations are not numbered one after the other")
    samples = [number(match[3], 0) for match in matches]
    if len(samples) != executions:
        raise unreadable(_SOURCE, f"{len(samples)} iterations, but it says that it ran {executions}")
    times = tuple(sample for sample in samples if sample is not None)
    if len(times) != executions:
        raise unreadable(_SOURCE, "an iteration without its time")
    if not math.isclose(math.fsum(times), total_ms, rel_tol=1e-6, abs_tol=_ROUNDING_MS * (executions + 1)):
        raise unreadable(_SOURCE, f"its iterations took {math.fsum(times)} ms, but it says {total_ms} ms")
    return times


def _errors(lines: list[tuple[str, str]]) -> tuple[str, ...]:
    errors = (name(message) for level, message in lines if level in _SEVERE)
    return tuple(error for error in errors if error is not None)
