"""What the parsers of other tools' results found, as results that can be compared."""

import statistics
from collections.abc import Sequence

from android_bench.official.coverage import coverage_of
from android_bench.parsers.ai_hub import AiHubProfile
from android_bench.parsers.bench_json import BenchResult
from android_bench.parsers.benchmark_model import BenchmarkLog
from android_bench.parsers.executor_runner import ExecutorLog
from android_bench.parsers.jetpack import JetpackBenchmark, JetpackReport
from android_bench.parsers.op_profile import GraphProfile
from android_bench.parsers.tool_runs import ToolRun
from latency.compare import Interval, Statistic, ToolResult
from pocketnas_base.units import NS_PER_MS

US_PER_MS = 1e3
_RUNS = "5 to 95 % of runs"
# What delegates call themselves, by a word in it, and what `pocketnas bench` calls the same. What is left of a graph
# XNNPACK and Flex run on the CPU.
_DELEGATES = {"gpu": "gpu", "litert_cl": "gpu", "nnapi": "nnapi", "hexagon": "hexagon", "qnn": "qnn"}
_OF_THE_CPU = ("xnnpack", "flex")
# Android's version by the API level, where both go hand in hand.
_RELEASES = {29: "10", 30: "11", 31: "12", 32: "12", 33: "13", 34: "14", 35: "15", 36: "16"}


def of_bench(result: BenchResult) -> ToolResult:
    """One of our own. One process has no interval."""
    spread = Interval(result.ci_low_ms, result.ci_high_ms, f"95 % of the {result.statistic}")
    return ToolResult(
        model=result.file,
        sha256=result.sha256,
        figures_ms={result.statistic: result.median_ms},
        interval=spread if result.processes > 1 else None,
        circumstances=_told(
            device=result.device,
            system=result.os_version,
            runtime=result.runtime,
            runtime_version=result.runtime_version,
            precision=result.precision,
            threads=result.threads,
            cores=" ".join(map(str, result.cores)),
            delegate=result.delegate,
            profiled="no",
            tolerated=", ".join(result.tolerated),
        ),
        processes=result.processes,
    )


def of_benchmark_model(run: ToolRun[BenchmarkLog], log: BenchmarkLog, otherwise: str) -> ToolResult:
    """One process. otherwise: the model's name where the log does not say it."""
    runs = log.inference
    figures: dict[Statistic, float] = {"mean": runs.avg_us / US_PER_MS, "minimum": runs.min_us / US_PER_MS}
    if runs.median_us is not None:
        figures["median"] = runs.median_us / US_PER_MS
    if runs.p5_us is None or runs.p95_us is None:
        spread = Interval(runs.min_us / US_PER_MS, runs.max_us / US_PER_MS, "all runs")
    else:
        spread = Interval(runs.p5_us / US_PER_MS, runs.p95_us / US_PER_MS, _RUNS)
    return ToolResult(
        model=run.model or otherwise,
        sha256=None,
        figures_ms=figures,
        interval=spread if runs.count > 1 else None,
        circumstances=_told(
            runtime="tflite",
            threads=run.threads,
            delegate=_delegate(log),
            profiled="yes" if run.profiled else "no",
        ),
    )


def of_executor_runner(run: ToolRun[ExecutorLog], log: ExecutorLog, otherwise: str) -> ToolResult:
    """One process. Its first executions are in its figures: it has no warm-up."""
    samples = list(log.samples_ms)
    figures: dict[Statistic, float] = {"mean": log.average_ms}
    if samples:
        figures |= {"median": statistics.median(samples), "minimum": min(samples)}
    return ToolResult(
        model=run.model or otherwise,
        sha256=None,
        figures_ms=figures,
        interval=_spread(samples),
        circumstances=_told(runtime="executorch", threads=run.threads, profiled="yes" if run.profiled else "no")
        | {"warm-up": "none"},
    )


def of_profile(profiles: Sequence[GraphProfile], model: str) -> ToolResult | None:
    """The operators of a model, added up: the mean of runs in which each operator was timed. None where the file does
    not say which of its tables is that of the runs, or it took no time."""
    graphs = [profile for profile in profiles if profile.graph == "primary" and profile.stage in ("runs", None)]
    total = sum(operator.avg_ms for operator in graphs[0].operators) if len(graphs) == 1 else 0
    if total <= 0:
        return None
    return ToolResult(model, None, {"mean": total}, None, _told(runtime="tflite", profiled="yes"))


def of_jetpack(report: JetpackReport, benchmark: JetpackBenchmark) -> ToolResult | None:
    """One benchmark; None where it states no times in ns."""
    times = benchmark.times
    if times is None:
        return None
    runs = [ns / NS_PER_MS for ns in times.runs_ns]
    clocks = "locked" if report.cpu_locked else "sustained performance" if report.sustained_performance else None
    system = f"Android {_RELEASES[report.sdk]}" if report.sdk in _RELEASES else None
    return ToolResult(
        model=benchmark.name,
        sha256=None,
        figures_ms={
            "median": times.median_ns / NS_PER_MS,
            "mean": statistics.fmean(runs),
            "minimum": times.minimum_ns / NS_PER_MS,
        },
        interval=_spread(runs),
        circumstances=_told(
            device=report.device,
            system=system or (None if report.sdk is None else f"Android API level {report.sdk}"),
            clocks=clocks,
            suppressed=", ".join(benchmark.suppressed),
        ),
    )


def of_ai_hub(profile: AiHubProfile, model: str) -> ToolResult:
    """A profile. What it calls the inference time counts only where it does not list its runs."""
    runs = [us / US_PER_MS for us in profile.runs_us]
    figures: dict[Statistic, float] = {}
    if runs:
        figures |= {"median": statistics.median(runs), "mean": statistics.fmean(runs), "minimum": min(runs)}
    if profile.estimated_us is not None:
        figures["estimate"] = profile.estimated_us / US_PER_MS
    return ToolResult(model, None, figures, _spread(runs), _told(delegate=_units(profile.compute_units)))


def _units(units: Sequence[tuple[str, int]]) -> str:
    """Such as `npu`, or `CPU 1 and NPU 2 of 3 layers`."""
    if len(units) == 1:
        return units[0][0].lower()
    shares = " and ".join(f"{unit} {layers}" for unit, layers in units)
    return shares and f"{shares} of {sum(layers for _, layers in units)} layers"


def _delegate(log: BenchmarkLog) -> str | None:
    """What runs the model, or most of it; None where the log does not say."""
    names = [part.delegate.casefold() for part in coverage_of(log) if part.nodes != 0]
    others = [name for name in names if not any(word in name for word in _OF_THE_CPU)]
    if not others:
        return "cpu" if names else None
    return next((own for word, own in _DELEGATES.items() if word in others[0]), others[0])


def _spread(runs_ms: Sequence[float]) -> Interval | None:
    """The 5th and the 95th percentile, linear between the nearest two; None for a single run."""
    if len(runs_ms) < 2:
        return None
    cuts = statistics.quantiles(runs_ms, n=20, method="inclusive")
    return Interval(cuts[0], cuts[-1], _RUNS)


def _told(**circumstances: str | int | None) -> dict[str, str]:
    """What is known, by name."""
    return {name.replace("_", " "): str(value) for name, value in circumstances.items() if value not in (None, "")}
