"""Read a table in somebody else's layout."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

from pydantic import ValidationError

from latency.chain import Chain
from latency.formats.csv_table import load_csv
from latency.formats.layer_yaml import load_layers, table_of_layers
from latency.formats.tunas import load_linear_model
from latency.provenance import TableFormat, TableSource, TimesAre
from latency.table import LatencyTable
from pocketnas_base.errors import InputError

ImportFormat = Literal["auto", "proxylessnas", "ofa", "tunas", "csv"]
IMPORT_FORMATS: tuple[ImportFormat, ...] = get_args(ImportFormat)

_BY_SUFFIX: Mapping[str, TableFormat] = MappingProxyType(
    {".yaml": "proxylessnas", ".yml": "proxylessnas", ".json": "tunas", ".csv": "csv"}
)
_TIMES: Mapping[TableFormat, TimesAre] = MappingProxyType(
    {"proxylessnas": "mean", "ofa": "mean", "tunas": "regression weight", "csv": "unknown"}
)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a person knows of a file. text: who published it, where it lay; None: nothing but its name."""

    text: str | None = None
    licence: str | None = None

    def source(self, path: Path, format: TableFormat) -> TableSource:
        """The provenance of a table read from that file."""
        text = " ".join((self.text or f"imported from {path.name}").split())
        licence = " ".join((self.licence or "").split()) or None
        try:
            return TableSource(format=format, text=text, licence=licence, times=_TIMES[format])
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise InputError(f"the {first['loc'][0]} of {path}: {first['msg']}") from None


@dataclass(frozen=True, slots=True)
class Imported:
    """left_out: for each reason, how many entries of the file no operator here stands for."""

    table: LatencyTable
    left_out: Mapping[str, int]


def import_table(
    path: Path, format: str, *, chain: Chain | None, default_chain: Chain, origin: Origin, tool_version: str
) -> Imported:
    """Read a file in one of IMPORT_FORMATS; `auto` goes by its suffix.

    chain: the space that the table is said to be of, None where the user names none; default_chain: the one that
    TuNAS' published model is of. Raises InputError, one line, for a file that is not what it should be, and for a
    table that lacks an operator of its space.
    """
    known = _format_of(path, format)
    if known == "csv":
        table = load_csv(path, unknown=origin.source(path, known), tool_version=tool_version)
        return Imported(_of_space(table, chain), {})
    if known == "tunas":
        source = origin.source(path, known)
        return Imported(load_linear_model(path, chain or default_chain, source, tool_version=tool_version), {})
    layers = load_layers(path)
    if layers.mobilenet_v3 and format == "proxylessnas":
        raise InputError(f"table {path} has layers of Once-for-All's MobileNetV3; import it with --format ofa")
    dialect: TableFormat = "ofa" if layers.mobilenet_v3 or format == "ofa" else "proxylessnas"
    table = table_of_layers(layers, origin.source(path, dialect), tool_version=tool_version)
    return Imported(_of_space(table, chain), layers.left_out)


def _format_of(path: Path, format: str) -> TableFormat:
    for known in get_args(TableFormat):
        if format == known:
            found: TableFormat = known
            return found
    if format != "auto":
        raise InputError(f"unknown format {format!r}; known: {', '.join(IMPORT_FORMATS)}")
    if path.suffix.lower() not in _BY_SUFFIX:
        raise InputError(
            f"the name of {path} does not say what it holds ({', '.join(_BY_SUFFIX)}); "
            f"give --format {'|'.join(get_args(TableFormat))}"
        )
    return _BY_SUFFIX[path.suffix.lower()]


def _of_space(table: LatencyTable, chain: Chain | None) -> LatencyTable:
    """The table as one of the named space. Raises InputError when it is another's or lacks an operator of it."""
    if chain is None:
        return table
    said = table.info.space_fingerprint
    if said is not None and said != chain.fingerprint:
        raise InputError(f"the table of {table.name} says that it is of another space than {chain.space}")
    wanted = [(place, op) for place, op in chain.wanted() if op.kind != "empty"]
    table.require_at(wanted, needed_by=f"space {chain.space}")
    info = table.info.model_copy(update={"space": chain.space, "space_fingerprint": chain.fingerprint})
    return LatencyTable(info, table.rows, table.placed)
