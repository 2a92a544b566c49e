"""What `pocketnas bench --json` prints: one object a file and device."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from android_bench.parsers.json_text import Fields, parse_fields
from android_bench.parsers.text import Output, name, unreadable

_SOURCE = "pocketnas bench"
_MAX_MS = 1e9

_Ms = Annotated[float, Field(gt=0, le=_MAX_MS)]
_Text = Annotated[str, Field(max_length=4096)]


@dataclass(frozen=True, slots=True)
class BenchResult:
    """One file on one device. median_ms, ci_low_ms, ci_high_ms: over the processes' medians, or means where
    `statistic` says so. device: its model, else its id. cores: those it was pinned to. runner: "pocketnas", or an
    official tool and its version. tolerated: reasons against some measurements that were overlooked."""

    file: str
    sha256: str
    runtime: str
    runtime_version: str | None
    precision: str | None
    threads: int
    cores: tuple[int, ...]
    median_ms: float
    ci_low_ms: float
    ci_high_ms: float
    samples: int
    processes: int
    statistic: Literal["median", "mean"]
    runner: str
    delegate: str
    tolerated: tuple[str, ...]
    device: str
    os_version: str | None


class _Device(Fields):
    id: Annotated[str, Field(min_length=1, max_length=300)]
    model: _Text | None = None
    os_version: _Text | None = None


class _Result(Fields):
    file: Annotated[str, Field(min_length=1, max_length=4096)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    runtime: _Text
    runtime_version: _Text | None = None
    precision: _Text | None = None
    threads: Annotated[int, Field(ge=1, le=1024)]
    cores: Annotated[list[Annotated[int, Field(ge=0, le=65535)]], Field(max_length=4096)]
    median_ms: _Ms
    ci_low_ms: _Ms
    ci_high_ms: _Ms
    samples: Annotated[int, Field(ge=1, lt=2**63)]
    processes: Annotated[int, Field(ge=1, lt=2**63)]
    statistic: Literal["median", "mean"]
    runner: _Text
    delegate: _Text
    tolerated: Annotated[list[_Text], Field(max_length=1000)] = Field(default=[])
    device: _Device


_ADAPTER = TypeAdapter(Annotated[list[_Result], Field(min_length=1, max_length=100_000)])


def parse_bench_json(output: Output) -> tuple[BenchResult, ...]:
    """The results in a file. Raises UnreadableOutputError when it is another one, is cut, or contradicts itself."""
    return tuple(_result(read) for read in parse_fields(output, _SOURCE, _ADAPTER))


def _result(read: _Result) -> BenchResult:
    if not read.ci_low_ms <= read.median_ms <= read.ci_high_ms:
        raise unreadable(_SOURCE, f"median_ms of {name(read.file, 100)} lies outside its own interval")
    return BenchResult(
        file=_shown(read.file),
        sha256=read.sha256,
        runtime=_shown(read.runtime),
        runtime_version=name(read.runtime_version),
        precision=name(read.precision),
        threads=read.threads,
        cores=tuple(read.cores),
        median_ms=read.median_ms,
        ci_low_ms=read.ci_low_ms,
        ci_high_ms=read.ci_high_ms,
        samples=read.samples,
        processes=read.processes,
        statistic=read.statistic,
        runner=_shown(read.runner),
        delegate=_shown(read.delegate),
        tolerated=tuple(_shown(reason) for reason in read.tolerated),
        device=name(read.device.model) or _shown(read.device.id),
        os_version=name(read.device.os_version),
    )


def _shown(text: str) -> str:
    return name(text, 4096) or "unnamed"
