"""The latency table: one row per operator of a space, for one (device, runtime, precision, threads, cores)."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from latency.opspec import EMPTY, OpSpec
from pocketnas_base.artifact import Delegate, Precision, Runtime
from pocketnas_base.errors import InputError
from pocketnas_base.files import replacing

SCHEMA_VERSION = 1
MAX_TABLE_BYTES = 64 * 1024 * 1024
MAX_ROWS = 1_000_000
METADATA_KEY = b"pocketnas_table"
OWN_RUNNER = "pocketnas"

# An operator that takes longer than ten minutes is a reading in the wrong unit, not an operator.
MAX_PLAUSIBLE_MS = 600_000.0


class TableInfo(BaseModel):
    """Where a table comes from: without it two tables cannot be compared. None: not readable on that device.
    tolerated: the reasons why some measurements would have been void, had the user not overlooked them. runner: what
    measured, PocketNAS' own or an official tool. delegate: what it ran the operators on. A table belongs to one of
    each: times of two are not to be mixed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = SCHEMA_VERSION
    device: str
    device_model: str | None
    device_fingerprint: str
    soc: str | None
    os_version: str | None
    runtime: Runtime
    runtime_version: str
    precision: Precision
    threads: int = Field(ge=1)
    cores: tuple[int, ...]
    governor: str | None
    temperature_before_c: float | None
    temperature_after_c: float | None
    tool_version: str
    date_utc: str
    space: str
    space_fingerprint: str
    seed: int
    tolerated: tuple[str, ...] = ()
    delegate: Delegate = "cpu"
    runner: Annotated[str, Field(min_length=1, max_length=200)] = OWN_RUNNER


@dataclass(frozen=True, slots=True)
class TableRow:
    """The latency of one operator's own model, the empty model's share included.

    latency_ms: the lowest of the processes' medians: what the operator takes when nothing else wants the device.
    high_ms: how far above it another session may find it (97.5th bootstrap percentile). median_ms: the median over the
    processes' medians, drift divided out. p10_ms, p90_ms: percentiles over all raw samples, None where an official tool
    prints none. samples, processes: how many stand behind it.
    """

    latency_ms: float
    high_ms: float
    median_ms: float
    p10_ms: float | None
    p90_ms: float | None
    samples: int
    processes: int


_TIMES = ("latency_ms", "high_ms", "median_ms", "p10_ms", "p90_ms")
_MAY_LACK = ("p10_ms", "p90_ms")
_COUNTS = ("samples", "processes")
_OP_COLUMNS = tuple(field.name for field in fields(OpSpec))
_ROW_COLUMNS = tuple(field.name for field in fields(TableRow))


@dataclass(frozen=True)
class LatencyTable:
    """Rows by operator, and their provenance. Holds the empty model's row: what each invocation costs."""

    info: TableInfo
    rows: Mapping[OpSpec, TableRow]

    @property
    def name(self) -> str:
        """How messages call this table."""
        info = self.info
        delegate = "" if info.delegate == "cpu" else f", {info.delegate}"
        return f"{info.space} on {info.device} ({info.runtime} {info.precision}, {info.threads} thread{delegate})"

    @property
    def invocation_ms(self) -> float:
        """What one invocation costs before any operator runs."""
        return self.row(EMPTY).latency_ms

    def row(self, op: OpSpec) -> TableRow:
        """The row of an operator. Raises InputError when the table has none: nothing is ever assumed."""
        try:
            return self.rows[op]
        except KeyError:
            raise InputError(
                f"the table of {self.name} has no row for {op.key}; build a table of the space it belongs to"
            ) from None

    def require(self, ops: Iterable[OpSpec], *, needed_by: str) -> None:
        """Raise InputError unless every operator but Zero has a row."""
        missing = [op for op in dict.fromkeys(ops) if op.kind != "zero" and op not in self.rows]
        if missing:
            raise InputError(
                f"the table of {self.name} does not cover {needed_by}: {len(missing)} operators have no row, "
                f"{missing[0].key} first; build one with: pocketnas table build"
            )

    def require_measured_by(self, runner: str, delegate: Delegate, *, needed_by: str) -> None:
        """Raise InputError unless this runner measured the table on this delegate."""
        info = self.info
        if (info.runner, info.delegate) != (runner, delegate):
            raise InputError(
                f"the table of {self.name} was measured by {info.runner} on {info.delegate}, but {needed_by} is"
                f" measured by {runner} on {delegate}; their times are not to be mixed"
            )

    def save(self, path: Path) -> None:
        """Write Parquet, whole or not at all: operator columns, then row columns; provenance in the file's metadata."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        records = [{**op.to_dict(), **asdict(row)} for op, row in self.rows.items()]
        table = pa.Table.from_pylist(records)
        table = table.replace_schema_metadata({METADATA_KEY: self.info.model_dump_json().encode()})
        with replacing(path) as temporary:
            pq.write_table(table, temporary)

    @classmethod
    def load(cls, path: Path) -> "LatencyTable":
        """Read a table. Raises InputError when it is missing, truncated, of another schema, or holds absurd values."""
        records, metadata = _read_parquet(path)
        try:
            plain = json.loads(metadata)
            version = plain.get("schema_version") if isinstance(plain, dict) else None
            if version != SCHEMA_VERSION:
                raise InputError(f"table {path}: schema version {version!r}, this tool reads {SCHEMA_VERSION}")
            info = TableInfo.model_validate(plain)
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"table {path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        except (ValueError, RecursionError):
            raise InputError(f"table {path}: its provenance is not valid JSON") from None
        rows: dict[OpSpec, TableRow] = {}
        for number, record in enumerate(records, start=1):
            try:
                op = OpSpec.from_dict({name: record[name] for name in _OP_COLUMNS})
                row = _checked_row({name: record[name] for name in _ROW_COLUMNS}, info)
            except InputError as error:
                raise InputError(f"table {path}, row {number}: {error}") from None
            if op in rows:
                raise InputError(f"table {path}, row {number}: {op.key} stands there twice")
            rows[op] = row
        if EMPTY not in rows:
            raise InputError(f"table {path}: the row of the empty model is missing")
        return cls(info, rows)


def _checked_row(values: Mapping[str, object], info: TableInfo) -> TableRow:
    for name in _TIMES:
        value = values[name]
        if value is None and name in _MAY_LACK and info.runner != OWN_RUNNER:
            continue
        if not isinstance(value, float) or not math.isfinite(value) or not 0 < value <= MAX_PLAUSIBLE_MS:
            raise InputError(f"{name} is {value!r}; a time is a number of milliseconds above 0")
    for name in _COUNTS:
        value = values[name]
        if type(value) is not int or value < 1:
            raise InputError(f"{name} is {value!r}; a count is at least 1")
    plain: dict[str, Any] = dict(values)
    return TableRow(**plain)


def _read_parquet(path: Path) -> tuple[list[dict[str, object]], bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        size = path.stat().st_size
    except OSError:
        raise InputError(f"table {path} does not exist") from None
    if size > MAX_TABLE_BYTES:
        raise InputError(f"table {path} has {size} bytes; at most {MAX_TABLE_BYTES} are read")
    try:
        with pq.ParquetFile(path) as file:
            columns = set(file.schema_arrow.names)
            metadata = (file.schema_arrow.metadata or {}).get(METADATA_KEY)
            if metadata is None or columns != {*_OP_COLUMNS, *_ROW_COLUMNS}:
                raise InputError(f"table {path} is a Parquet file, but not a latency table of this tool")
            if file.metadata.num_rows > MAX_ROWS:
                raise InputError(f"table {path} has {file.metadata.num_rows} rows; at most {MAX_ROWS} are read")
            return file.read().to_pylist(), metadata
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"table {path} cannot be read: {str(error).splitlines()[0]}") from None
