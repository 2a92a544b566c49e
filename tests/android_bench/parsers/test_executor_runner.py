"""ExecuTorch's executor_runner: its log."""

import pytest
from device_samples import (
    EXECUTOR_RUNNER,
    EXECUTOR_RUNNER_FAILED,
    EXECUTOR_RUNNER_LOGCAT,
    EXECUTOR_RUNNER_OLD,
)
from hypothesis import given
from hypothesis import strategies as st

from android_bench.errors import UnreadableOutputError
from android_bench.parsers.executor_runner import ExecutorLog, parse_executor_runner

SAMPLES = st.lists(st.integers(0, 10**10).map(lambda ns: ns / 1e6), min_size=1, max_size=50)


def test_each_iteration_is_a_sample() -> None:
    log = parse_executor_runner(EXECUTOR_RUNNER)
    assert log == ExecutorLog(2, 475.044289, (241.944288, 233.100001), 4463.268273, 1, ())
    assert log.has_samples
    assert log.average_ms == pytest.approx(237.5221445)


def test_old_build_gives_no_more_than_the_average() -> None:
    log = parse_executor_runner(EXECUTOR_RUNNER_OLD)
    assert (log.executions, log.average_ms, log.samples_ms, log.load_ms, log.outputs) == (10, 2.55, (), None, 2)
    assert not log.has_samples


def test_error_before_a_good_end_is_told() -> None:
    assert parse_executor_runner(EXECUTOR_RUNNER_OLD).errors == ("Output 0 is memory planned, or is a constant.",)


def test_log_of_android_s_own_layer_is_read_through_logcat() -> None:
    assert parse_executor_runner(EXECUTOR_RUNNER_LOGCAT) == ExecutorLog(1, 3.25, (3.25,), 12.5, None, ())


def test_what_a_model_prints_is_passed_over() -> None:
    text = EXECUTOR_RUNNER.replace("OutputX 0", "Model executed successfully 9 time(s) in 1.000000 ms.\nOutputX 0")
    assert parse_executor_runner(text) == parse_executor_runner(EXECUTOR_RUNNER)


def test_failure_gives_its_reason() -> None:
    with pytest.raises(UnreadableOutputError, match=r"0 lines say how long it took.*failed with status 0x20"):
        parse_executor_runner(EXECUTOR_RUNNER_FAILED)


@pytest.mark.parametrize("lines", range(7))
def test_log_cut_after_any_line_before_its_end_is_refused(lines: int) -> None:
    with pytest.raises(UnreadableOutputError, match="0 lines say how long it took"):
        parse_executor_runner("\n".join(EXECUTOR_RUNNER.split("\n")[:lines]))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("successfully 2 time(s)", "successfully 0 time(s)", "no time"),
        ("in 475.044289 ms", "in 475.044.289 ms", "no time"),
        ("successfully 2 time(s)", "successfully 3 time(s)", "not numbered one after the other"),
        ("Iteration 2 of 2", "Iteration 1 of 2", "not numbered one after the other"),
        ("Iteration 2 of 2: 233.100001 ms", "", "1 iterations, but it says that it ran 2"),
        ("233.100001", "2.3.3", "an iteration without its time"),
        ("233.100001", "333.100001", "its iterations took 575.044289 ms"),
    ],
)
def test_log_that_lacks_or_contradicts_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(UnreadableOutputError, match=message):
        parse_executor_runner(EXECUTOR_RUNNER.replace(old, new))


def test_build_that_does_not_say_how_long_it_took_is_refused() -> None:
    text = EXECUTOR_RUNNER_OLD.replace("successfully 10 time(s) in 25.500000 ms.", "successfully.")
    with pytest.raises(UnreadableOutputError, match="0 lines say how long it took"):
        parse_executor_runner(text)


def test_two_runs_in_one_log_are_refused() -> None:
    with pytest.raises(UnreadableOutputError, match="2 lines say how long it took"):
        parse_executor_runner(EXECUTOR_RUNNER * 2)


@given(SAMPLES, st.integers(0, 9))
def test_samples_survive_the_trip(samples: list[float], outputs: int) -> None:
    head = "I 00:00:06.075558 executorch:executor_runner.cpp:779]"
    lines = [f"{head} Iteration {i} of {len(samples)}: {ms:f} ms" for i, ms in enumerate(samples, 1)]
    lines += [f"{head} Model executed successfully {len(samples)} time(s) in {sum(samples):f} ms."]
    log = parse_executor_runner("\n".join([*lines, f"{head} {outputs} outputs: "]))
    assert (log.samples_ms, log.outputs) == (tuple(samples), outputs)
