"""Sessions with benchmark_model, on this machine and over a real adbd."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from device_samples import BENCHMARK_MODEL_FAILED, BENCHMARK_MODEL_TF_1_12, BENCHMARK_MODEL_TF_2_3
from official_doubles import Bench, Said
from official_logs import cut_before, log, log_taking
from tiny_models import Model

from android_bench.latencies import latencies
from android_bench.parsers.cpu import core_mask
from android_bench.process import LOAD_ALLOWANCE_S
from android_bench.protocol import Protocol
from android_bench.schedule import schedule
from android_bench.stated import StatedRuns
from pocketnas_base.errors import MeasurementError

STATED = StatedRuns(
    count=24,
    mean_ns=42_435_400,
    median_ns=42_405_000,
    min_ns=42_142_000,
    max_ns=42_763_000,
    std_ns=147_000,
    p5_ns=42_232_000,
    p95_ns=42_729_000,
    load_ns=143_669_000,
    first_ns=72_635_000,
)


def uptime_ns() -> int:
    return round(float(Path("/proc/uptime").read_text().split()[0]) * 100) * 10_000_000


def test_statistics_are_kept_as_they_were_printed(bench: Bench, tflite_models: list[Model]) -> None:
    jobs = [model.job() for model in tflite_models[:3]]
    seen: list[tuple[object, ...]] = []
    key = bench.measure(bench.tool(Said(log())), jobs, progress=lambda *told: seen.append(told))
    found = bench.readings(key)
    assert {(reading.round, reading.job_id) for reading in found} == {(n, job.id) for n in (0, 1) for job in jobs}
    assert len(seen) == 6
    for reading in found:
        assert reading.stated == STATED
        assert len(reading.samples_ns) == len(reading.warmup_ns) == 0
        assert (reading.median_ns, reading.runs) == (42_405_000, 24)
        assert (reading.load_ns, reading.first_ns) == (143_669_000, 72_635_000)
        assert (reading.output_error, reading.voids) == (None, ())
    summary = latencies(bench.store, key)[jobs[0].id]
    assert (summary.median_ns, summary.statistic, summary.samples, summary.processes) == (42_405_000, "median", 48, 2)
    assert (summary.p10_ns, summary.p90_ns) == (None, None)
    assert 0 < summary.floor_ns <= summary.ci_low_ns <= summary.ci_high_ns
    (session,) = bench.store.sessions()
    assert session.runners["tflite"]["program"] == "benchmark_model"
    assert session.runners["tflite"]["delegate"] == "cpu"
    assert session.runners["tflite"]["version"].startswith("benchmark_model ")


def test_each_step_of_the_usual_schedule_is_a_process_of_its_own(bench: Bench, tflite_models: list[Model]) -> None:
    jobs = [model.job() for model in tflite_models]
    tool = bench.tool(Said(log()))
    begun_ns = uptime_ns()
    key = bench.measure(tool, jobs, sentinels=[jobs[2].id])
    steps = [step for n in (0, 1) for step in schedule(jobs, jobs[2], bench.protocol, n)]
    stored = bench.store.readings(key)
    assert [(r.job_id, r.role) for r in stored] == [(step.job.id, step.role) for step in steps]
    assert len(bench.told()) == len(steps)
    assert len({reading.process for reading in stored}) == 2
    # The lookalike shares this machine's kernel, and so its clock.
    ends_ns = [reading.started_ns + round(STATED.count * STATED.mean_ns) for reading in stored]
    assert ends_ns == sorted(ends_ns)
    assert begun_ns <= ends_ns[0] < ends_ns[-1] <= uptime_ns()


@pytest.mark.parametrize(
    ("bench", "delegate", "flags"),
    [
        ("local", "cpu", ["--use_xnnpack=true"]),
        ("local", "gpu", ["--use_gpu=true"]),
        ("local", "nnapi", ["--use_nnapi=true", "--disable_nnapi_cpu=true"]),
        ("phone", "gpu", ["--use_gpu=true"]),
    ],
    indirect=["bench"],
)
def test_tool_is_told_what_the_protocol_says(
    delegate: str, flags: list[str], bench: Bench, tflite_models: list[Model]
) -> None:
    cores = tuple(core.number for core in bench.device.info.cores)[:2]
    bench.protocol = Protocol(
        processes=1,
        warmup_min_runs=3,
        warmup_min_ns=10_000_000,
        min_runs=7,
        min_ns=25_000_000,
        max_ns=2_500_000_000,
        threads=2,
        cores=cores,
    )
    model = tflite_models[0]
    tool = bench.tool(
        Said(log("VERBOSE: Replacing 3 out of 3 node(s) with delegate (X) node, yielding 1 partitions.\n"))
    )
    key = bench.measure(tool, [model.job()], delegate=delegate)
    told = bench.told()[0]
    assert told[1:] == [
        "--num_threads=2",
        *flags,
        "--warmup_runs=3",
        "--warmup_min_secs=0.01",
        "--max_secs=2.5",
        "--num_runs=7",
        "--min_secs=0.025",
    ]
    sha256 = model.job().artifact.sha256
    place = f"/data/local/tmp/pocketnas/blobs/{sha256}" if bench.phone else str(model.path)
    assert told[0] == f"--graph={place}"
    assert {int(reading.cpus_allowed.replace(",", ""), 16) for reading in bench.store.readings(key)} == {
        int(core_mask(cores), 16)
    }


@pytest.mark.parametrize(
    ("text", "mean_us", "load_us", "first_us"),
    [(BENCHMARK_MODEL_TF_2_3, 119_375, 870_557, 130_565), (BENCHMARK_MODEL_TF_1_12, 137_722, 4452, 146_161)],
)
def test_old_build_states_a_mean_and_the_result_says_so(
    text: str, mean_us: int, load_us: int, first_us: int, here: Bench, tflite_models: list[Model]
) -> None:
    job = tflite_models[0].job()
    key = here.measure(here.tool(Said(text)), [job])
    summary = latencies(here.store, key)[job.id]
    assert (summary.median_ns, summary.statistic) == (mean_us * 1000, "mean")
    reading = here.readings(key)[0]
    assert reading.stated is not None
    assert (reading.stated.statistic, reading.stated.median_ns, reading.stated.p95_ns) == ("mean", None, None)
    assert (reading.load_ns, reading.first_ns) == (load_us * 1000, first_us * 1000)


def test_drift_that_the_sentinel_shows_is_divided_out(here: Bench, tflite_models: list[Model]) -> None:
    """The second round is twice as slow, and the sentinel shows it."""
    job, sentinel = tflite_models[0].job(), tflite_models[1].job()
    here.protocol = dataclasses.replace(here.protocol, sentinel_every=10)
    count = here.folder / "count" if here.phone is None else Path(f"/data/local/tmp/{here.folder.name}-count")
    slower = f"n=$(cat {count} 2>/dev/null); n=$((n + 1)); echo $n >{count}; [ $n -le 4 ] || slow=1"

    def said(us: int) -> Said:
        after = f"{slower}\nif [ $slow ]; then cat <<'SLOW'\n{log_taking(2 * us)}\nSLOW\nexit 0\nfi"
        return Said(log_taking(us), before=after)

    tool = here.tool(said(500), {job.artifact.sha256: said(100)})
    key = here.measure(tool, [job, sentinel], sentinels=[sentinel.id])
    assert [reading.median_ns for reading in here.readings(key) if reading.job_id == job.id] == [100_000, 200_000]
    summary = latencies(here.store, key)[job.id]
    assert summary.ci_high_ns / summary.ci_low_ns == pytest.approx(1)
    assert summary.median_ns == pytest.approx(150_000)
    assert latencies(here.store, key, correct_drift=False)[job.id].ci_low_ns == 100_000


FAILURES = [
    (Said(BENCHMARK_MODEL_FAILED, status=1), "ended with status 1: Encountered unresolved custom op: MyOp"),
    (Said(stdout="INFO: STARTING!", stderr="ERROR: Benchmarking failed.", status=1), "1: Benchmarking failed"),
    (Said(BENCHMARK_MODEL_FAILED), "it failed: Encountered unresolved custom op: MyOp"),
    (Said(), "0 summaries of timings where there must be one"),
    (Said(cut_before("INFO: Inference timings")), "0 summaries of timings"),
    (Said(cut_before(" Inference (avg)")), "no summary of timings"),
    (Said(log(measured="count=0")), "it measured no run"),
    (Said(log(measured="count=24 first=42142 curr=42232")), "no statistics"),
    (Said(log() + log()), "2 summaries of timings"),
    (Said(log().replace("(avg): 42435.4", "(avg): 52435.4")), "its summary says 52435.4 us"),
    (Said(log_taking(0)), "faster than the microsecond that benchmark_model can tell"),
    (Said(before="kill -SEGV $$"), "ended with status 139: .*"),
]
OVER_ADB = [FAILURES[index] for index in (0, 4, -1)]


@pytest.mark.parametrize(
    ("bench", "said", "match"),
    [("local", *case) for case in FAILURES] + [("phone", *case) for case in OVER_ADB],
    indirect=["bench"],
)
def test_model_that_fails_is_named_and_the_others_are_kept(
    said: Said, match: str, bench: Bench, tflite_models: list[Model]
) -> None:
    bad, *good = [model.job() for model in tflite_models[:3]]
    tool = bench.tool(Said(log()), {bad.artifact.sha256: said})
    with pytest.raises(
        MeasurementError, match=rf"conv0\.tflite cannot be measured on {bench.device.id}: .*{match}"
    ) as caught:
        bench.measure(tool, [bad, *good], sentinels=[good[0].id])
    assert "\n" not in str(caught.value)
    key = bench.store.sessions()[0].key
    assert {job for _, job, _ in bench.store.measured(key)} == {job.id for job in good}
    assert sum(bad.artifact.sha256 in reading.artifact_sha256 for reading in bench.store.readings(key)) == 0


def test_sentinel_that_fails_is_not_tried_again_in_the_same_round(here: Bench, tflite_models: list[Model]) -> None:
    bad, *good = [model.job() for model in tflite_models[:5]]
    tool = here.tool(Said(log()), {bad.artifact.sha256: Said(status=1)})
    with pytest.raises(MeasurementError, match=r"conv0\.tflite cannot be measured"):
        here.measure(tool, [bad, *good], sentinels=[bad.id])
    assert sum("conv0" in told[0] or bad.artifact.sha256 in told[0] for told in here.told()) == 1


@pytest.mark.parametrize(
    ("said", "match"),
    [
        (
            Said(log().replace("INFO: Loaded", "WARN: Unconsumed cmdline flags: --use_gpu=true --x=1\nINFO: Loaded")),
            "benchmark_model does not understand --use_gpu=true --x=1: this build is of another version",
        ),
        (Said(status=127, stderr="tool: not found"), "benchmark_model cannot be started on .*: tool: not found"),
        (
            Said(status=126, stderr="tool: can't execute"),
            "benchmark_model cannot be started on .*: tool: can't execute",
        ),
    ],
)
def test_tool_that_is_of_no_use_ends_the_session_at_once(
    said: Said, match: str, bench: Bench, tflite_models: list[Model]
) -> None:
    with pytest.raises(MeasurementError, match=match):
        bench.measure(bench.tool(said), [model.job() for model in tflite_models])
    assert len(bench.told()) == 1


def test_program_without_its_interpreter_says_so(bench: Bench, tflite_models: list[Model]) -> None:
    tool = bench.tool(Said(log()))
    tool.write_text("#!/nowhere/sh\n")
    with pytest.raises(
        MeasurementError, match=r"benchmark_model cannot be started on .*(not found|No such file|bad inter)"
    ):
        bench.measure(tool, [tflite_models[0].job()])


def test_tool_that_hangs_is_stopped_and_leaves_nothing_behind(
    bench: Bench, tflite_models: list[Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert LOAD_ALLOWANCE_S > 60
    monkeypatch.setattr("android_bench.official.benchmark_model.LOAD_ALLOWANCE_S", 1.0)
    bench.protocol = dataclasses.replace(bench.protocol, max_ns=1)
    tool = bench.tool(Said(before="sleep 987 & sleep 987"))
    with pytest.raises(
        MeasurementError, match=r"conv0\.tflite cannot be measured on .*: benchmark_model took longer than 1 s"
    ):
        bench.measure(tool, [tflite_models[0].job()])
    assert not bench.runs("987")


def test_tool_on_other_cores_is_void_unless_tolerated(bench: Bench, tflite_models: list[Model]) -> None:
    job = tflite_models[0].job()
    if len(bench.device.info.cores) < 2:
        pytest.skip("there is but one core")
    first, second = (core.number for core in bench.device.info.cores[:2])
    bench.protocol = dataclasses.replace(bench.protocol, cores=(second,))
    tool = bench.tool(Said(log(), before=f"taskset -p {core_mask([first])} $PPID >/dev/null"))
    with pytest.raises(MeasurementError, match=rf"stay void .*wrong-cores: it was allowed \[{first}\] instead of"):
        bench.measure(tool, [job])
    key = bench.measure(tool, [job], tolerated=["wrong-cores"])
    assert {reading.voids for reading in bench.readings(key)} == {("wrong-cores",)}
    assert latencies(bench.store, key, tolerated=["wrong-cores"])[job.id].processes >= 2


def test_second_call_measures_what_is_missing_and_only_that(bench: Bench, tflite_models: list[Model]) -> None:
    jobs = [model.job() for model in tflite_models[:4]]
    tool = bench.tool(Said(log()))
    key = bench.measure(tool, jobs[:3])
    before = len(bench.told())
    assert bench.measure(tool, jobs[:3]) == key
    assert len(bench.told()) == before
    assert bench.measure(tool, jobs) == key
    new = [told[0] for told in bench.told()[before:]]
    assert len(new) == 2 * 3, "in each of two processes the new model, and the sentinel before and after it"
    assert {job for _, job, _ in bench.store.measured(key)} == {job.id for job in jobs}


def test_other_builds_and_other_delegates_are_not_mixed(here: Bench, tflite_models: list[Model]) -> None:
    jobs = [tflite_models[0].job()]
    whole = log("VERBOSE: Replacing 3 out of 3 node(s) with delegate (X) node, yielding 1 partitions.\n")
    one, other = here.tool(Said(whole), name="one"), here.tool(Said(whole), name="other")
    keys = [
        here.measure(one, jobs),
        here.measure(one, jobs, delegate="gpu"),
        here.measure(one, jobs, delegate="nnapi"),
        here.measure(other, jobs),
    ]
    assert len(set(keys)) == 4
    for key in keys:
        assert len(here.readings(key)) == 2
        assert latencies(here.store, key)[jobs[0].id].processes == 2


def test_references_are_not_asked_of_a_tool_that_feeds_models_itself(
    here: Bench, tflite_models: list[Model], tmp_path: Path
) -> None:
    missing = tmp_path / "never-read"
    np.zeros(3, np.float32).tofile(missing)
    job = tflite_models[0].job(references=(missing,))
    key = here.measure(here.tool(Said(log())), [job])
    assert {reading.output_error for reading in here.readings(key)} == {None}
