"""What a delegate runs of a model: recorded, said, and never the CPU in its place without a word."""

import pytest
from official_doubles import Bench, Said
from official_logs import (
    GPU_2020,
    GPU_EARLY_2020,
    GPU_PART,
    GPU_VENDOR,
    GPU_WHOLE,
    NNAPI_NOTHING,
    NNAPI_PART,
    NNAPI_UNDONE,
    NNAPI_WHOLE,
    NO_GPU,
    log,
)
from tiny_models import Model

from android_bench.official.coverage import coverage_of, describe, is_complete, least
from android_bench.parsers.benchmark_model import AppliedDelegate, parse_benchmark_model
from android_bench.stated import Coverage
from pocketnas_base.artifact import Delegate
from pocketnas_base.errors import MeasurementError

GPU, XNNPACK = "TfLiteGpuDelegateV2", "TfLiteXNNPackDelegate"
CASES: list[tuple[Delegate, str, tuple[Coverage, ...], str]] = [
    ("gpu", GPU_WHOLE, (Coverage(GPU, 58, 58, 1, True),), "gpu runs the whole model, 58 operators"),
    (
        "gpu",
        GPU_PART,
        (Coverage(GPU, 29, 31, 2, False), Coverage(XNNPACK, 2, 4, 1, False)),
        "gpu runs 29 of 31 operators in 2 parts, the CPU the rest",
    ),
    ("gpu", GPU_VENDOR, (Coverage("LITERT_CL", 395, 395, 1, True),), "gpu runs the whole model, 395 operators"),
    (
        "gpu",
        GPU_VENDOR + GPU_VENDOR.replace("395 out of 395", "2 out of 5"),
        (Coverage("LITERT_CL", 395, 395, 1, True), Coverage("LITERT_CL", 2, 5, 1, False)),
        "gpu runs 397 of 400 operators in 2 parts, the CPU the rest",
    ),
    ("gpu", GPU_2020, (Coverage(GPU, 3, None, 2, False),), "gpu runs 3 operators in 2 parts, the CPU the rest"),
    ("gpu", GPU_EARLY_2020, (Coverage("GPU", None, None, 1, True),), "gpu runs the whole model"),
    (
        "nnapi",
        NNAPI_WHOLE,
        (Coverage("TfLiteNnapiDelegate", 31, 31, 1, True),),
        "nnapi runs the whole model, 31 operators",
    ),
    (
        "nnapi",
        NNAPI_PART,
        (Coverage("TfLiteNnapiDelegate", 5, 64, 5, False), Coverage(XNNPACK, 59, 62, 5, False)),
        "nnapi runs 5 of 64 operators in 5 parts, the CPU the rest",
    ),
    (
        "nnapi",
        "INFO: Explicitly applied NNAPI delegate, and the model graph will be partially executed by the delegate w/ 44"
        " delegate kernels.\n",
        (Coverage("NNAPI", None, None, 44, False),),
        "nnapi runs a part of the model in 44 parts, the CPU the rest",
    ),
]


@pytest.mark.parametrize(("delegate", "lines", "coverage", "told"), CASES)
def test_coverage_is_read_and_told(delegate: Delegate, lines: str, coverage: tuple[Coverage, ...], told: str) -> None:
    found = coverage_of(parse_benchmark_model(log(lines)))
    assert found == coverage
    assert describe(found, delegate) == told
    assert is_complete(found, delegate) is ("whole" in told)


def test_cpu_runs_the_whole_model_whatever_xnnpack_takes() -> None:
    found = coverage_of(parse_benchmark_model(log()))
    assert found == (Coverage(XNNPACK, 2136, 2168, 65, False),)
    assert is_complete(found, "cpu")
    assert describe(found, "cpu") == "the CPU runs the whole model"


def test_xnnpack_that_was_asked_for_is_counted_once() -> None:
    applied = GPU_WHOLE.splitlines()[-1].replace("GPU", "XNNPACK")
    parsed = parse_benchmark_model(f"{log()}{applied}\n")
    assert parsed.applied == (AppliedDelegate("XNNPACK", "completely", 1),)
    assert [part.delegate for part in coverage_of(parsed)] == [XNNPACK]


def test_of_several_processes_the_least_coverage_is_told() -> None:
    whole, part, unknown = (
        (Coverage(GPU, 58, 58, 1, True),),
        (Coverage(GPU, 29, 31, 2, False), Coverage(XNNPACK, 2, 4, 1, False)),
        (Coverage("GPU", None, None, 3, False),),
    )
    assert least([whole, part, whole], "gpu") == part
    assert least([whole, unknown], "gpu") == unknown
    assert least([whole, whole], "gpu") == whole
    assert least([], "gpu") == ()


@pytest.mark.parametrize(
    ("bench", "delegate", "lines", "coverage"),
    [("local", *CASES[0][:3]), ("local", *CASES[6][:3]), ("phone", *CASES[1][:3])],
    indirect=["bench"],
)
def test_coverage_is_kept_with_each_measurement(
    delegate: str, lines: str, coverage: tuple[Coverage, ...], bench: Bench, tflite_models: list[Model]
) -> None:
    key = bench.measure(bench.tool(Said(log(lines))), [tflite_models[0].job()], delegate=delegate)
    found = bench.store.readings(key)
    assert {reading.coverage for reading in found} == {coverage}
    (session,) = bench.store.sessions()
    assert session.runners["tflite"]["delegate"] == delegate


@pytest.mark.parametrize(
    ("bench", "delegate", "lines", "reason"),
    [
        ("phone", "gpu", "", "the log says nothing of it"),
        ("local", "gpu", "", "the log says nothing of it"),
        ("local", "nnapi", "", "the log says nothing of it"),
        (
            "local",
            "gpu",
            log()[log().index("INFO: Created") : log().index("INFO: The input")],
            "the log says nothing of it",
        ),
        ("local", "nnapi", NNAPI_NOTHING, "it supports none of the model's operators"),
        ("local", "nnapi", NNAPI_UNDONE, "NN API returned error ANEURALNETWORKS_OP_FAILED"),
        ("local", "gpu", NO_GPU, "the log says nothing of it"),
    ],
    indirect=["bench"],
)
def test_delegate_that_runs_nothing_is_an_error_and_never_the_cpu_instead(
    delegate: str, lines: str, reason: str, bench: Bench, tflite_models: list[Model]
) -> None:
    tool = bench.tool(Said(log(lines)))
    match = f"the {delegate} delegate was not applied, the model ran on the CPU: {reason}"
    with pytest.raises(MeasurementError, match=match):
        bench.measure(tool, [tflite_models[0].job()], delegate=delegate)
    assert bench.store.readings(bench.store.sessions()[0].key) == []
