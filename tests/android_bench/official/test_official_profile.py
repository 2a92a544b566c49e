"""Profiles that benchmark_model prints: in runs of their own, in the shape of our runner's, and as means."""

import json
from typing import Any

from device_samples import PROFILE_NEW, PROFILE_OLD
from official_doubles import EXECUTIONS, Bench, Said
from official_logs import GPU_PART, log
from tiny_models import Model

from android_bench.plan import PROFILE_RUNS

_SUMMARY = PROFILE_OLD[PROFILE_OLD.index("Average inference timings") :]


def one_profile(bench: Bench, model: Model, profiled: str, delegate: str = "cpu", said: str = "") -> dict[str, Any]:
    tool = bench.tool(Said(said or log(), profiled=profiled))
    key = bench.measure(tool, [model.job()], delegate=delegate, profile=True)
    found = json.loads(bench.store.profiles(key)[model.path.name, model.job().artifact.sha256])
    assert isinstance(found, dict)
    return found


def test_profile_comes_from_a_run_of_its_own(here: Bench, tflite_models: list[Model]) -> None:
    one_profile(here, tflite_models[0], log() + PROFILE_NEW)
    told = here.told()
    profiled = [arguments for arguments in told if "--enable_op_profiling=true" in arguments]
    # Two processes, each with a sentinel before and after the job; the job is profiled in the first alone.
    assert (len(told), len(profiled)) == (7, 1)
    assert told.index(profiled[0]) == 2
    assert profiled[0][1:] == [
        "--num_threads=1",
        "--use_xnnpack=true",
        "--warmup_runs=1",
        "--warmup_min_secs=0",
        "--max_secs=2",
        f"--num_runs={PROFILE_RUNS}",
        "--min_secs=0",
        "--enable_op_profiling=true",
    ]
    readings = here.store.readings(here.store.sessions()[0].key)
    assert {reading.runs for reading in readings} == {24}


def test_operators_have_the_shape_of_our_own_profiles(bench: Bench, tflite_models: list[Model]) -> None:
    profile = one_profile(bench, tflite_models[0], log() + PROFILE_NEW)
    assert {key: value for key, value in profile.items() if key not in ("operators", "delegates")} == {
        "type": "profile",
        "statistic": "mean",
        "id": tflite_models[0].path.name,
        "sequence": 1,
        "runs": 24,
        "mean_run_ns": 42_435_400,
    }
    assert profile["operators"] == [
        {
            "index": 0,
            "name": "[w]:1",
            "kind": "WHILE",
            "mean_ns": 11_000,
            "total_ns": 264_000,
            "calls": 24,
            "resolution_ns": 1000,
            "delegated": False,
        },
        {
            "index": 1,
            "name": "[s]:0",
            "kind": "ADD",
            "mean_ns": 2000,
            "total_ns": 48_000,
            "calls": 120,
            "resolution_ns": 1000,
            "delegated": False,
        },
        {
            "index": 2,
            "name": "Delegate/Convolution (NHWC, F32) IGEMM:0",
            "kind": "Convolution (NHWC, F32) IGEMM",
            "mean_ns": 1_000_000,
            "total_ns": 24_000_000,
            "calls": 24,
            "resolution_ns": 1000,
            "delegated": True,
        },
    ]
    assert profile["delegates"] == [
        {"name": "TfLiteXNNPackDelegate", "nodes": 2136, "of_nodes": 2168, "partitions": 65}
    ]


def test_delegate_that_says_nothing_of_its_inside_counts_as_one_operator(
    here: Bench, tflite_models: list[Model]
) -> None:
    opaque = PROFILE_NEW[: PROFILE_NEW.index("Delegate internal")].replace(
        "TfLiteXNNPackDelegate", "TfLiteGpuDelegateV2"
    )
    profile = one_profile(here, tflite_models[0], log(GPU_PART) + opaque, "gpu", log(GPU_PART))
    assert [(operator["kind"], operator["delegated"]) for operator in profile["operators"]] == [
        ("TfLiteGpuDelegateV2", True),
        ("WHILE", False),
        ("ADD", False),
    ]
    assert profile["delegates"][0] == {"name": "TfLiteGpuDelegateV2", "nodes": 29, "of_nodes": 31, "partitions": 2}


def test_old_build_s_profile_is_read(here: Bench, tflite_models: list[Model]) -> None:
    profile = one_profile(here, tflite_models[0], log() + PROFILE_OLD.replace(_SUMMARY, ""))
    assert [(o["kind"], o["mean_ns"], o["calls"]) for o in profile["operators"]] == [
        ("CONV_2D", 4_269_000, None),
        ("DEPTHWISE_CONV_2D", 2_150_000, None),
    ]


def test_missing_profile_is_told_and_the_measurement_stays(here: Bench, tflite_models: list[Model]) -> None:
    profile = one_profile(here, tflite_models[0], log())
    assert (profile["type"], profile["kind"]) == ("error", "profile")
    assert "there is no table in it" in profile["message"]
    assert len(here.readings(here.store.sessions()[0].key)) == 2


def test_executor_runner_has_no_profile_and_says_where_there_is_one(here: Bench, executorch_model: Model) -> None:
    tool = here.tool(Said(before=EXECUTIONS))
    key = here.measure(tool, [executorch_model.job()], kind="executor_runner", profile=True)
    profile = json.loads(here.store.profiles(key)[executorch_model.path.name, executorch_model.job().artifact.sha256])
    assert (profile["type"], profile["kind"]) == ("error", "profile")
    assert "leave --runner out" in profile["message"]
