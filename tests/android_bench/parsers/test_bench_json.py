"""What `pocketnas bench --json` prints, read again. tests/pocketnas/test_compare_command.py reads a real one."""

import json
from typing import Any

import pytest
from device_samples import BENCH_JSON

from android_bench.errors import UnreadableOutputError
from android_bench.parsers.bench_json import parse_bench_json


def changed(**fields: Any) -> str:
    results = json.loads(BENCH_JSON)
    results[0] = {name: value for name, value in (results[0] | fields).items() if value is not ...}
    return json.dumps(results)


def test_results_are_read() -> None:
    net, other = parse_bench_json(BENCH_JSON)
    assert (net.file, net.sha256[:8], net.device) == ("nets/mobilenet_v1_1.0_224.tflite", "5b0e6ab2", "Google Pixel 6")
    assert (net.ci_low_ms, net.median_ms, net.ci_high_ms) == (24.1, 24.25, 24.5)
    assert (net.runtime_version, net.threads, net.cores, net.statistic) == ("2.3.0", 1, (7,), "median")
    assert (other.device, other.statistic, other.tolerated, other.precision) == (
        "local",
        "mean",
        ("battery-low",),
        None,
    )
    assert other.runtime_version is None, "older versions did not say it"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (changed(median_ms=...), "0.median_ms: Field required"),
        (changed(median_ms=30.0), "lies outside its own interval"),
        (changed(median_ms=0.0, ci_low_ms=0.0), "greater than 0"),
        (changed(median_ms=1e12), "less than or equal"),
        (changed(sha256="5b0e"), "0.sha256: String should match pattern"),
        (changed(statistic="p99"), "0.statistic: Input should be 'median' or 'mean'"),
        (changed(threads="1"), "0.threads: Input should be a valid integer"),
        ("[]", "at least 1 item"),
        ("{}", "Input should be a valid array"),
    ],
)
def test_what_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(UnreadableOutputError, match=message):
        parse_bench_json(text)
