"""The native runners, started as the host starts them."""

import dataclasses
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from running import executorch_file, failed, measured, planned, run, start
from tiny_models import Model
from tiny_tflite import compare_model, reshape_model, select_model, write_model

from android_bench.checksum import seal
from android_bench.plan import PlannedModel
from android_bench.protocol import Protocol
from android_bench.runner.build import Runner, build_runner


def test_runner_measures_a_model_and_finds_the_expected_output(
    case: tuple[Runner, Model], quick: Protocol, tmp_path: Path
) -> None:
    runner, model = case
    core = max(os.sched_getaffinity(0))
    hello, lines, _ = run(runner, [planned(model)], dataclasses.replace(quick, cores=(core,), min_runs=30), tmp_path)
    line = measured(lines[0])
    assert (hello.runtime, hello.runtime_version) == (runner.runtime, runner.runtime_version)
    assert line.output_error is not None
    assert line.output_error < 1e-6
    assert len(line.samples_ns) == 30
    assert 0 < min(line.samples_ns) < 1e9
    assert line.allowed_cores == (core,)
    assert line.cores_ran == [core]
    assert line.first_ns > 0
    assert line.load_ns > 0


@pytest.mark.parametrize("tick_ns", [38, 52, 5000])
def test_the_tick_of_the_clock_is_told(
    case: tuple[Runner, Model], tick_ns: int, quick: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, model = case
    hello, _, _ = run(runner, [planned(model)], quick, tmp_path)
    assert 2 <= hello.tick_ns < 1000
    monkeypatch.setenv("POCKETNAS_COARSE_CLOCK_NS", str(tick_ns))
    coarse, lines, _ = run(runner, [planned(model)], quick, tmp_path)
    assert coarse.tick_ns == tick_ns
    assert {value % tick_ns for value in measured(lines[0]).samples_ns} == {0}


def test_timing_goes_on_until_both_minima_are_reached(
    case: tuple[Runner, Model], quick: Protocol, tmp_path: Path
) -> None:
    runner, model = case
    protocol = dataclasses.replace(quick, min_ns=20_000_000, max_runs=100_000, warmup_min_ns=5_000_000)
    _, lines, _ = run(runner, [planned(model)], protocol, tmp_path)
    line = measured(lines[0])
    assert len(line.samples_ns) > 5
    assert sum(line.samples_ns) > 10_000_000
    assert sum(line.warmup_ns) > 2_000_000


def test_timing_stops_at_the_largest_number_of_runs(
    case: tuple[Runner, Model], quick: Protocol, tmp_path: Path
) -> None:
    runner, model = case
    protocol = dataclasses.replace(quick, min_ns=1_000_000_000, max_runs=7)
    _, lines, _ = run(runner, [planned(model)], protocol, tmp_path)
    assert len(measured(lines[0]).samples_ns) == 7


def test_wrong_output_is_an_error_and_the_next_model_is_still_measured(
    case: tuple[Runner, Model], quick: Protocol, tmp_path: Path
) -> None:
    runner, model = case
    wrong = tmp_path / "wrong"
    (np.fromfile(model.reference, np.float32) * np.float32(1.01)).tofile(wrong)
    _, lines, _ = run(runner, [planned(model, references=(str(wrong),)), planned(model)], quick, tmp_path)
    line = failed(lines[0])
    assert line.kind == "output"
    assert "output 0 differs from its reference by 0.0099 of its scale" in line.message
    assert measured(lines[1]).sequence == 1


def test_output_within_the_allowed_error_is_measured(
    case: tuple[Runner, Model], quick: Protocol, tmp_path: Path
) -> None:
    runner, model = case
    off = tmp_path / "off"
    (np.fromfile(model.reference, np.float32) * np.float32(1.01)).tofile(off)
    _, lines, _ = run(runner, [planned(model, references=(str(off),), max_output_error=0.02)], quick, tmp_path)
    assert measured(lines[0]).output_error == pytest.approx(0.01 / 1.01, rel=1e-3)


def test_files_that_are_no_models_are_errors_and_the_next_model_is_still_measured(
    case: tuple[Runner, Model], quick: Protocol, tmp_path: Path
) -> None:
    runner, model = case
    broken = [tmp_path / name for name in ("missing", "empty", "noise", "cut")]
    broken[1].write_bytes(b"")
    broken[2].write_bytes(np.random.default_rng(0).bytes(4096))
    broken[3].write_bytes(model.path.read_bytes()[:200])  # LiteRT loads it; it has no output
    models = [PlannedModel(path.name, str(path)) for path in broken]
    _, lines, _ = run(runner, [*models, planned(model)], quick, tmp_path)
    assert [failed(line).kind for line in lines[:-1]] == ["model"] * 4
    assert measured(lines[-1]).id == model.path.name


def test_input_of_the_wrong_size_is_an_error(case: tuple[Runner, Model], quick: Protocol, tmp_path: Path) -> None:
    runner, model = case
    short = tmp_path / "short"
    short.write_bytes(model.input.read_bytes()[:-4])
    _, lines, _ = run(
        runner,
        [planned(model, inputs=(str(short),)), planned(model, inputs=(str(model.input),) * 2)],
        quick,
        tmp_path,
    )
    assert "does not hold the 768 bytes of its tensor" in failed(lines[0]).message
    assert "it has 1 inputs, but the plan gives 2" in failed(lines[1]).message


def test_inputs_left_out_are_the_same_in_every_process(
    case: tuple[Runner, Model], quick: Protocol, tmp_path: Path
) -> None:
    runner, model = case
    outputs = []
    for name in ("first", "second"):
        target = tmp_path / name
        bare = planned(model, inputs=(), references=(), output_paths=(str(target),))
        _, lines, _ = run(runner, [bare], quick, tmp_path)
        assert measured(lines[0]).output_error is None
        outputs.append(np.fromfile(target, np.float32))
    assert outputs[0].std() > 0
    np.testing.assert_array_equal(outputs[0], outputs[1])


def test_two_threads_compute_what_one_computes(case: tuple[Runner, Model], quick: Protocol, tmp_path: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("this machine has one core")
    runner, model = case
    protocol = dataclasses.replace(quick, threads=2, cores=tuple(cores[:2]))
    _, lines, _ = run(runner, [planned(model)], protocol, tmp_path)
    error = measured(lines[0]).output_error
    assert error is not None
    assert error < 1e-6


def test_names_and_paths_may_hold_any_character(tflite_models: list[Model], quick: Protocol, tmp_path: Path) -> None:
    path = tmp_path / 'modèle «7» 📱 "q" \\.tflite'
    path.write_bytes(tflite_models[0].path.read_bytes())
    _, lines, _ = run(build_runner("tflite"), [PlannedModel(path.name, str(path))], quick, tmp_path)
    assert measured(lines[0]).id == path.name


DTYPES = ["float16", "float32", "int8", "uint8", "int16", "int32", "int64", "bool"]


def values_of(dtype: str, count: int) -> NDArray[Any]:
    """Any values of the type, the outermost among them."""
    generator = np.random.default_rng(0)
    if dtype == "bool":
        return generator.integers(0, 2, count).astype(bool)
    if dtype.startswith("float"):
        tiny = [np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal, -0.0]
        return np.concatenate([tiny, generator.standard_normal(count - 3)]).astype(dtype)
    info = np.iinfo(dtype)
    return generator.integers(info.min, info.max, count, dtype, endpoint=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_of_every_type_pass_unchanged(
    dtype: str, tflite_runner: Runner, quick: Protocol, tmp_path: Path
) -> None:
    values = values_of(dtype, 33)
    write_model(tmp_path / "m.tflite", reshape_model(dtype, 33))
    values.tofile(tmp_path / "in")
    model = Model(tmp_path / "m.tflite", tmp_path / "in", tmp_path / "in")
    _, lines, _ = run(tflite_runner, [planned(model, output_paths=(str(tmp_path / "out"),))], quick, tmp_path)
    assert measured(lines[0]).output_error == 0
    np.testing.assert_array_equal(np.fromfile(tmp_path / "out", dtype), values)


@pytest.mark.parametrize("dtype", DTYPES)
def test_executorch_tensors_of_every_type_pass_unchanged(
    dtype: str, executorch_runner: Runner, quick: Protocol, tmp_path: Path
) -> None:
    import torch

    class Twice(torch.nn.Module):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return torch.cat([values, values])

    values = values_of(dtype, 33)
    path = executorch_file(Twice(), [values], tmp_path / "m.pte")
    values.tofile(tmp_path / "in")
    np.concatenate([values, values]).tofile(tmp_path / "expected")
    model = PlannedModel("m", path, (str(tmp_path / "in"),), (str(tmp_path / "expected"),), 0.0)
    _, lines, _ = run(executorch_runner, [model], quick, tmp_path)
    assert measured(lines[0]).output_error == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_output_that_differs_in_one_element_is_seen_in_every_type(
    dtype: str, tflite_runner: Runner, quick: Protocol, tmp_path: Path
) -> None:
    values = np.array([0, 1, 1, 0], dtype)
    write_model(tmp_path / "m.tflite", reshape_model(dtype, 4))
    values.tofile(tmp_path / "in")
    np.array([0, 1, 1, 1], dtype).tofile(tmp_path / "expected")
    model = Model(tmp_path / "m.tflite", tmp_path / "in", tmp_path / "expected")
    _, lines, _ = run(tflite_runner, [planned(model)], quick, tmp_path)
    assert "output 0 differs from its reference by 1 of its scale" in failed(lines[0]).message


RANGES = {
    "float16": (-1, 1),
    "float32": (-1, 1),
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (0, 1),
    "int64": (0, 1),
    "bool": (0, 1),
}


@pytest.mark.parametrize("dtype", DTYPES)
def test_inputs_left_out_fill_the_range_of_every_type(
    dtype: str, tflite_runner: Runner, quick: Protocol, tmp_path: Path
) -> None:
    write_model(tmp_path / "m.tflite", reshape_model(dtype, 4000))
    model = PlannedModel("m", str(tmp_path / "m.tflite"), output_paths=(str(tmp_path / "out"),))
    _, lines, _ = run(tflite_runner, [model], quick, tmp_path)
    assert measured(lines[0]).output_error is None
    got = np.fromfile(tmp_path / "out", "uint8" if dtype == "bool" else dtype).astype(np.float64)
    low, high = RANGES[dtype]
    near = 0.01 * (high - low)
    assert low <= got.min() <= low + near
    assert high - near <= got.max() <= high
    assert abs(got.mean() - (low + high) / 2) < 5 * near


def test_several_inputs_of_different_types(tflite_runner: Runner, quick: Protocol, tmp_path: Path) -> None:
    write_model(tmp_path / "m.tflite", select_model(50))
    _, lines, _ = run(tflite_runner, [select_job(tmp_path / "m.tflite", tmp_path)], quick, tmp_path)
    assert measured(lines[0]).output_error == 0


def test_executorch_several_inputs_of_different_types(
    executorch_runner: Runner, quick: Protocol, tmp_path: Path
) -> None:
    import torch

    class Select(torch.nn.Module):
        def forward(self, chosen: torch.Tensor, yes: torch.Tensor, no: torch.Tensor) -> torch.Tensor:
            return torch.where(chosen, yes, no)

    floats = np.zeros((1, 50), np.float32)
    executorch_file(Select(), [floats.astype(bool), floats, floats], tmp_path / "m.pte")
    _, lines, _ = run(executorch_runner, [select_job(tmp_path / "m.pte", tmp_path)], quick, tmp_path)
    assert measured(lines[0]).output_error == 0


def select_job(path: Path, directory: Path) -> PlannedModel:
    generator = np.random.default_rng(0)
    chosen = generator.integers(0, 2, (1, 50)).astype(bool)
    yes, no = generator.standard_normal((2, 1, 50), dtype=np.float32)
    for name, values in {"chosen": chosen, "yes": yes, "no": no, "expected": np.where(chosen, yes, no)}.items():
        values.tofile(directory / name)
    inputs = tuple(str(directory / name) for name in ("chosen", "yes", "no"))
    return PlannedModel("m", str(path), inputs, (str(directory / "expected"),), 0.0)


def test_several_outputs_of_different_types(tflite_runner: Runner, quick: Protocol, tmp_path: Path) -> None:
    values = values_of("float32", 50)[3:]
    write_model(tmp_path / "m.tflite", compare_model(len(values)))
    values.tofile(tmp_path / "in")
    (values > 0).tofile(tmp_path / "positive")
    references = (str(tmp_path / "positive"), str(tmp_path / "in"))
    model = PlannedModel("m", str(tmp_path / "m.tflite"), (str(tmp_path / "in"),), references, 0.0)
    _, lines, _ = run(tflite_runner, [model], quick, tmp_path)
    assert measured(lines[0]).output_error == 0


def test_unsupported_element_type_is_refused(tflite_runner: Runner, quick: Protocol, tmp_path: Path) -> None:
    write_model(tmp_path / "m.tflite", reshape_model("float64", 4))
    _, lines, _ = run(tflite_runner, [PlannedModel("m", str(tmp_path / "m.tflite"))], quick, tmp_path)
    assert "float32, float16, int8, uint8, int16, int32, int64 and bool are supported" in failed(lines[0]).message


def test_executorch_dynamic_shape_is_refused_with_the_reason(
    executorch_runner: Runner, quick: Protocol, tmp_path: Path
) -> None:
    import torch
    from executorch.exir import to_edge

    shapes = ({0: torch.export.Dim("batch", min=1, max=4)},)
    exported = torch.export.export(torch.nn.ReLU(), (torch.randn(2, 3),), dynamic_shapes=shapes)
    (tmp_path / "m.pte").write_bytes(to_edge(exported).to_executorch().buffer)
    _, lines, _ = run(executorch_runner, [PlannedModel("m", str(tmp_path / "m.pte"))], quick, tmp_path)
    assert "input 0 has a dynamic shape" in failed(lines[0]).message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_output_that_is_not_finite_is_an_error(
    dtype: str, value: float, tflite_runner: Runner, quick: Protocol, tmp_path: Path
) -> None:
    write_model(tmp_path / "m.tflite", reshape_model(dtype, 4))
    np.array([1, value, 2, 3], dtype).tofile(tmp_path / "in")
    model = PlannedModel("m", str(tmp_path / "m.tflite"), inputs=(str(tmp_path / "in"),))
    _, lines, _ = run(tflite_runner, [model], quick, tmp_path)
    assert failed(lines[0]).kind == "output"
    assert failed(lines[0]).message == "output 0 is not finite"


SETTINGS: dict[str, object] = {
    "type": "settings",
    "schema_version": 4,
    "runtime_version": "x",
    "threads": 1,
    "cores": [],
    "models": 1,
}
MODEL: dict[str, object] = {
    "type": "model",
    "id": "m",
    "path": "p",
    "warmup_min_runs": 0,
    "warmup_min_ns": 0,
    "warmup_max_ns": 0,
    "min_runs": 1,
    "min_ns": 0,
    "max_runs": 1,
    "max_ns": 1,
    "inputs": [],
    "references": [],
    "max_output_error": 0.1,
    "output_paths": [],
    "profile_runs": 0,
}
BAD_PLANS: dict[str, tuple[list[dict[str, object]], str]] = {
    "empty": ([], "it is damaged: it holds 0 of its 0 models"),
    "no model": ([SETTINGS], "it is damaged: it holds 0 of its 1 models"),
    "cut off between two lines": ([SETTINGS | {"models": 2}, MODEL], "it is damaged: it holds 1 of its 2 models"),
    "model first": ([MODEL, SETTINGS], "line 1: unexpected type model"),
    "other version": ([SETTINGS | {"schema_version": 1}, MODEL], "line 1: this runner reads plans of schema version 4"),
    "no such core": ([SETTINGS | {"cores": [1000]}, MODEL], "cannot run on the cores asked for"),
    "negative core": ([SETTINGS | {"cores": [-1]}, MODEL], "core -1 does not exist"),
    "no thread": ([SETTINGS | {"threads": 0}, MODEL], "line 1: threads is out of range"),
    "unknown field": ([SETTINGS, MODEL | {"warmup": 1}], "line 2: unknown field warmup"),
    "missing field": (
        [SETTINGS, {name: MODEL[name] for name in MODEL if name != "min_ns"}],
        "line 2: the field min_ns is missing",
    ),
    "warm-up that may not last": (
        [SETTINGS, MODEL | {"warmup_min_ns": 2, "warmup_max_ns": 1}],
        "line 2: warmup_min_ns is out of range",
    ),
    "text for a number": ([SETTINGS, MODEL | {"min_ns": "0"}], "line 2: min_ns is not a whole number"),
    "fraction for a whole number": ([SETTINGS, MODEL | {"min_ns": 0.5}], "line 2: min_ns is not a whole number"),
    "more than the most": ([SETTINGS, MODEL | {"min_runs": 2}], "line 2: min_runs is out of range"),
    "too many runs": ([SETTINGS, MODEL | {"max_runs": 10**9}], "line 2: max_runs is out of range"),
    "too many runs for a profile": ([SETTINGS, MODEL | {"profile_runs": 1001}], "line 2: profile_runs is out of range"),
    "number for a path": ([SETTINGS, MODEL | {"inputs": [1]}], "line 2: inputs is not an array of strings"),
    "nested": ([SETTINGS, MODEL | {"inputs": [["a"]]}], "line 2: not a JSON value at column"),
    "null in a path": ([SETTINGS, MODEL | {"path": "a\0b"}], "line 2: a string holds a null character"),
    "half a surrogate pair": ([SETTINGS, MODEL | {"path": "\ud800"}], "line 2: half of a surrogate pair"),
    "negative tolerance": ([SETTINGS, MODEL | {"max_output_error": -1}], "line 2: max_output_error is below zero"),
}


def plan_of(*lines: bytes) -> bytes:
    return b"".join(seal(line) + b"\n" for line in lines)


@pytest.mark.parametrize("name", BAD_PLANS)
def test_bad_plan_is_refused_in_one_line(name: str, tflite_runner: Runner, tmp_path: Path) -> None:
    lines, reason = BAD_PLANS[name]
    done = start(tflite_runner, plan_of(*(json.dumps(line).encode() for line in lines)), tmp_path)
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.startswith(b"plan ")
    assert reason in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b'{"type":"settings"', b'{"a":1,"a":1}', b'{"type":"settings"} x', b"\xff", b'{"a":01x}']
)
def test_plan_that_is_not_json_is_refused_in_one_line(line: bytes, tflite_runner: Runner, tmp_path: Path) -> None:
    done = start(tflite_runner, plan_of(line), tmp_path)
    assert done.returncode == 2
    assert b"line 1: " in done.stderr
    assert b"damaged" not in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_damaged_plan_is_refused_wherever_it_is_damaged(tflite_runner: Runner, tmp_path: Path) -> None:
    whole = plan_of(json.dumps(SETTINGS).encode(), json.dumps(MODEL).encode())
    damaged = [whole[:length] for length in range(0, len(whole) - 1, 23)]
    for at in range(3, len(whole), 23):
        damaged.append(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    damaged.append(whole.replace(b"\t", b" "))
    damaged.append(whole.upper())
    for plan in damaged:
        done = start(tflite_runner, plan, tmp_path)
        assert (done.returncode, done.stdout) == (2, b""), plan
        assert b"it is damaged" in done.stderr, plan
        assert done.stderr.count(b"\n") == 1


def test_missing_plan_is_refused_in_one_line(case: tuple[Runner, Model]) -> None:
    done = subprocess.run([case[0].path, "/nonexistent"], capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr == b"plan /nonexistent: cannot open it: No such file or directory\n"
