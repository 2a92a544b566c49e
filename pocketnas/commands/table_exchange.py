"""`pocketnas table import` and `export`: tables from and for other tools."""

from importlib.metadata import version
from pathlib import Path

from latency.formats.csv_table import save_csv
from latency.formats.importing import Origin, import_table
from latency.formats.layer_yaml import save_layers
from latency.library import load_table
from pocketnas.console import say
from pocketnas_base.errors import InputError
from search.space import load_space

EXPORT_FORMATS = ("csv", "proxylessnas")
# The space that TuNAS' published linear model is of.
TUNAS_SPACE = "mobile"


def import_file(path: Path, out: Path, format: str, space: str, origin: Origin) -> None:
    """Make a table of somebody else's file."""
    if out.suffix != ".parquet":
        raise InputError(f"--out {out}: a table is a .parquet file")
    chain = load_space(space).chain if space else None
    imported = import_table(
        path,
        format,
        chain=chain,
        default_chain=load_space(TUNAS_SPACE).chain,
        origin=origin,
        tool_version=version("pocketnas"),
    )
    table = imported.table
    for reason, count in imported.left_out.items():
        say(f"left out: {count} of {path.name}, {reason}")
    table.save(out)
    rows = "what operators add" if table.info.rows == "share" else "operators alone"
    print(f"{out}: {len(table.entries())} rows ({rows}) of {table.name}")


def export_table(name_or_path: str, out: Path, format: str) -> None:
    """Write a table for another tool."""
    if format not in EXPORT_FORMATS:
        raise InputError(f"unknown format {format!r}; known: {', '.join(EXPORT_FORMATS)}")
    table = load_table(name_or_path)
    if format == "csv":
        save_csv(table, out)
    else:
        save_layers(table, out)
    print(f"{out}: {len(table.entries())} rows of {table.name}")
