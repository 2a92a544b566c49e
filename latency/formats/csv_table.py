"""A table as CSV: the columns of our own files, the provenance in lines before them.

    # PocketNAS latency table
    # device: "local"
    # cores: [0, 3]
    kind,in_channels,out_channels,...,latency_ms,high_ms,...
    conv,3,32,...,0.4127,0.4151,...

Each provenance line is a field of TableInfo and its value as JSON. Columns in which no row holds a value are left out.
A file without provenance lines is anyone's: nothing is known of it but its rows, which are of operators alone when the
empty model is among them, and otherwise what each operator adds.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from latency.provenance import SCHEMA_VERSION, TableInfo, TableSource
from latency.rows import COUNTS, LATER_TIMES, ROW_COLUMNS, TIMES
from latency.table import MAX_ROWS, LatencyTable, check_columns
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_bytes, write_text

TITLE = "# PocketNAS latency table"
MAX_CSV_BYTES = 16 * 1024 * 1024
MAX_PROVENANCE_LINES = 100
# A column of a Parquet file may be empty in every row; in CSV it is then not there at all.
_MAY_BE_LEFT_OUT = tuple(name for name in ROW_COLUMNS if name != "latency_ms")
_WHOLE_NUMBERS = (
    "in_channels",
    "out_channels",
    "kernel",
    "expansion",
    "stride",
    "resolution",
    "place",
    "copies",
    "void_samples",
    *COUNTS,
)


def save_csv(table: LatencyTable, path: Path) -> None:
    """Write a table, whole or not at all, so that `load_csv` gives it back bit for bit."""
    write_text(path, csv_text(table))


def csv_text(table: LatencyTable) -> str:
    """The file's content."""
    stream = io.StringIO()
    print(TITLE, file=stream)
    for name, value in table.info.model_dump(mode="json").items():
        print(f"# {name}: {json.dumps(value)}", file=stream)
    records = table.records()
    columns = [name for name in records[0] if any(record[name] not in (None, ()) for record in records)]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_written(record[name]) for name in columns] for record in records)
    return stream.getvalue()


def _written(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case tuple():
            return " ".join(map(str, value))
        case float():
            return repr(value)
        case _:
            return str(value)


def load_csv(path: Path, *, unknown: TableSource, tool_version: str) -> LatencyTable:
    """Read a table. Raises InputError, one line, when it is missing, too large, or anything but a table.

    unknown: where the file comes from as far as the caller knows, for one that does not say it itself.
    """
    content = read_bytes(path, what="table", max_bytes=MAX_CSV_BYTES)
    return parse_csv(content, where=f"table {path}", unknown=unknown, tool_version=tool_version)


def parse_csv(content: bytes, *, where: str, unknown: TableSource, tool_version: str) -> LatencyTable:
    """The same from a file's content; `where` is how messages call it."""
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{where} is not UTF-8 text") from None
    said, body = _split(lines, where)
    records = list(_records(body, where))
    if not records:
        raise InputError(f"{where} has no rows")
    if said:
        info = TableInfo.of_plain({"schema_version": SCHEMA_VERSION, **said}, where=where)
    else:
        alone = any(record["kind"] == "empty" for record in records)
        info = TableInfo.imported(unknown, rows="alone" if alone else "share", tool_version=tool_version)
    return LatencyTable.of_records(info, records, where=where)


def _split(lines: list[str], where: str) -> tuple[dict[str, object], list[str]]:
    """The provenance by field, and the lines of the table itself."""
    said: dict[str, object] = {}
    for number, line in enumerate(lines):
        if not line.startswith("#"):
            return said, lines[number:]
        if number > MAX_PROVENANCE_LINES:
            raise InputError(f"{where} has more than {MAX_PROVENANCE_LINES} lines of provenance")
        if line == TITLE:
            continue
        name, _, text = line.removeprefix("#").strip().partition(":")
        try:
            said[name] = json.loads(text)
        except (ValueError, RecursionError):
            raise InputError(f"{where}, line {number + 1}: a provenance line reads `# name: JSON value`") from None
    return said, []


def _records(body: list[str], where: str) -> Iterator[dict[str, object]]:
    reader = csv.reader(body, strict=True)
    try:
        header = next(reader, [])
        if len(set(header)) != len(header):
            raise InputError(f"{where}: a column stands there twice")
        check_columns(header, where=where, kind="CSV", may_lack=_MAY_BE_LEFT_OUT)
        readers = [_READERS.get(name, str) for name in header]
        for number, cells in enumerate(filter(None, reader), start=1):
            if number > MAX_ROWS:
                raise InputError(f"{where} has more than {MAX_ROWS} rows")
            if len(cells) != len(header):
                raise InputError(f"{where}, row {number}: {len(cells)} values for {len(header)} columns")
            try:
                values = [None if cell == "" else read(cell) for read, cell in zip(readers, cells, strict=True)]
            except ValueError as error:
                raise InputError(f"{where}, row {number}: {error}") from None
            yield dict(zip(header, values, strict=True))
    except csv.Error as error:
        raise InputError(f"{where} is not valid CSV: {error}") from None


def _whole_number(text: str) -> int:
    try:
        return int(_plain(text))
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no whole number") from None


def _time(text: str) -> float:
    try:
        return float(_plain(text))
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no number") from None


def _plain(text: str) -> str:
    """A number's text; `1_5`, which Python alone takes for 15, is none."""
    if "_" in text:
        raise ValueError
    return text


def _true_or_false(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"{text[:40]!r} is neither true nor false")
    return text == "true"


_READERS: dict[str, Callable[[str], object]] = {
    **dict.fromkeys(_WHOLE_NUMBERS, _whole_number),
    **dict.fromkeys((*TIMES, *LATER_TIMES, "squeeze_excite"), _time),
    "residual": _true_or_false,
    "settled": _true_or_false,
    "tolerated": str.split,
}
