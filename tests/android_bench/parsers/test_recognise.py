"""Which tool wrote a file, by its content."""

import device_samples as samples
import pytest
from official_logs import log

from android_bench.errors import UnreadableOutputError
from android_bench.parsers.recognise import recognise


@pytest.mark.parametrize(
    ("text", "tool"),
    [
        (samples.BENCH_JSON, "pocketnas bench"),
        (samples.JETPACK, "Jetpack Benchmark"),
        ("\ufeff" + samples.JETPACK, "Jetpack Benchmark"),
        (samples.AI_HUB, "AI Hub"),
        (samples.BENCHMARK_MODEL, "benchmark_model"),
        (samples.BENCHMARK_MODEL + samples.PROFILE_NEW, "benchmark_model"),
        (samples.BENCHMARK_MODEL_TF_1_12, "benchmark_model"),
        (samples.BENCHMARK_MODEL_LOGCAT, "benchmark_model"),
        (samples.BENCHMARK_MODEL_FAILED, "benchmark_model"),
        ("[adb] restarted\n" + log(), "benchmark_model"),
        (samples.PROFILE_CSV_NEW, "benchmark_model profile"),
        (samples.EXECUTOR_RUNNER, "executor_runner"),
        (samples.EXECUTOR_RUNNER_LOGCAT, "executor_runner"),
        (samples.EXECUTOR_RUNNER_FAILED, "executor_runner"),
    ],
)
def test_a_file_is_known_by_its_content(text: str, tool: str) -> None:
    assert recognise(text) == recognise(text.encode()) == tool


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        (" \n", "the file is empty"),
        ("latency: 12 ms", "it is of no tool that is known: read are pocketnas bench --json"),
        ("{}", "of no tool that is known"),
        ("[]", "of no tool that is known"),
        ('{"context": {"date": "2026-01-01"}, "benchmarks": []}', "of no tool that is known"),
        ("12", "of no tool that is known"),
        ('{"a": 1', "no valid JSON"),
        ("[" * 100_000, "no valid JSON: recursion limit exceeded"),
        (samples.BENCHMARK_MODEL + samples.EXECUTOR_RUNNER, "it may be of benchmark_model or of executor_runner"),
        (
            samples.JETPACK.replace('"benchmarks"', '"execution_summary": {}, "benchmarks"', 1),
            "it may be of Jetpack Benchmark or of AI Hub; give one file for each tool",
        ),
    ],
)
def test_what_is_none_or_several_is_refused(text: str, message: str) -> None:
    with pytest.raises(UnreadableOutputError, match=message):
        recognise(text)
