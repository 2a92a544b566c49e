"""The latency table: one row per operator of a space, for one (device, runtime, precision, threads, cores)."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType

from latency.opspec import EMPTY, LATER_FIELDS, OpSpec
from latency.parquet import MAX_ROWS, MAX_TABLE_BYTES, read_rows
from latency.provenance import OWN_RUNNER, SCHEMA_VERSION, TableInfo, TableSource
from latency.rows import (
    LATER_COLUMNS,
    MAX_PLAUSIBLE_MS,
    ROW_COLUMNS,
    ROW_FIELDS,
    TableRow,
    checked_place,
    checked_row,
)
from pocketnas_base.artifact import Delegate
from pocketnas_base.errors import InputError
from pocketnas_base.files import replacing

__all__ = [
    "EMPTY",
    "MAX_PLAUSIBLE_MS",
    "MAX_ROWS",
    "MAX_TABLE_BYTES",
    "METADATA_KEY",
    "OWN_RUNNER",
    "SCHEMA_VERSION",
    "Entry",
    "LatencyTable",
    "TableInfo",
    "TableRow",
    "TableSource",
]

METADATA_KEY = b"pocketnas_table"

OP_COLUMNS = tuple(field.name for field in fields(OpSpec))
# Columns that a table has only where some row needs them, so that others read as they always did.
OPTIONAL_COLUMNS = ("place", "tolerated", *LATER_COLUMNS, *LATER_FIELDS)
# What a foreign table calls its times when they are not milliseconds.
_OTHER_UNITS = {"latency_s": "seconds", "latency_us": "microseconds", "latency_ns": "nanoseconds"}

PlacedRows = Mapping[tuple[int, OpSpec], TableRow]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row with what it is of. place: where in a chain of operators it holds, from 0; None: anywhere."""

    place: int | None
    op: OpSpec
    row: TableRow

    @property
    def key(self) -> str:
        """A name that is unique within a table."""
        return self.op.key if self.place is None else f"{self.op.key}@{self.place}"


@dataclass(frozen=True)
class LatencyTable:
    """Rows by operator, and their provenance. A measured table holds the empty model's row: what an invocation costs.

    placed: rows that hold at one place of a chain only, by (place from 0, operator). A linear model fitted to whole
    networks gives one operator another weight at every place; a measurement does not know of places.
    """

    info: TableInfo
    rows: Mapping[OpSpec, TableRow]
    placed: PlacedRows = field(default_factory=lambda: MappingProxyType({}))

    @property
    def name(self) -> str:
        """How messages call this table."""
        info = self.info
        runtime = [" ".join(filter(None, (info.runtime, info.precision)))]
        threads = [] if info.threads is None else [f"{info.threads} thread"]
        delegate = [] if info.delegate in ("cpu", None) else [str(info.delegate)]
        source = [] if info.source is None else [f"imported, {info.source.format}"]
        about = ", ".join(filter(None, (*runtime, *threads, *delegate, *source)))
        name = " ".join(f"{info.space or 'no stated space'} on {info.device_name} ({about})".split())
        return "".join(letter if letter.isprintable() else "?" for letter in name)

    @property
    def invocation_ms(self) -> float:
        """What one invocation costs before any operator runs; of shares: the constant, or 0."""
        if self.info.rows == "share":
            constant = self.rows.get(EMPTY)
            return 0.0 if constant is None else constant.latency_ms
        return self.row(EMPTY).latency_ms

    @cached_property
    def prices_zero(self) -> bool:
        """Whether Zero has a row: a measured table has none, since leaving a block out costs nothing."""
        return any(entry.op.kind == "zero" for entry in self.entries())

    def entries(self) -> list[Entry]:
        """Every row: those that hold anywhere first, each in the order of the file."""
        anywhere = [Entry(None, op, row) for op, row in self.rows.items()]
        return anywhere + [Entry(place, op, row) for (place, op), row in self.placed.items()]

    def find(self, op: OpSpec, place: int | None = None) -> TableRow | None:
        """The row of an operator at a place of a chain, or None."""
        here = None if place is None else self.placed.get((place, op))
        return here or self.rows.get(op)

    def row(self, op: OpSpec, place: int | None = None) -> TableRow:
        """The row of an operator. Raises InputError when the table has none: nothing is ever assumed."""
        found = self.find(op, place)
        if found is None:
            where = f" at place {place}" if self.placed and place is not None else ""
            raise InputError(
                f"the table of {self.name} has no row for {op.key}{where}; build a table of the space it belongs to"
            )
        return found

    def require(self, ops: Iterable[OpSpec], *, needed_by: str) -> None:
        """Raise InputError unless every operator of a chain but Zero has a row."""
        self.require_at(enumerate(ops), needed_by=needed_by)

    def require_at(self, places: Iterable[tuple[int, OpSpec]], *, needed_by: str) -> None:
        """The same for operators with their places in a chain; Zero too needs a row where the table prices it."""
        free = () if self.prices_zero else ("zero",)
        wanted = dict.fromkeys(places) if self.placed else {(0, op): None for _, op in places}
        missing = [(at, op) for at, op in wanted if op.kind not in free and self.find(op, at) is None]
        if missing:
            place, op = missing[0]
            first = f"{op.key} at place {place}" if self.placed else op.key
            raise InputError(
                f"the table of {self.name} does not cover {needed_by}: {len(missing)} operators have no row, "
                f"{first} first; build one with: pocketnas table build"
            )

    def require_measured_by(self, runner: str, delegate: Delegate, *, needed_by: str) -> None:
        """Raise InputError unless this runner measured the table on this delegate."""
        info = self.info
        if (info.runner, info.delegate) != (runner, delegate):
            raise InputError(
                f"the table of {self.name} was measured by {info.runner} on {info.delegate}, but {needed_by} is"
                f" measured by {runner} on {delegate}; their times are not to be mixed"
            )

    def records(self) -> list[dict[str, object]]:
        """Plain rows, by column; the optional ones only where some row needs them."""
        entries = self.entries()
        later = dict.fromkeys(LATER_FIELDS)
        plain = [{"place": entry.place, **later, **entry.op.to_dict(), **asdict(entry.row)} for entry in entries]
        left_out = {name for name in OPTIONAL_COLUMNS if all(record[name] in (None, ()) for record in plain)}
        return [{name: value for name, value in record.items() if name not in left_out} for record in plain]

    @classmethod
    def of_records(cls, info: TableInfo, records: Iterable[Mapping[str, object]], *, where: str) -> "LatencyTable":
        """Inverse of `records`. Raises InputError naming `where` and the row at fault."""
        rows: dict[OpSpec, TableRow] = {}
        placed: dict[tuple[int, OpSpec], TableRow] = {}
        for number, record in enumerate(records, start=1):
            try:
                op = OpSpec.from_dict(_operator_fields(record))
                row = checked_row({name: record.get(name) for name in ROW_FIELDS}, info)
                place = checked_place(record.get("place"))
                _check_belongs(op, place, info)
            except InputError as error:
                raise InputError(f"{where}, row {number}: {error}") from None
            if op in rows if place is None else (place, op) in placed:
                raise InputError(f"{where}, row {number}: {op.key} stands there twice")
            if place is None:
                rows[op] = row
            else:
                placed[place, op] = row
        if EMPTY not in rows and info.rows == "alone":
            raise InputError(f"{where}: the row of the empty model is missing")
        return cls(info, rows, MappingProxyType(placed))

    def save(self, path: Path) -> None:
        """Write Parquet, whole or not at all: operator columns, then row columns; provenance in the file's metadata."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pylist(self.records())
        table = table.replace_schema_metadata({METADATA_KEY: self.info.model_dump_json().encode()})
        with replacing(path) as temporary:
            pq.write_table(table, temporary)

    @classmethod
    def load(cls, path: Path) -> "LatencyTable":
        """Read a table. Raises InputError when it is missing, truncated, of another schema, or holds absurd values."""
        where = f"table {path}"
        records, metadata = read_rows(path, METADATA_KEY, partial(check_columns, where=where, kind="Parquet"))
        if metadata is None:
            raise InputError(f"{where} is a Parquet file, but not a latency table of this tool")
        return cls.of_records(TableInfo.parse(metadata, where=where), records, where=where)


def _operator_fields(record: Mapping[str, object]) -> dict[str, object]:
    plain = {name: record.get(name) for name in OP_COLUMNS}
    return {name: value for name, value in plain.items() if not (name in LATER_FIELDS and value is None)}


def _check_belongs(op: OpSpec, place: int | None, info: TableInfo) -> None:
    if info.rows == "alone" and op.kind == "zero":
        raise InputError(f"{op.key}: leaving a block out costs nothing in a table of operators alone")
    if op.kind == "empty" and (op != EMPTY or place is not None):
        raise InputError(f"{op.key} is not the empty model, or stands at a place")


def check_columns(columns: Iterable[str], *, where: str, kind: str, may_lack: Iterable[str] = ()) -> None:
    """Raise InputError unless these are a table's columns; says so where only the unit is another."""
    found = set(columns)
    for name, unit in _OTHER_UNITS.items():
        if name in found:
            raise InputError(f"{where} holds {name}, {unit}; a table is in milliseconds (latency_ms)")
    required = {*OP_COLUMNS, *ROW_COLUMNS} - {*may_lack, *LATER_FIELDS}
    if not required <= found or found - {*OP_COLUMNS, *ROW_COLUMNS, *OPTIONAL_COLUMNS}:
        raise InputError(f"{where} is a {kind} file, but not a latency table of this tool")
