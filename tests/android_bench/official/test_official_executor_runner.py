"""Sessions with executor_runner, on this machine and over a real adbd."""

import dataclasses
from collections.abc import Sequence

import pytest
from device_samples import EXECUTOR_RUNNER, EXECUTOR_RUNNER_FAILED, EXECUTOR_RUNNER_LOGCAT
from official_doubles import EXECUTIONS, OLD_EXECUTIONS, Bench, Said
from tiny_models import Model

from android_bench.latencies import latencies
from android_bench.official.executor_runner import MAX_EXECUTIONS, executions, warmup_runs
from android_bench.protocol import NETWORKS, Protocol
from pocketnas_base.errors import MeasurementError

MS = 1_000_000
QUIET = ["--undefok=print_output,etdump_path", "--print_output=none", "--etdump_path=/dev/null"]


def measure(bench: Bench, said: Said, model: Model) -> str:
    return bench.measure(bench.tool(said), [model.job()], kind="executor_runner")


def test_every_execution_is_a_sample_and_the_first_are_warm_up(bench: Bench, executorch_model: Model) -> None:
    bench.protocol = Protocol(processes=2, warmup_min_runs=2, warmup_min_ns=10 * MS, min_runs=4, min_ns=30 * MS)
    key = measure(bench, Said(before=EXECUTIONS), executorch_model)
    for reading in bench.readings(key):
        assert reading.stated is None
        assert reading.warmup_ns.tolist() == [9 * MS, 1.5 * MS]
        assert set(reading.samples_ns.tolist()) == {1.5 * MS}
        assert reading.samples_ns.sum() >= 30 * MS
        assert (reading.first_ns, reading.load_ns) == (9 * MS, 231_224)
    summary = latencies(bench.store, key)[executorch_model.path.name]
    assert (summary.statistic, summary.median_ns, summary.p90_ns) == ("median", 1.5 * MS, 1.5 * MS)


def test_number_of_executions_follows_from_what_the_model_takes(here: Bench, executorch_model: Model) -> None:
    here.protocol = Protocol(
        processes=2, warmup_min_runs=2, warmup_min_ns=10 * MS, min_runs=4, min_ns=30 * MS, threads=1
    )
    measure(here, Said(before=EXECUTIONS), executorch_model)
    told = here.told()
    counts = [int(arguments[1].partition("=")[2]) for arguments in told]
    # A short process shows it once; then come three steps in each of two processes, a tenth longer than would just do.
    assert counts == [6] + 6 * [7 + 23]
    assert [arguments[2:] for arguments in told] == 7 * [["--cpu_threads=1", *QUIET]]
    assert all(arguments[0].startswith("--model_path=") for arguments in told)


def test_build_that_prints_the_total_alone_states_a_mean(bench: Bench, executorch_model: Model) -> None:
    key = measure(bench, Said(before=OLD_EXECUTIONS), executorch_model)
    (reading, _) = bench.readings(key)
    assert reading.stated is not None
    count = reading.stated.count
    assert reading.stated.mean_ns == pytest.approx((9 + 1.5 * (count - 1)) / count * MS)
    assert (reading.load_ns, reading.first_ns, reading.stated.statistic) == (None, None, "mean")
    summary = latencies(bench.store, key)[executorch_model.path.name]
    assert (summary.statistic, summary.p10_ns, summary.samples) == ("mean", None, 2 * count)


@pytest.mark.parametrize(
    ("said", "match"),
    [
        (Said(stderr=EXECUTOR_RUNNER_FAILED, status=134), "ended with status 134: .*Backend XnnpackBackend is not reg"),
        (Said(stderr=EXECUTOR_RUNNER_FAILED), "0 lines say how long it took"),
        (Said(stderr=EXECUTOR_RUNNER[: EXECUTOR_RUNNER.index("I 00:00:06.309600")]), "0 lines say how long it took"),
        (Said(stderr=EXECUTOR_RUNNER.replace("ETDump", "").replace("2 of 2: 233", "2 of 2: 333")), "but it says"),
        (Said(stderr="I 00:00:00.1 executorch:x.cpp:1] hello", before="kill -9 $$"), "ended with status 137"),
    ],
)
def test_model_that_fails_is_named(said: Said, match: str, here: Bench, executorch_model: Model) -> None:
    with pytest.raises(
        MeasurementError, match=rf"tiny\.pte cannot be measured on {here.device.id}: .*{match}"
    ) as caught:
        measure(here, said, executorch_model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "match"),
    [
        (
            Said(stderr="ERROR: unknown command line flag 'num_executions'", status=1),
            "executor_runner does not understand --num_executions: this build is of another version",
        ),
        (Said(stderr=EXECUTOR_RUNNER), "executor_runner notes what every operator does.*EVENT_TRACER=OFF"),
    ],
)
def test_tool_that_is_of_no_use_ends_the_session_at_once(
    said: Said, match: str, bench: Bench, executorch_model: Model
) -> None:
    with pytest.raises(MeasurementError, match=match):
        measure(bench, said, executorch_model)
    assert len(bench.told()) == 1


def test_build_that_prints_into_the_phone_s_log_is_read_there(bench: Bench, executorch_model: Model) -> None:
    if bench.phone is None:
        with pytest.raises(MeasurementError, match="0 lines say how long it took"):
            measure(bench, Said(), executorch_model)
        return
    bench.phone.set("logcat", EXECUTOR_RUNNER_LOGCAT)
    key = measure(bench, Said(), executorch_model)
    assert {tuple(reading.samples_ns.tolist()) for reading in bench.readings(key)} == {(3_250_000,)}
    assert {reading.load_ns for reading in bench.readings(key)} == {12_500_000}
    bench.phone.forget()


def test_other_runtime_stays_with_our_own_runner(
    here: Bench, executorch_model: Model, tflite_models: list[Model]
) -> None:
    tool = here.tool(Said(before=EXECUTIONS))
    jobs = [executorch_model.job(), tflite_models[0].job()]
    key = here.measure(tool, jobs, kind="executor_runner")
    by_runtime = {reading.runtime: reading for reading in here.readings(key)}
    assert by_runtime["executorch"].median_ns == 1.5 * MS
    assert by_runtime["tflite"].output_error is not None
    (session,) = here.store.sessions()
    assert session.runners["executorch"]["program"] == "executor_runner"
    assert "program" not in session.runners["tflite"]


@pytest.mark.parametrize(
    ("typical_ms", "changes", "expected"),
    [
        (1.0, {}, 10 + 28),
        (100.0, {}, 3 + 5),
        (0.001, {}, MAX_EXECUTIONS),
        (6000.0, {}, 3 + 1),
        (1.0, {"max_runs": 9, "min_runs": 2}, 10 + 9),
        (1.0, {"warmup_min_ns": 0, "min_ns": 0}, 3 + 5),
        (1.0, {"warmup_min_runs": 0, "warmup_min_ns": 0}, 28),
    ],
)
def test_executions_fill_the_times_of_the_protocol(typical_ms: float, changes: dict[str, int], expected: int) -> None:
    protocol = dataclasses.replace(NETWORKS, **changes)  # type: ignore[arg-type]
    assert executions(protocol, typical_ms * MS) == expected


@pytest.mark.parametrize(
    ("samples_ms", "changes", "expected"),
    [
        ([9, 1.5, 1.5, 1.5, 1.5, 1.5], {"warmup_min_runs": 1, "min_ns": 1}, 2),
        ([9, 1.5, 1.5, 1.5, 1.5, 1.5], {"warmup_min_runs": 3}, 3),
        ([1] * 20, {"warmup_min_runs": 0, "min_ns": 1}, 10),
        ([1] * 20, {"warmup_min_runs": 0, "warmup_min_ns": 0}, 0),
        ([0.001] * 2000, {}, 571),
        ([1, 1], {"warmup_min_runs": 5}, 1),
        ([1], {}, 0),
    ],
)
def test_warm_up_is_what_the_protocol_asks_for_and_never_all(
    samples_ms: Sequence[float], changes: dict[str, int], expected: int
) -> None:
    protocol = dataclasses.replace(NETWORKS, **changes)  # type: ignore[arg-type]
    assert warmup_runs(protocol, [round(sample * MS) for sample in samples_ms]) == expected
