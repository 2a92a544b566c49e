"""Rows of a Parquet file of somebody's, in bounded memory.

A few hundred bytes of Parquet may stand for gigabytes: one long text, and a million rows that say "the same again".
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from latency.rows import MAX_REASONS
from pocketnas_base.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MAX_TABLE_BYTES = 64 * 1024 * 1024
MAX_ROWS = 1_000_000
MAX_TEXT_BYTES = 1000

_ROWS_AT_ONCE = 10_000
_PLAIN = ("BOOLEAN", "INT32", "INT64", "FLOAT", "DOUBLE", "BYTE_ARRAY")


def read_rows(
    path: Path, metadata_key: bytes, check_columns: Callable[[Sequence[str]], None]
) -> tuple[list[dict[str, object]], bytes | None]:
    """All rows, by column, and what the file's metadata hold under a key.

    check_columns: raises InputError for columns of something else. Raises InputError for a file that is missing,
    damaged, or larger than a table can be: in bytes, in rows, in a text, in a list.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    where = f"table {path}"
    try:
        size = path.stat().st_size
    except OSError:
        raise InputError(f"{where} does not exist") from None
    if size > MAX_TABLE_BYTES:
        raise InputError(f"{where} has {size} bytes; at most {MAX_TABLE_BYTES} are read")
    try:
        with pq.ParquetFile(path) as file:
            metadata: bytes | None = (file.schema_arrow.metadata or {}).get(metadata_key)
            check_columns(file.schema_arrow.names)
            texts = _texts(file, where)
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            return list(_rows(file, where)), metadata
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{where} cannot be read: {str(error).splitlines()[0]}") from None


def _texts(file: "pq.ParquetFile", where: str) -> list[str]:
    """The columns of texts, by their paths, of a file that says of itself that it is no larger than a table can be."""
    about, columns = file.metadata, [file.schema.column(number) for number in range(file.metadata.num_columns)]
    if about.num_rows > MAX_ROWS:
        raise InputError(f"{where} has {about.num_rows} rows; at most {MAX_ROWS} are read")
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    unpacked = sum(group.total_byte_size for group in groups)
    if unpacked > MAX_TABLE_BYTES:
        raise InputError(f"{where} has {unpacked} bytes when unpacked; at most {MAX_TABLE_BYTES} are read")
    _look_at_columns(file)
    for number, column in enumerate(columns):
        values = sum(group.column(number).num_values for group in groups)
        if values > MAX_REASONS * max(1, about.num_rows):
            raise InputError(f"{where} has {values} values in {column.path}, for {about.num_rows} rows")
        if column.physical_type not in _PLAIN or column.max_repetition_level > 1:
            raise InputError(f"{where} has a column {column.path} of a kind that no table has")
    return [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]


def _look_at_columns(file: "pq.ParquetFile") -> None:
    """Have every column's metadata read where damage is an exception: `RowGroupMetaData.column` of pyarrow 26 ends the
    process. No row is read."""
    for group in range(file.metadata.num_row_groups):
        next(file.reader.iter_batches(0, [group], use_threads=False), None)


def _rows(file: "pq.ParquetFile", where: str) -> Iterator[dict[str, object]]:
    """A part at a time; its texts, each of which is read but once, are measured before they become rows."""
    for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            _check_texts(column, f"{where} has a text in {name}")
        yield from batch.to_pylist()


def _check_texts(column: "pa.Array", what: str) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_list(column.type):
        column = column.flatten()
    if pa.types.is_dictionary(column.type):
        longest = pc.max(pc.binary_length(column.dictionary)).as_py() or 0
        if longest > MAX_TEXT_BYTES:
            raise InputError(f"{what} of {longest} bytes; at most {MAX_TEXT_BYTES} are read")
