"""TFLite's benchmark_model: its console text and its statistics."""

import re

import pytest
from device_samples import (
    BENCHMARK_MODEL,
    BENCHMARK_MODEL_FAILED,
    BENCHMARK_MODEL_LOGCAT,
    BENCHMARK_MODEL_TF_1_12,
    BENCHMARK_MODEL_TF_2_3,
    PROFILE_OLD,
)
from hypothesis import given
from hypothesis import strategies as st

from android_bench.errors import UnreadableOutputError
from android_bench.parsers.benchmark_model import DelegateCoverage, parse_benchmark_model
from android_bench.parsers.run_statistics import RunStatistics, parse_run_statistics

WARMUP = (
    "INFO: count=50 first=72635 curr=42240 min=42134 max=72635 avg=43536.2 std=4813 p5=42168 median=42430 p95=49447"
)
MEASURED = (
    "INFO: count=24 first=42142 curr=42232 min=42142 max=42763 avg=42435.4 std=147 p5=42232 median=42405 p95=42729"
)
ANNOUNCED = re.compile(r"INFO: Running benchmark for at least 50.*\n")
US = st.integers(0, 10**9)


def test_measurement_is_the_second_series() -> None:
    log = parse_benchmark_model(BENCHMARK_MODEL)
    assert log.inference == RunStatistics(24, 42142, 42232, 42142, 42763, 42435.4, 147, 42232, 42405, 42729)
    assert log.warmup == RunStatistics(50, 72635, 42240, 42134, 72635, 43536.2, 4813, 42168, 42430, 49447)
    assert log.requested_runs == 5


def test_what_surrounds_the_measurement_is_read() -> None:
    log = parse_benchmark_model(BENCHMARK_MODEL)
    assert (log.init_us, log.first_inference_us, log.initialized_ms) == (143_669, 72_635, 143.669)
    assert (log.model_size_mb, log.init_memory_mb, log.overall_memory_mb) == (8.45746, 23.5625, 27.5859)
    assert log.peak_memory_mb == 41.2
    assert log.delegates == (DelegateCoverage("TfLiteXNNPackDelegate", 2136, 2168, 65),)
    assert (log.unconsumed_flags, log.errors) == (None, ())


def test_build_of_2020_has_no_percentiles() -> None:
    log = parse_benchmark_model(BENCHMARK_MODEL_TF_2_3)
    assert (log.inference.avg_us, log.inference.median_us, log.peak_memory_mb) == (119_375, None, None)


def test_oldest_build_announces_and_sums_up_in_other_words() -> None:
    log = parse_benchmark_model(BENCHMARK_MODEL_TF_1_12)
    assert (log.inference.avg_us, log.init_us, log.first_inference_us) == (137_722, 4452, None)
    assert log.warmup == RunStatistics(1, 146_161, 146_161, 146_161, 146_161, 146_161, 0, None, None, None)


def test_old_summary_names_the_inference() -> None:
    text = BENCHMARK_MODEL_TF_1_12.replace("no stats:", "Inference:")
    assert parse_benchmark_model(text).inference.avg_us == 137_722


def test_log_of_the_app_is_read_through_logcat() -> None:
    log = parse_benchmark_model(BENCHMARK_MODEL_LOGCAT)
    assert (log.inference.count, log.inference.avg_us, log.initialized_ms) == (75, 12_167.6, 126.059)
    old = re.sub(r"(?m)^.* I tflite  : ", "I/tflite  ( 3380): ", BENCHMARK_MODEL_LOGCAT)
    assert parse_benchmark_model(old) == log


def test_statistics_of_a_profile_are_not_the_measurement() -> None:
    profile = PROFILE_OLD.split("Average inference")[0]
    assert parse_benchmark_model(BENCHMARK_MODEL + profile).inference.count == 24
    assert parse_benchmark_model(profile + BENCHMARK_MODEL).inference.count == 24


@pytest.mark.parametrize("empty", [True, False])
def test_without_warm_up_its_series_is_empty_or_missing(empty: bool) -> None:
    text = BENCHMARK_MODEL.replace(WARMUP, "INFO: count=0")
    text = text if empty else ANNOUNCED.sub("", text).replace("INFO: count=0\n", "")
    log = parse_benchmark_model(
        text.replace("First inference: 72635, Warmup (avg): 43536.2", "First inference: 0, Warmup (avg): 0")
    )
    assert (log.warmup, log.first_inference_us, log.inference.count) == (None, None, 24)


def test_average_beyond_a_second_has_an_exponent() -> None:
    line = "count=2 first=1240270 curr=1240271 min=1240270 max=1240271 avg=1.24027e+06 std=0"
    text = BENCHMARK_MODEL.replace(MEASURED, f"INFO: {line}").replace("(avg): 42435.4", "(avg): 1.24027e+06")
    assert parse_benchmark_model(text).inference.avg_us == 1_240_270


def test_every_round_of_every_delegate_counts() -> None:
    second = "INFO: Replacing 3 out of 4 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 2 partitions.\n"
    log = parse_benchmark_model(BENCHMARK_MODEL.replace("INFO: The input", second + "INFO: The input"))
    assert log.delegates[1:] == (DelegateCoverage("TfLiteGpuDelegateV2", 3, 4, 2),)


def test_flags_that_it_did_not_understand_are_told() -> None:
    text = BENCHMARK_MODEL.replace("STARTING!", "STARTING!\nWARN: Unconsumed cmdline flags: --use_gpu=true --x=1")
    assert parse_benchmark_model(text).unconsumed_flags == "--use_gpu=true --x=1"


def test_error_before_a_good_end_is_told() -> None:
    text = BENCHMARK_MODEL.replace("INFO: The input", "ERROR: Failed to apply GPU delegate.\nINFO: The input")
    assert parse_benchmark_model(text).errors == ("Failed to apply GPU delegate.",)


def test_failure_gives_its_reason() -> None:
    with pytest.raises(UnreadableOutputError, match="it failed: Encountered unresolved custom op"):
        parse_benchmark_model(BENCHMARK_MODEL_FAILED)


@pytest.mark.parametrize("lines", range(len(BENCHMARK_MODEL[: BENCHMARK_MODEL.index("INFO: Inference")].split("\n"))))
def test_log_cut_after_any_line_before_its_summary_is_refused(lines: int) -> None:
    with pytest.raises(UnreadableOutputError, match="0 summaries of timings"):
        parse_benchmark_model("\n".join(BENCHMARK_MODEL.split("\n")[:lines]))


def test_lost_series_is_not_replaced_by_the_warm_up() -> None:
    start, end = BENCHMARK_MODEL.index("INFO: Running benchmark for at least 5 "), BENCHMARK_MODEL.index(MEASURED)
    text = BENCHMARK_MODEL[:start] + BENCHMARK_MODEL[end + len(MEASURED) :]
    with pytest.raises(UnreadableOutputError, match=r"its runs took 43536.2 us, but its summary says 42435.4 us"):
        parse_benchmark_model(text)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (MEASURED, "INFO: count=0", "it measured no run"),
        (MEASURED, "", "a series of runs without its statistics"),
        (MEASURED, MEASURED[:60], "no statistics"),
        (MEASURED, MEASURED.replace("curr=42232", "curr=4223x"), "no statistics"),
        (MEASURED, MEASURED.replace("42435.4", "nan"), "no statistics"),
        ("Inference (avg): 42435.4", "Inference (avg): inf", "no summary of timings"),
        ("Inference (avg): 42435.4", "Inference (avg): 42436.4", "its runs took 42435.4 us"),
        ("Inference timings in us: Init", "Inference timings in us: In", "no summary of timings"),
    ],
)
def test_log_that_lacks_or_contradicts_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(UnreadableOutputError, match=message):
        parse_benchmark_model(BENCHMARK_MODEL.replace(old, new))


def test_two_runs_in_one_log_are_refused() -> None:
    with pytest.raises(UnreadableOutputError, match="2 summaries of timings"):
        parse_benchmark_model(BENCHMARK_MODEL * 2)
    with pytest.raises(UnreadableOutputError, match="4 series of runs"):
        parse_benchmark_model(BENCHMARK_MODEL.split("INFO: Inference")[0] + BENCHMARK_MODEL)


@pytest.mark.parametrize("line", ["count=1 curr=7", "count=9 curr=7(all same)", "count=9 curr=7 (all same)"])
def test_runs_of_one_length_have_one_value(line: str) -> None:
    count = 1 if line.startswith("count=1") else 9
    assert parse_run_statistics(line) == RunStatistics(count, 7, 7, 7, 7, 7, 0, None, None, None)


def test_runs_of_one_length_may_have_percentiles() -> None:
    statistics = parse_run_statistics("count=1 curr=7 p5=7 median=7 p95=7")
    assert statistics == RunStatistics(1, 7, 7, 7, 7, 7, 0, 7, 7, 7)


def test_no_run_has_no_statistics() -> None:
    assert parse_run_statistics("count=0") is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "count=",
        "count=0 curr=1",
        "count=1",
        "count=1 first=1",
        "count=-1 curr=1",
        "count=1 curr=1 curr=1",
        "count=1 curr=99999999999999999999",
        "count=2 first=1 curr=2 min=1 max=2 avg=1.5",
        "count=2 curr=2 first=1 min=1 max=2 avg=1.5 std=0",
        "count=2 first=1 curr=2 min=1 max=2 avg=1.5 std=0 p5=1 median=1",
        "count=1 curr=1 rubbish",
    ],
)
def test_line_that_is_cut_or_garbled_is_refused(line: str) -> None:
    with pytest.raises(UnreadableOutputError, match="no statistics"):
        parse_run_statistics(line)


@pytest.mark.parametrize(
    "line",
    [
        "count=2 first=9 curr=2 min=1 max=2 avg=1.5 std=0",
        "count=2 first=1 curr=2 min=1 max=2 avg=2.5 std=0",
        "count=2 first=1 curr=2 min=1 max=2 avg=0 std=0",
        "count=2 first=1 curr=2 min=1 max=2 avg=1.5 std=7",
        "count=2 first=1 curr=2 min=1 max=2 avg=1.5 std=0 p5=2 median=1 p95=2",
        "count=2 first=1 curr=2 min=1 max=2 avg=1.5 std=0 p5=1 median=1 p95=3",
    ],
)
def test_statistics_that_contradict_themselves_are_refused(line: str) -> None:
    with pytest.raises(UnreadableOutputError, match="contradict themselves"):
        parse_run_statistics(line)


@given(st.lists(US, min_size=2, max_size=30).filter(lambda runs: len(set(runs)) > 1), st.booleans())
def test_statistics_of_any_runs_survive_the_trip(runs: list[int], with_percentiles: bool) -> None:
    mean = sum(runs) / len(runs)
    std = int((sum((run - mean) ** 2 for run in runs) / len(runs)) ** 0.5)
    p5, median, p95 = (sorted(runs)[len(runs) * percent // 100] for percent in (5, 50, 95))
    line = f"count={len(runs)} first={runs[0]} curr={runs[-1]} min={min(runs)} max={max(runs)} avg={mean:.6g} std={std}"
    line += f" p5={p5} median={median} p95={p95}" if with_percentiles else ""
    statistics = parse_run_statistics(line)
    assert statistics is not None
    assert (statistics.count, statistics.first_us, statistics.last_us) == (len(runs), runs[0], runs[-1])
    assert statistics.avg_us == pytest.approx(mean, rel=1e-5)
    assert statistics.median_us == (median if with_percentiles else None)
