"""Which tool wrote a file of results, by what is in it."""

from typing import Literal

from pydantic_core import from_json

from android_bench.parsers.text import MAX_LOG_BYTES, Output, name, text_of, unreadable

ResultFormat = Literal[
    "pocketnas bench", "benchmark_model", "benchmark_model profile", "executor_runner", "Jetpack Benchmark", "AI Hub"
]

_SOURCE = "results"
_KNOWN = (
    "read are pocketnas bench --json, logs of benchmark_model and executor_runner, operator profiles of"
    " benchmark_model, Jetpack's benchmarkData.json and AI Hub's profiles"
)
_BENCHMARK_MODEL = ("nference timings in us:", "Running benchmark for ", "Benchmarking failed.")
_EXECUTOR_RUNNER = ("executorch:executor_runner.cpp", "[executor_runner.cpp:")
_PROFILE = ("= Run Order =", "= Summary by node type =")


def recognise(output: Output) -> ResultFormat:
    """The format of a file. Raises UnreadableOutputError when it is none of those known, or may be several."""
    text = text_of(output, _SOURCE, MAX_LOG_BYTES).removeprefix("\ufeff")
    if not text.strip():
        raise unreadable(_SOURCE, "the file is empty")
    found = _json_formats(text) if text.lstrip()[0] in "{[" else _log_formats(text)
    if len(found) > 1:
        raise unreadable(_SOURCE, f"it may be of {' or of '.join(found)}; give one file for each tool")
    if not found:
        raise unreadable(_SOURCE, f"it is of no tool that is known: {_KNOWN}")
    return found[0]


def _json_formats(text: str) -> list[ResultFormat]:
    try:
        value = from_json(text.encode("utf-8", "replace"))
    except ValueError as error:
        if formats := _log_formats(text):
            return formats
        raise unreadable(_SOURCE, f"no valid JSON: {name(str(error), 100)}") from None
    found: list[ResultFormat] = []
    if isinstance(value, list):
        if value and all(isinstance(item, dict) and {"file", "sha256"} <= set(item) for item in value):
            found.append("pocketnas bench")
    elif isinstance(value, dict):
        context = value.get("context")
        if isinstance(context, dict) and "build" in context and "benchmarks" in value:
            found.append("Jetpack Benchmark")
        if "execution_summary" in value:
            found.append("AI Hub")
    return found


def _log_formats(text: str) -> list[ResultFormat]:
    found: list[ResultFormat] = []
    if any(sign in text for sign in _BENCHMARK_MODEL):
        found.append("benchmark_model")
    elif any(sign in text for sign in _PROFILE):
        found.append("benchmark_model profile")
    if any(sign in text for sign in _EXECUTOR_RUNNER):
        found.append("executor_runner")
    return found
