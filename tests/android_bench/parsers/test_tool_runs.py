"""Logs of several processes, one after the other."""

import pytest
from device_samples import (
    BENCHMARK_MODEL,
    BENCHMARK_MODEL_FAILED,
    BENCHMARK_MODEL_GPU_THEN_CPU,
    BENCHMARK_MODEL_LOGCAT,
    BENCHMARK_MODEL_TF_1_12,
    BENCHMARK_MODEL_TF_2_3,
    EXECUTOR_RUNNER,
    EXECUTOR_RUNNER_LOGCAT,
    EXECUTOR_RUNNER_OLD,
    EXECUTOR_RUNNER_TWICE,
    PROFILE_NEW,
)
from hypothesis import given
from hypothesis import strategies as st

from android_bench.errors import UnreadableOutputError
from android_bench.parsers import tool_runs
from android_bench.parsers.benchmark_model import parse_benchmark_model
from android_bench.parsers.executor_runner import parse_executor_runner
from android_bench.parsers.tool_runs import parse_benchmark_runs, parse_executor_runs

GOOD = [BENCHMARK_MODEL, BENCHMARK_MODEL_TF_2_3, BENCHMARK_MODEL_TF_1_12]


def test_models_of_one_log_are_told_apart() -> None:
    gpu, broken, cpu = parse_benchmark_runs(BENCHMARK_MODEL_GPU_THEN_CPU)
    assert (gpu.model, gpu.threads, gpu.failure) == ("/data/local/tmp/yolov5s.tflite", 4, None)
    assert gpu.log is not None
    assert (gpu.log.inference.avg_us, gpu.log.delegates[0].delegate) == (57650.5, "TfLiteGpuDelegateV2")
    assert (broken.model, broken.log) == ("/data/local/tmp/custom.tflite", None)
    assert broken.failure == "benchmark_model: it failed: Encountered unresolved custom op: MyOp."
    assert cpu.log is not None
    assert (cpu.model, cpu.log.inference.count) == ("/data/local/tmp/mobilenet_v1_1.0_224.tflite", 80)


@given(st.lists(st.sampled_from([*GOOD, BENCHMARK_MODEL_FAILED]), min_size=1, max_size=6))
def test_each_process_of_a_log_is_what_it_is_alone(logs: list[str]) -> None:
    runs = parse_benchmark_runs("adb: a line before\n" + "\n".join(logs))
    assert len(runs) == len(logs)
    for run, log in zip(runs, logs, strict=True):
        assert run.log == (parse_benchmark_model(log) if log in GOOD else None)


def test_processes_in_logcat_begin_with_their_parameters() -> None:
    parameters = "05-30 15:16:44.100  3380  3380 I tflite  : Log parameter values verbosely: [0]\n"
    named = parameters + parameters.replace("Log parameter values verbosely: [0]", "Graph: [/sdcard/a.tflite]")
    first, second = parse_benchmark_runs(2 * (named + BENCHMARK_MODEL_LOGCAT))
    assert (first.model, second.model) == ("/sdcard/a.tflite", "/sdcard/a.tflite")
    assert first.log == second.log == parse_benchmark_model(BENCHMARK_MODEL_LOGCAT)
    (alone,) = parse_benchmark_runs(BENCHMARK_MODEL_LOGCAT)
    assert (alone.model, alone.threads, alone.log) == (None, None, first.log)


def test_two_processes_that_nothing_parts_are_refused_as_one() -> None:
    (run,) = parse_benchmark_runs(2 * BENCHMARK_MODEL_LOGCAT)
    assert run.failure == "benchmark_model: 2 summaries of timings where there must be one"


def test_threads_left_to_the_tool_are_unknown_and_profiling_is_seen() -> None:
    (run,) = parse_benchmark_runs(BENCHMARK_MODEL.replace("INFO: Graph", "INFO: Num threads: [-1]\nINFO: Graph"))
    assert (run.threads, run.profiled) == (None, False)
    (run,) = parse_benchmark_runs(BENCHMARK_MODEL + PROFILE_NEW)
    assert run.profiled


def test_executions_of_one_log_are_told_apart() -> None:
    four, one, broken = parse_executor_runs(EXECUTOR_RUNNER_TWICE)
    assert four.log == parse_executor_runner(EXECUTOR_RUNNER)
    assert (four.model, four.threads, four.profiled) == ("mv2.pte", 4, True)
    assert one.log is not None
    assert (one.model, one.threads, one.profiled, one.log.samples_ms) == ("mv2.pte", 1, False, (700.25,))
    assert (broken.model, broken.log) == ("broken.pte", None)
    assert broken.failure is not None
    assert "XnnpackBackend is not registered" in broken.failure


@given(st.lists(st.sampled_from([EXECUTOR_RUNNER, EXECUTOR_RUNNER_OLD]), min_size=1, max_size=6))
def test_each_execution_of_a_log_is_what_it_is_alone(logs: list[str]) -> None:
    runs = parse_executor_runs("\n".join(logs))
    assert [run.log for run in runs] == [parse_executor_runner(log) for log in logs]


def test_a_log_without_names_is_one_process() -> None:
    (run,) = parse_executor_runs(EXECUTOR_RUNNER_LOGCAT)
    assert run.model is None
    assert run.log == parse_executor_runner(EXECUTOR_RUNNER_LOGCAT)


def test_more_processes_than_anybody_runs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_runs, "MAX_RUNS", 2)
    with pytest.raises(UnreadableOutputError, match="3 processes, at most 2 are read"):
        parse_benchmark_runs(BENCHMARK_MODEL_GPU_THEN_CPU)
