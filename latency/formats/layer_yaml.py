"""Latency tables of ProxylessNAS and Once-for-All: YAML, one entry a layer, {count, mean, var or std}, in milliseconds.

What they state and what a row here states, in both directions: mean is latency_ms, count is samples, and high_ms lies
1.96 standard errors of the mean above it, sqrt(var / count): the 97.5th percentile of the mean.
"""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from latency.formats.layer_keys import Foreign, is_mobilenet_v3, key_of_operator, operator_of_key
from latency.formats.plain_yaml import Fields, read_mappings, yaml_number
from latency.opspec import OpSpec
from latency.predict import constant_ms, predicted_ms
from latency.provenance import TableInfo, TableSource
from latency.rows import MAX_PLAUSIBLE_MS, TableRow
from latency.table import LatencyTable
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_bytes, write_text

MAX_YAML_BYTES = 8 * 1024 * 1024
STANDARD_ERRORS = 1.96
_FIELDS = {"count", "mean", "var", "std"}
_NULL = ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True, slots=True)
class LayerTable:
    """What a YAML table holds. left_out: for each reason, how many layers no operator here stands for."""

    rows: dict[OpSpec, TableRow]
    left_out: dict[str, int]
    mobilenet_v3: bool


def load_layers(path: Path) -> LayerTable:
    """Read a YAML table. Raises InputError, one line, for a file that is none or holds values that cannot be."""
    where = f"table {path}"
    entries = read_mappings(read_bytes(path, what="table", max_bytes=MAX_YAML_BYTES), where=where)
    if not entries:
        raise InputError(f"{where} has no layers")
    mobilenet_v3 = any(map(is_mobilenet_v3, entries))
    rows: dict[OpSpec, TableRow] = {}
    left_out: Counter[str] = Counter()
    for key, fields in entries.items():
        try:
            op = operator_of_key(key, mobilenet_v3=mobilenet_v3)
            row = _row(key, fields)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        if isinstance(op, Foreign):
            left_out[op.reason] += 1
        elif op in rows:
            raise InputError(f"{where}: two entries are {op.key}")
        else:
            rows[op] = row
    if not rows:
        raise InputError(f"{where}: none of its {len(entries)} layers is an operator of this tool")
    return LayerTable(rows, dict(left_out), mobilenet_v3)


def _row(key: str, fields: Fields) -> TableRow:
    unknown = sorted(set(fields) - _FIELDS)
    if unknown or "mean" not in fields or {"var", "std"} <= set(fields):
        raise InputError(f"{key}: an entry holds count, mean and var or std, not {str(sorted(fields))[:80]}")
    mean = _number(key, fields, "mean")
    if mean is None or not 0 < mean <= MAX_PLAUSIBLE_MS:
        raise InputError(f"{key}: mean is {fields['mean'][:40]!r}; a time is a number of milliseconds above 0")
    count = _count(key, fields)
    spread = "std" if "std" in fields else "var"
    value = _number(key, fields, spread)
    if value is not None and not 0 <= value <= MAX_PLAUSIBLE_MS**2:
        raise InputError(f"{key}: {spread} is {fields[spread][:40]!r}; it must be 0 or more")
    high = None
    if value is not None and count is not None:
        variance = value**2 if spread == "std" else value
        high = mean + STANDARD_ERRORS * math.sqrt(variance / count)
    return TableRow(mean, high, None, None, None, count, None)


def _number(key: str, fields: Fields, name: str) -> float | None:
    text = fields.get(name, "")
    if text in _NULL:
        return None
    try:
        number = float(text)
    except ValueError:
        raise InputError(f"{key}: {name} is {text[:40]!r}, which is no number") from None
    if not math.isfinite(number):
        raise InputError(f"{key}: {name} is {text[:40]!r}, which is no number of milliseconds")
    return number


def _count(key: str, fields: Fields) -> int | None:
    text = fields.get("count", "")
    if text in _NULL:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 15 or int(text) < 1:
        raise InputError(f"{key}: count is {text[:40]!r}; a count is a whole number, at least 1")
    return int(text)


def table_of_layers(layers: LayerTable, source: TableSource, *, tool_version: str) -> LatencyTable:
    """The table: what each operator adds, no constant, nothing else known."""
    return LatencyTable(TableInfo.imported(source, rows="share", tool_version=tool_version), layers.rows)


def save_layers(table: LatencyTable, path: Path) -> None:
    """Write a table as ProxylessNAS reads it, whole or not at all. See `layers_text`."""
    write_text(path, layers_text(table))


def layers_text(table: LatencyTable) -> str:
    """The YAML. Raises InputError for a table that ProxylessNAS has no words for.

    ProxylessNAS adds up the means of a network's layers, so each is what the operator adds to a network; what an
    invocation costs goes to `Conv`, which every network holds once: its sums are then our predictions.
    """
    if table.placed:
        raise InputError(
            f"the table of {table.name} has rows of single places; a ProxylessNAS table has one time for an operator"
        )
    if table.prices_zero:
        raise InputError(f"the table of {table.name} prices Zero, which costs nothing in a ProxylessNAS table")
    ops = [op for op in table.rows if op.kind != "empty"]
    stems = [op for op in ops if op.kind == "conv" and key_of_operator(op).startswith("Conv-")]
    constant = constant_ms(table)
    if constant and not stems:
        raise InputError(f"the table of {table.name} has no first convolution, 3x3, to count the invocation to")
    lines = [
        "# Latencies in milliseconds, as the search code of ProxylessNAS reads them.",
        f"# From a PocketNAS table: {table.name}.",
        "# mean: what the layer adds to a network. var / count: the square of its standard error.",
        f"# Conv holds what one invocation costs as well, {constant!r} ms.",
    ]
    for op in ops:
        own = predicted_ms(table, op)
        if own <= 0:
            raise InputError(
                f"the table of {table.name}: {op.key} adds {own:.6f} ms, and a ProxylessNAS table holds times above 0; "
                "measure it again (pocketnas table check names such rows)"
            )
        mean = own + (constant if op in stems else 0.0)
        row = table.rows[op]
        variance = None
        if row.noise_ms is not None and row.samples is not None:
            variance = row.samples * (row.noise_ms / STANDARD_ERRORS) ** 2
        lines += [
            f"{key_of_operator(op)}:",
            f"  count: {yaml_number(row.samples)}",
            f"  mean: {yaml_number(mean)}",
            f"  var: {yaml_number(variance)}",
        ]
    return "\n".join(lines) + "\n"
