"""Where the tables of tests say they come from."""

import random

from latency.table import LatencyTable, TableInfo, TableRow
from search.space import SearchSpace


def table_info(space: SearchSpace) -> TableInfo:
    """The provenance of a made-up table of `space`: one core of a machine that tells nothing else."""
    return TableInfo(
        device="local",
        device_model=None,
        device_fingerprint="ab" * 32,
        soc=None,
        os_version=None,
        runtime="tflite",
        runtime_version="2.3.0",
        precision="fp32",
        threads=1,
        cores=(0,),
        governor=None,
        temperature_before_c=None,
        temperature_after_c=None,
        tool_version="0.1.0",
        date_utc="2026-03-01T12:00:00+00:00",
        space=space.name,
        space_fingerprint=space.fingerprint,
        seed=0,
    )


def row(latency_ms: float, *, high: float = 1.01, spread: tuple[float, float] = (0.98, 1.1)) -> TableRow:
    """A measured row: high_ms and the percentiles as factors of its latency."""
    p10, p90 = (latency_ms * factor for factor in spread)
    return TableRow(latency_ms, latency_ms * high, latency_ms * 1.02, p10, p90, 400, 20)


def measured_table(space: SearchSpace, /, *, seed: int = 0, **info: object) -> LatencyTable:
    """A table of every operator of `space` whose times follow its work, 1 to 2 % apart from one another at random."""
    drawn = random.Random(seed)
    rows = {op: row(0.01 + op.macs / 5e6 * drawn.uniform(1.0, 1.02)) for op in space.op_specs()}
    return LatencyTable(table_info(space).model_copy(update=info), rows)


def linear_model(space: SearchSpace, /, **changes: object) -> dict[str, object]:
    """A linear model of ProxylessNAS-Mobile's space in TuNAS' layout, of made-up weights: 0, 0.5, 1 ms and so on."""
    weights = [0.5 * number for number in range(3 + sum(len(edge.candidates) for edge in space.edges))]
    return {
        "bias_ms": 92.0,
        "kernel_ms": weights,
        "skippable": [0, *(int(edge.candidates[-1].kind == "zero") for edge in space.edges)],
        "filters": [32, 16, 32, 40, 80, 96, 192, 320, 1280],
        "layout": "[sepconv k3,k5,k7] + 21 blocks x (k3e3,k3e6,k5e3,k5e6,k7e3,k7e6[,zero if skippable])",
        **changes,
    }
