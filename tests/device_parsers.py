"""Every parser of what a device says, with output for it to begin from and the one error that it may raise."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import device_samples as samples

from android_bench.checksum import seal
from android_bench.errors import UnreadableOutputError
from android_bench.parsers.adb_devices import parse_adb_devices
from android_bench.parsers.ai_hub import parse_ai_hub
from android_bench.parsers.battery import parse_battery
from android_bench.parsers.bench_json import parse_bench_json
from android_bench.parsers.benchmark_model import parse_benchmark_model
from android_bench.parsers.cpu import core_parts, cpu_state, parse_cpu_list
from android_bench.parsers.executor_runner import parse_executor_runner
from android_bench.parsers.files import parse_files
from android_bench.parsers.getprop import parse_getprop, parse_identity
from android_bench.parsers.jetpack import parse_jetpack
from android_bench.parsers.op_profile import parse_op_profile
from android_bench.parsers.power import parse_device_idle, parse_low_power, parse_power
from android_bench.parsers.proc import parse_loadavg, parse_meminfo, parse_pressure, parse_stat
from android_bench.parsers.recognise import recognise
from android_bench.parsers.storage import parse_df
from android_bench.parsers.supply import batteries
from android_bench.parsers.text import Output
from android_bench.parsers.thermal import parse_thermal
from android_bench.parsers.tool_runs import parse_benchmark_runs, parse_executor_runs
from android_bench.parsers.zones import zone_temperatures
from android_bench.results import parse_line
from pocketnas_base.errors import MeasurementError, PocketNASError


@dataclass(frozen=True)
class Parser:
    """A parser. error: what it raises, and nothing else. text: whether it takes text as well as bytes."""

    parse: Callable[[bytes], object]
    samples: tuple[str, ...]
    error: type[PocketNASError] = UnreadableOutputError
    text: bool = True


RUNNER_LINES: tuple[Mapping[str, object], ...] = (
    {
        "type": "measurement",
        "id": "m",
        "sequence": 0,
        "load_ns": 1,
        "first_ns": 2,
        "started_ns": 3,
        "warmup_ns": [4],
        "warmup_stable": True,
        "samples_ns": [5, 6],
        "output_error": 0.5,
        "cpus_allowed": "00000001,00000003",
        "cores_ran": [0, 32],
        "voluntary_switches": 0,
        "involuntary_switches": None,
        "cpu_ns": 10,
        "waited_ns": None,
        "peak_rss_kb": 7,
    },
    {"type": "error", "id": "m", "sequence": 1, "kind": "model", "message": "no such file"},
    {"type": "done", "models": 2, "errors": 1, "cpu_ns": 12},
)
_RUNNER_SAMPLES = tuple(json.dumps(line) for line in RUNNER_LINES)


def _cpu_list(output: Output) -> object:
    return parse_cpu_list(output if isinstance(output, str) else output.decode("utf-8", "replace"))


PARSERS: Mapping[str, Parser] = {
    "getprop": Parser(parse_getprop, (samples.GETPROP, samples.GETPROP_ANDROID_9)),
    "identity": Parser(parse_identity, (samples.GETPROP, samples.GETPROP_ANDROID_9)),
    "battery": Parser(parse_battery, (samples.BATTERY, samples.BATTERY_FAKED)),
    "thermal": Parser(parse_thermal, (samples.THERMAL, samples.THERMAL_WITHOUT_HAL)),
    "power": Parser(parse_power, (samples.POWER_ANDROID_13, samples.POWER_ANDROID_8)),
    "low power": Parser(parse_low_power, ("0\n", "1\n", "null\n")),
    "device idle": Parser(parse_device_idle, ("ACTIVE\n", "IDLE\n")),
    "files": Parser(parse_files, (samples.SYSFS,)),
    "cpu": Parser(lambda output: cpu_state(parse_files(output)), (samples.SYSFS,)),
    "core parts": Parser(core_parts, (samples.CPUINFO,)),
    "cpu list": Parser(_cpu_list, ("0-3,6\n", "0\n")),
    "supply": Parser(lambda output: batteries(parse_files(output)), (samples.SYSFS, samples.POWER_SUPPLY)),
    "zones": Parser(lambda output: zone_temperatures(parse_files(output)), (samples.SYSFS,)),
    "stat": Parser(parse_stat, (samples.PROC_STAT,)),
    "loadavg": Parser(parse_loadavg, (samples.LOADAVG,)),
    "pressure": Parser(parse_pressure, (samples.CPU_PRESSURE,)),
    "meminfo": Parser(parse_meminfo, (samples.MEMINFO,)),
    "df": Parser(parse_df, (samples.DF, samples.DF_WRAPPED)),
    "adb devices": Parser(parse_adb_devices, (samples.ADB_DEVICES,)),
    "benchmark_model": Parser(
        parse_benchmark_model,
        (
            samples.BENCHMARK_MODEL,
            samples.BENCHMARK_MODEL_TF_2_3,
            samples.BENCHMARK_MODEL_TF_1_12,
            samples.BENCHMARK_MODEL_LOGCAT,
            samples.BENCHMARK_MODEL_FAILED,
        ),
    ),
    "op profile": Parser(
        parse_op_profile,
        (samples.PROFILE_OLD, samples.PROFILE_NEW, samples.PROFILE_CSV_NEW, samples.PROFILE_CSV_OLD),
    ),
    "executor_runner": Parser(
        parse_executor_runner,
        (
            samples.EXECUTOR_RUNNER,
            samples.EXECUTOR_RUNNER_OLD,
            samples.EXECUTOR_RUNNER_LOGCAT,
            samples.EXECUTOR_RUNNER_FAILED,
        ),
    ),
    "benchmark_model runs": Parser(
        parse_benchmark_runs,
        (samples.BENCHMARK_MODEL_GPU_THEN_CPU, samples.BENCHMARK_MODEL, samples.BENCHMARK_MODEL_LOGCAT),
    ),
    "executor_runner runs": Parser(
        parse_executor_runs, (samples.EXECUTOR_RUNNER_TWICE, samples.EXECUTOR_RUNNER_LOGCAT)
    ),
    "Jetpack Benchmark": Parser(parse_jetpack, (samples.JETPACK,)),
    "AI Hub": Parser(parse_ai_hub, (samples.AI_HUB,)),
    "pocketnas bench": Parser(parse_bench_json, (samples.BENCH_JSON,)),
    "recognised results": Parser(
        recognise,
        (samples.JETPACK, samples.AI_HUB, samples.BENCH_JSON, samples.EXECUTOR_RUNNER, samples.BENCHMARK_MODEL),
    ),
    "runner line": Parser(
        parse_line, tuple(seal(line.encode()).decode() for line in _RUNNER_SAMPLES), MeasurementError, text=False
    ),
    "runner line's content": Parser(
        lambda content: parse_line(seal(content)), _RUNNER_SAMPLES, MeasurementError, text=False
    ),
}
