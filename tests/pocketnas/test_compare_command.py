"""`pocketnas compare`: what other tools said of a model, beside ours."""

import json
import os
from pathlib import Path
from typing import Any

import device_samples as samples
import numpy as np
import pytest
from command_line import answer, program, refused
from hypothesis import given
from hypothesis import strategies as st
from official_logs import GPU_WHOLE, NNAPI_PART, cut_before, log, log_taking
from tiny_tflite import conv_model, write_model

from android_bench.parsers.text import MAX_LOG_BYTES
from latency.compare import Interval
from pocketnas.tool_files import read_tool_file
from pocketnas_base.errors import InputError

NET = "mobilenet_v1_1.0_224"
SAMPLES = {
    "ours.json": samples.BENCH_JSON,
    "jetpack.json": samples.JETPACK,
    f"{NET}.json": samples.AI_HUB,
    "tool.log": samples.BENCHMARK_MODEL_GPU_THEN_CPU,
    "executor.log": samples.EXECUTOR_RUNNER_TWICE,
    f"{NET}.csv": samples.PROFILE_CSV_NEW,
}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    paths = {name: tmp_path / name for name in SAMPLES}
    for name, text in SAMPLES.items():
        paths[name].write_text(text)
    return paths


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def compared(*words: str | Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer("compare", *words, "--json")["comparisons"]
    return found


def named_log(model: str, us: int, threads: int = 1) -> str:
    return log_taking(us).replace("./models/tiny_muaalem_int4.tflite", model).replace(
        "INFO: Signature", f"INFO: Num threads: [{threads}]\nINFO: Signature"
    )  # fmt: skip


def test_every_tool_is_held_against_the_first(files: dict[str, Path]) -> None:
    document = answer("compare", *files.values(), "--json")
    assert [file["tool"] for file in document["files"]] == [
        "pocketnas bench",
        "Jetpack Benchmark",
        "AI Hub",
        "benchmark_model",
        "executor_runner",
        "benchmark_model profile",
    ]
    jetpack, hub, tool, executor, profile = document["comparisons"]
    (pair,) = jetpack["pairs"]
    assert pair["model"] == NET
    assert (pair["first"]["latency_ms"], pair["other"]["latency_ms"]) == (24.25, 12.104511)
    assert pair["first"]["statistic"] == pair["other"]["statistic"] == "median"
    assert pair["difference_percent"] == pytest.approx(100 * (12.104511 / 24.25 - 1))
    assert pair["intervals_overlap"] is False
    differing = {d["what"]: (d["first"], d["other"]) for d in pair["differing"]}
    assert "device" not in differing, "google Pixel 6 is Google Pixel 6"
    assert "system" not in differing, "API level 34 is Android 14"
    assert differing["suppressed"] == (None, "UNLOCKED, LOW-BATTERY")
    assert differing["clocks"] == (None, "sustained performance")
    assert hub["pairs"][0]["other"]["latency_ms"] == 3.701, "the median of its runs, not its estimate of 3.652"
    assert hub["pairs"][0]["other"]["circumstances"] == {"delegate": "CPU 1 and NPU 2 of 3 layers"}
    (pair,) = tool["pairs"]
    assert (pair["first"]["statistic"], pair["other"]["statistic"]) == ("median", "mean")
    assert pair["other"] | {"circumstances": 0} == {
        "name": f"/data/local/tmp/{NET}.tflite", "statistic": "mean", "latency_ms": 12.0805, "low_ms": 11.93,
        "high_ms": 12.99, "interval": "all runs", "processes": 1, "circumstances": 0,
    }  # fmt: skip
    assert {"what": "threads", "first": "1", "other": "4"} in pair["differing"]
    assert [pair["other"]["latency_ms"] for pair in executor["pairs"]] == pytest.approx([237.5221445, 700.25])
    assert profile["pairs"][0]["other"]["latency_ms"] == pytest.approx(0.1430388)
    assert {"what": "profiled", "first": "no", "other": "yes"} in profile["pairs"][0]["differing"]


def test_what_is_missing_on_either_side_is_listed(files: dict[str, Path]) -> None:
    document = answer("compare", files["ours.json"], files["jetpack.json"], files["tool.log"], "--json")
    assert [failed["model"] for file in document["files"] for failed in file["failed"]] == [
        "startup",
        "/data/local/tmp/custom.tflite",
    ]
    assert "but timeToInitialDisplayMs" in document["files"][1]["failed"][0]["reason"]
    listed = [(Path(one["file"]).name, one["model"]) for c in document["comparisons"] for one in c["unpaired"]]
    assert listed == [
        ("ours.json", "nets/mv2.pte"),
        ("ours.json", "nets/mv2.pte"),
        ("tool.log", "/data/local/tmp/yolov5s.tflite"),
    ]


def test_a_person_reads_the_same(files: dict[str, Path]) -> None:
    done = program("compare", files["ours.json"], files["tool.log"], "--pair", "mv2=yolov5s")
    assert (done.returncode, done.stderr) == (0, "")
    said = " ".join(done.stdout.split())
    assert f"│ {NET} │ median and mean │ 24.2500 │ 12.0805 │ -50.2 │ 24.1000 to 24.5000 │" in said
    assert "│ mv2 │ mean │ 238.5000 │ 57.6505 │ -75.8 │" in said
    assert "first within: 95 % of the median or 95 % of the mean" in said
    assert f"differs: threads 1 and 4 ({NET})" in said
    assert "differs: runtime executorch and tflite; threads 4 and 4" not in said
    assert "differs: runtime executorch and tflite; delegate cpu and gpu (mv2)" in said
    assert "said of the first alone: device Google Pixel 6, system Android 14, runtime version 2.3.0" in said
    assert "rank correlation: not defined for fewer than 3 that differ" in said
    assert "custom: benchmark_model: it failed: Encountered unresolved custom op: MyOp." in said
    assert "not paired" not in said


def test_names_that_are_given_may_hold_an_equals_sign(files: dict[str, Path], tmp_path: Path) -> None:
    path = write(tmp_path / "named.json", samples.JETPACK.replace(f"LOW-BATTERY_{NET}", "run[net=a]"))
    (found,) = compared(path, files["ours.json"], "--pair", "run[net=a]=mv2")
    assert [(pair["first"]["name"], pair["other"]["name"]) for pair in found["pairs"]] == [
        ("run[net=a]", "nets/mv2.pte")
    ]
    (found,) = compared(files["ours.json"], path, "--pair", "mv2=run[net=a]")
    assert len(found["pairs"]) == 1
    assert "--pair x=y=z: " in refused("compare", path, files["ours.json"], "--pair", "x=y=z")


def test_over_three_models_ratio_and_ranks_are_stated(tmp_path: Path) -> None:
    ours = write(tmp_path / "a.log", "".join(named_log(f"net{n}.tflite", 1000 * n) for n in (1, 2, 3, 4)))
    theirs = write(tmp_path / "b.log", "".join(named_log(f"/x/net{n}.tflite", us) for n, us in enumerate(
        (1100, 2200, 4400, 3300), start=1)))  # fmt: skip
    (found,) = compared(ours, theirs)
    assert found["overall"] == {
        "pairs": 4, "median_ratio": pytest.approx(1.1), "rank_correlation": pytest.approx(0.8)
    }  # fmt: skip
    done = program("compare", ours, theirs)
    assert "median ratio, other over first: 1.1000" in done.stdout
    assert "rank correlation: 0.8000" in done.stdout


def test_processes_of_a_model_in_one_log_count_together(tmp_path: Path) -> None:
    one = write(tmp_path / "one.log", named_log("net.tflite", 2000))
    runs = [named_log("net.tflite", us) for us in (1900, 2100, 2600)]
    many = write(tmp_path / "many.log", "".join([*runs, named_log("net.tflite", 900, threads=4)]))
    (found,) = compared(one, many)
    three, four_threads = found["pairs"]
    side = three["other"]
    assert (side["latency_ms"], side["low_ms"], side["high_ms"], side["processes"]) == (2.1, 1.9, 2.6, 3)
    assert (side["interval"], three["intervals_overlap"]) == ("3 processes", True)
    assert four_threads["other"]["latency_ms"] == 0.9
    assert four_threads["differing"] == [{"what": "threads", "first": "1", "other": "4"}]


@pytest.mark.parametrize(("delegates", "told"), [(GPU_WHOLE, "gpu"), (NNAPI_PART, "nnapi"), (None, "cpu"), ("", None)])
def test_what_ran_a_model_is_told_by_the_log(delegates: str | None, told: str | None, tmp_path: Path) -> None:
    path = write(tmp_path / "tool.log", log() if delegates is None else log(delegates))
    (result,) = read_tool_file(path).results
    assert result.circumstances.get("delegate") == told
    assert (result.model, result.figures_ms["median"]) == ("./models/tiny_muaalem_int4.tflite", 42.405)


def test_intervals_are_of_what_they_say(files: dict[str, Path], tmp_path: Path) -> None:
    (jetpack,) = read_tool_file(files["jetpack.json"]).results
    runs = [ns / 1e6 for ns in json.loads(samples.JETPACK)["benchmarks"][0]["metrics"]["timeNs"]["runs"]]
    assert jetpack.interval is not None
    assert (jetpack.interval.low_ms, jetpack.interval.high_ms) == pytest.approx(np.percentile(runs, [5, 95]))
    assert jetpack.interval.kind == "5 to 95 % of runs"
    (new,) = read_tool_file(write(tmp_path / "new.log", log())).results
    assert new.interval == Interval(42.232, 42.729, "5 to 95 % of runs")
    one_process = json.loads(samples.BENCH_JSON)
    one_process[0]["processes"] = 1
    alone, two = read_tool_file(write(tmp_path / "ours.json", json.dumps(one_process))).results
    assert alone.interval is None
    assert two.interval == Interval(236.0, 241.0, "95 % of the mean")


def test_results_of_our_own_are_read_back_and_paired_by_content(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).standard_normal((4, 3), dtype=np.float32)
    for name in ("net.tflite", "renamed.tflite", "other.tflite"):
        write_model(tmp_path / name, conv_model(weights if name != "other.tflite" else weights + 1, (1, 8, 8, 3)))

    def bench(*names: str) -> str:
        paths = [tmp_path / name for name in names]
        done = program("bench", *paths, "-d", "local", "--processes", "2", "--json")
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = write(tmp_path / "first.json", bench("net.tflite", "other.tflite"))
    second = write(tmp_path / "second.json", bench("renamed.tflite"))
    (found,) = compared(first, second)
    (pair,) = found["pairs"]
    assert [pair[side]["name"] for side in ("first", "other")] == [
        str(tmp_path / "net.tflite"),
        str(tmp_path / "renamed.tflite"),
    ]
    assert pair["differing"] == []
    stated = json.loads(first.read_text())[0]
    side = pair["first"]
    assert [side[key] for key in ("latency_ms", "low_ms", "high_ms", "statistic", "processes")] == [
        stated[key] for key in ("median_ms", "ci_low_ms", "ci_high_ms", "statistic", "processes")
    ]
    assert side["circumstances"]["runtime version"] == stated["runtime_version"]
    (unpaired,) = found["unpaired"]
    assert unpaired["model"] == str(tmp_path / "other.tflite")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "results: the file is empty"),
        ("latency 3 ms\n", "results: it is of no tool that is known: read are pocketnas bench --json"),
        (samples.BENCHMARK_MODEL_FAILED, "holds no result of benchmark_model: x: benchmark_model: it failed: Encoun"),
        (
            cut_before("INFO: Inference timings"),
            "holds no result of benchmark_model: ./models/tiny_muaalem_int4.tflite",
        ),
        (log(measured="count=9 curr=0").replace("42435.4", "0"), "faster than the microsecond that is printed"),
        (samples.EXECUTOR_RUNNER_FAILED, "holds no result of executor_runner: mv2.pte: executor_runner: 0 lines"),
        (
            samples.EXECUTOR_RUNNER.replace("233.100001", "0.000000").replace("475.044289", "241.944288"),
            "holds no result of executor_runner: mv2.pte: it says that a run took no time",
        ),
        (samples.PROFILE_CSV_NEW * 2, "not one table of the runs of one model"),
        (samples.PROFILE_CSV_NEW.replace("avg_ms", "avg_us"), "benchmark_model's profile: no operator"),
        (samples.JETPACK.replace("timeNs", "timeMs"), "its times are not stated in ns as timeNs, but timeMs"),
        (samples.AI_HUB.replace("3652", "3.652"), "AI Hub profile: execution_summary.estimated_inference_time: Input"),
        (samples.BENCH_JSON.replace("median_ms", "median_us"), "pocketnas bench: 0.median_ms: Field required"),
        (samples.BENCHMARK_MODEL + samples.EXECUTOR_RUNNER, "it may be of benchmark_model or of executor_runner"),
        (samples.BENCH_JSON[:500], "no valid JSON"),
    ],
)
def test_a_file_of_another_kind_or_unit_is_refused_in_one_line(content: str, message: str, tmp_path: Path) -> None:
    line = refused("compare", write(tmp_path / "good.log", log()), write(tmp_path / "x.json", content))
    assert message in line
    assert "x.json" in line


def test_what_cannot_be_compared_is_refused_in_one_line(files: dict[str, Path], tmp_path: Path) -> None:
    ours, tool, executor = files["ours.json"], files["tool.log"], files["executor.log"]
    assert "give two files of results or more, the yardstick first" in refused("compare", ours)
    line = refused("compare", tool, executor)
    assert f"no model of {tool} ({NET}, yolov5s) is in {executor} (mv2); say which are the same: --pair A=B" in line
    assert "--pair mv2: give two names of one model, A=B" in refused("compare", ours, tool, "--pair", "mv2")
    assert "--pair x=yolov5s: " in refused("compare", ours, tool, "--pair", "x=yolov5s")
    assert "does not exist" in refused("compare", ours, tmp_path / "none.json")
    assert "is no regular file" in refused("compare", ours, tmp_path)
    assert "is no regular file" in refused("compare", ours, "/dev/zero")
    with (tmp_path / "large.log").open("wb") as stream:
        os.truncate(stream.fileno(), MAX_LOG_BYTES + 1)
    assert f"at most {MAX_LOG_BYTES} are read" in refused("compare", ours, tmp_path / "large.log")


@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.sampled_from(sorted(SAMPLES.values())).flatmap(
            lambda text: st.builds(
                lambda at, put: (text[:at] + put + text[at + len(put) :]).encode(),
                st.integers(0, len(text)),
                st.sampled_from(["0", "-1", "1e999", "NaN", '"', "\x1b[2J", "}", "9" * 25, "\n", ""]),
            )
        ),
    )
)
def test_whatever_a_file_holds_it_is_read_or_refused(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    file, refusal = None, ""
    try:
        file = read_tool_file(path)
    except InputError as error:
        refusal = str(error)
    assert refusal.isprintable()
    if file is None:
        return
    assert file.results
    for result in file.results:
        assert all(0 < ms < 1e16 for ms in result.figures_ms.values())
        assert result.interval is None or 0 < result.interval.low_ms <= result.interval.high_ms
        texts = [result.model, *result.circumstances.values(), *(text for failed in file.failed for text in failed)]
        assert all(text.isprintable() for text in texts)
