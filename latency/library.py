"""Tables by name: those that come with the product, and files."""

from functools import cache
from importlib import resources
from pathlib import Path

from latency.formats.csv_table import parse_csv
from latency.provenance import TableSource
from latency.table import LatencyTable
from pocketnas_base.errors import InputError


def published_tables() -> tuple[str, ...]:
    """Names of the tables that come with the product."""
    folder = resources.files("latency") / "published"
    return tuple(sorted(entry.name.removesuffix(".csv") for entry in folder.iterdir() if entry.name.endswith(".csv")))


@cache
def published_table(name: str) -> LatencyTable:
    """A table that comes with the product."""
    content = (resources.files("latency") / "published" / f"{name}.csv").read_bytes()
    nobody = TableSource(format="csv", text=f"table {name}")
    return parse_csv(content, where=f"table {name}", unknown=nobody, tool_version="unknown")


def load_table(name_or_path: str | Path) -> LatencyTable:
    """A table by the name it is published under, or from a .parquet file. Raises InputError listing what is known."""
    name = str(name_or_path)
    if name in published_tables():
        return published_table(name)
    path = Path(name).expanduser()
    if path.suffix.lower() in (".csv", ".yaml", ".yml", ".json"):
        raise InputError(f"{path} is no .parquet file; make a table of it first: pocketnas table import {path}")
    if path.suffix == ".parquet" or path.exists():
        return LatencyTable.load(path)
    raise InputError(f"unknown table {name!r}; known: {', '.join(published_tables())}, or the path of a .parquet file")
