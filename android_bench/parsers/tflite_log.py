"""The lines of TFLite's tools without what stands before their message: a severity, or logcat's columns."""

import re
from dataclasses import dataclass

from android_bench.parsers.text import MAX_LOG_BYTES, Output, lines_of, text_of

_LOGCAT = re.compile(
    r"[0-9]{2}-[0-9]{2} [0-9:.]{8,18} +[0-9]{1,8} +[0-9]{1,8} ([VDIWEF]) tflite *: "
    r"|([VDIWEF])/tflite *\( *[0-9]{1,8}\): "
)
_SEVERITY = re.compile(r"(VERBOSE|DEBUG|INFO|WARN|WARNING|ERROR|FATAL): ")
_LETTERS = {"V": "VERBOSE", "D": "DEBUG", "I": "INFO", "W": "WARN", "E": "ERROR", "F": "FATAL"}


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line. severity: "INFO", "ERROR", ...; None in logs of old tools, which do not print it."""

    severity: str | None
    message: str


_EMPTY = LogLine(None, "")


def log_lines(output: Output, source: str) -> list[LogLine]:
    """The lines of a log. Raises UnreadableOutputError when it is longer than any log."""
    return [_line(line) if line else _EMPTY for line in lines_of(text_of(output, source, MAX_LOG_BYTES))]


def _line(line: str) -> LogLine:
    if logcat := _LOGCAT.match(line):
        return LogLine(_LETTERS[logcat[1] or logcat[2]], line[logcat.end() :])
    if severity := _SEVERITY.match(line):
        return LogLine(severity[1], line[severity.end() :])
    return LogLine(None, line)
