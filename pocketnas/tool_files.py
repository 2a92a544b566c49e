"""A file of results of any tool that is known, read and made comparable."""

from collections.abc import Iterable
from pathlib import Path

from android_bench.errors import UnreadableOutputError
from android_bench.parsers.ai_hub import parse_ai_hub
from android_bench.parsers.bench_json import parse_bench_json
from android_bench.parsers.jetpack import parse_jetpack
from android_bench.parsers.op_profile import parse_op_profile
from android_bench.parsers.recognise import ResultFormat, recognise
from android_bench.parsers.text import MAX_LOG_BYTES
from android_bench.parsers.tool_runs import parse_benchmark_runs, parse_executor_runs
from latency.compare import ToolFile, ToolResult, combined
from pocketnas import tool_results
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_bytes

Read = tuple[list[ToolResult], list[tuple[str, str]]]
"""Results, and models without one, each with the reason."""

_FILE_SUFFIXES = (".json", ".log", ".txt", ".csv")


def read_tool_file(path: Path) -> ToolFile:
    """The results in a file, whatever tool wrote it. Raises InputError when it is missing, too large, of no tool that
    is known or of several, damaged, in other units, or without any result."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is no regular file; save the results to one")
    content = read_bytes(path, what="results", max_bytes=MAX_LOG_BYTES)
    try:
        tool = recognise(content)
        results, failed = _read(tool, content, _model_of(path))
    except UnreadableOutputError as error:
        raise InputError(f"{path}: {error}") from None
    if not results:
        model, reason = failed[0]
        raise InputError(f"{path} holds no result of {tool}: {model}: {reason}")
    return ToolFile(str(path), tool, tuple(results), tuple(failed))


def _read(tool: ResultFormat, content: bytes, otherwise: str) -> Read:
    match tool:
        case "pocketnas bench":
            return [tool_results.of_bench(result) for result in parse_bench_json(content)], []
        case "benchmark_model":
            return _benchmark_model(content, otherwise)
        case "executor_runner":
            return _executor_runner(content, otherwise)
        case "benchmark_model profile":
            found = tool_results.of_profile(parse_op_profile(content), otherwise)
            return _one(otherwise, found, "not one table of the runs of one model, with a time in it")
        case "AI Hub":
            return [tool_results.of_ai_hub(parse_ai_hub(content), otherwise)], []
        case "Jetpack Benchmark":
            return _jetpack(content)


def _benchmark_model(content: bytes, otherwise: str) -> Read:
    results, failed = [], []
    for run in parse_benchmark_runs(content):
        if run.log is None or run.log.inference.min_us == 0:
            failed.append((run.model or otherwise, run.failure or "it is faster than the microsecond that is printed"))
        else:
            results.append(tool_results.of_benchmark_model(run, run.log, otherwise))
    return _by_model(results), failed


def _executor_runner(content: bytes, otherwise: str) -> Read:
    results, failed = [], []
    for run in parse_executor_runs(content):
        if run.log is None or run.log.total_ms <= 0 or 0 in run.log.samples_ms:
            failed.append((run.model or otherwise, run.failure or "it says that a run took no time"))
        else:
            results.append(tool_results.of_executor_runner(run, run.log, otherwise))
    return _by_model(results), failed


def _jetpack(content: bytes) -> Read:
    report = parse_jetpack(content)
    results, failed = [], []
    for benchmark in report.benchmarks:
        found = tool_results.of_jetpack(report, benchmark)
        if found is None:
            stated = ", ".join(benchmark.metrics) or "nothing"
            failed.append((benchmark.name, f"its times are not stated in ns as timeNs, but {stated}"))
        else:
            results.append(found)
    return results, failed


def _one(model: str, found: ToolResult | None, reason: str) -> Read:
    return ([found], []) if found is not None else ([], [(model, reason)])


def _by_model(results: Iterable[ToolResult]) -> list[ToolResult]:
    """Processes of one model under the same circumstances are one result."""
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[ToolResult]] = {}
    for result in results:
        groups.setdefault((result.model, tuple(result.circumstances.items())), []).append(result)
    return [combined(group) for group in groups.values()]


def _model_of(path: Path) -> str:
    """What a file of results that does not name its model is called after."""
    return path.stem if path.suffix.lower() in _FILE_SUFFIXES else path.name
