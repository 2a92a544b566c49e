"""Time by operator: the tables that `benchmark_model --enable_op_profiling=true` prints, as text and as CSV.

Columns differ between builds (those up to TensorFlow 2.7 have a `start`), so a column is found by its title alone.
Neither form quotes anything: titles, types and names may hold blanks, commas and semicolons.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from android_bench.parsers.text import MAX_NUMBER, Output, excerpt, integer, name, number, unreadable
from android_bench.parsers.tflite_log import log_lines

_SOURCE = "benchmark_model's profile"
_RUN_ORDER = "Run Order"
_BY_TYPE = "Summary by node type"
_TITLE = re.compile(r"={10,60} ([A-Za-z ]{1,60}) ={10,60}")
_NODES = re.compile(r"Number of nodes executed: ([0-9]{1,9})")
_STAGES = {
    "Profiling Info for Benchmark Initialization:": "initialization",
    "Operator-wise Profiling Info for Regular Benchmark Runs:": "runs",
    "Operator-wise Profiling Info for Regular Benchmark Runs": "runs",
}
_MAX_WORDS = 1000
# Names list all of a node's output tensors, and end with the node's number.
_MAX_NAME = 4096
_SUBGRAPH = re.compile(r"Subgraph \(index: ([0-9]{1,9})\b")
# Titles of the same column in the text's tables and in CSV, in lower case and without brackets.
_COLUMNS = {"avg ms": "avg_ms", "avg_ms": "avg_ms", "first": "first_ms", "start": "start_ms", "mem kb": "mem_kb"}


@dataclass(frozen=True, slots=True)
class OperatorTime:
    """One operator, in milliseconds per run. start_ms: None in builds that do not print it."""

    node_type: str
    name: str
    start_ms: float | None
    first_ms: float
    avg_ms: float
    mem_kb: float
    times_called: int


@dataclass(frozen=True, slots=True)
class NodeTypeTime:
    """All operators of one type together, in milliseconds per run."""

    node_type: str
    count: int
    avg_ms: float
    mem_kb: float
    times_called: int


@dataclass(frozen=True, slots=True)
class GraphProfile:
    """One graph at one stage. stage: "initialization" or "runs"; None in builds that do not say. graph: "primary",
    "subgraph N", or "delegate" for what happens inside one. operators: in the order in which they ran."""

    stage: str | None
    graph: str
    operators: tuple[OperatorTime, ...]
    node_types: tuple[NodeTypeTime, ...]


def parse_op_profile(output: Output) -> tuple[GraphProfile, ...]:
    """The profiles in a console text or in a profile's file, in their order.

    Raises UnreadableOutputError when there is none, when a row does not fit its table, or when a table was cut.
    """
    lines = [line.message for line in log_lines(output, _SOURCE)]
    profiles: list[GraphProfile] = []
    stage: str | None = None
    graph = "primary"
    operators: tuple[OperatorTime, ...] | None = None
    for index, line in enumerate(lines):
        text = line.strip()
        if text in _STAGES:
            stage, graph = _STAGES[text], "primary"
        elif text.endswith(" profile:") or text == "Delegate internal:":
            graph = _graph(text)
        elif match := _TITLE.fullmatch(text):
            if match[1] == _RUN_ORDER:
                operators = tuple(_operator(row) for row in _rows(lines, index + 1))
            elif match[1] == _BY_TYPE:
                node_types = tuple(_node_type(row) for row in _rows(lines, index + 1))
                executed = _NODES.fullmatch(lines[index - 1].strip()) if index else None
                if operators is None or executed is None or int(executed[1]) != len(operators):
                    raise unreadable(_SOURCE, "the operators are not as many as were executed")
                profiles.append(GraphProfile(stage, graph, operators, node_types))
                operators = None
    if operators is not None:
        raise unreadable(_SOURCE, "it ends before the summary by node type")
    if not profiles:
        raise unreadable(_SOURCE, "there is no table in it")
    return tuple(profiles)


def _graph(title: str) -> str:
    if title.startswith("Delegate internal"):
        return "delegate"
    subgraph = _SUBGRAPH.match(title)
    return f"subgraph {int(subgraph[1])}" if subgraph else "primary"


def _rows(lines: Sequence[str], start: int) -> list[dict[str, str]]:
    """The rows of the table whose header is the line `start`, by column, up to an empty line or the end."""
    header = lines[start] if start < len(lines) else ""
    is_csv = "\t" not in header
    titles = header.split(", ") if is_csv else header.split("\t")[1:]
    columns = [title.strip(" []").lower() for title in titles]
    if len(columns) < 4 or columns[0] != "node type" or len(set(columns)) != len(columns):
        raise unreadable(_SOURCE, f"no header of a table: {excerpt(header)}")
    rows = []
    for line in lines[start + 1 :]:
        if not line.strip():
            break
        cells = _csv_cells(line, columns) if is_csv else line.split("\t", len(columns))[1:]
        if len(cells) != len(columns):
            raise unreadable(_SOURCE, f"a row that does not fit its table: {excerpt(line)}")
        rows.append(dict(zip(columns, (cell.strip() for cell in cells), strict=True)))
    return rows


def _csv_cells(line: str, columns: Sequence[str]) -> list[str]:
    """The cells of a row in which the type and the name may hold the separator: the numbers between them tell where
    one ends and the other begins."""
    words = line.split(", ", _MAX_WORDS)
    has_name = columns[-1] == "name"
    numbers = len(columns) - 1 - has_name
    for start in range(1, len(words) - numbers - has_name + 1):
        end = start + numbers
        if all(_is_number(word) for word in words[start:end]):
            named = [", ".join(words[end:])] if has_name else []
            if has_name or end == len(words):
                return [", ".join(words[:start]), *words[start:end], *named]
    return []


def _is_number(word: str) -> bool:
    """Percentages of a run that took no time at all are no numbers, but stand where one belongs."""
    return number(word.removesuffix("%")) is not None or word in ("nan%", "-nan%", "inf%")


def _operator(row: dict[str, str]) -> OperatorTime:
    numbers = _numbers(row)
    times_called = integer(row.get("times called"))
    if "name" not in row or times_called is None or not {"first_ms", "avg_ms", "mem_kb"} <= set(numbers):
        raise unreadable(_SOURCE, f"no operator: {excerpt(str(row))}")
    return OperatorTime(
        node_type=name(row["node type"]) or "unnamed",
        name=name(row["name"], _MAX_NAME) or "unnamed",
        start_ms=numbers.get("start_ms"),
        first_ms=numbers["first_ms"],
        avg_ms=numbers["avg_ms"],
        mem_kb=numbers["mem_kb"],
        times_called=times_called,
    )


def _node_type(row: dict[str, str]) -> NodeTypeTime:
    numbers = _numbers(row)
    count, times_called = integer(row.get("count"), 1), integer(row.get("times called"))
    if count is None or times_called is None or not {"avg_ms", "mem_kb"} <= set(numbers):
        raise unreadable(_SOURCE, f"no type of operators: {excerpt(str(row))}")
    node_type = name(row["node type"]) or "unnamed"
    return NodeTypeTime(node_type, count, numbers["avg_ms"], numbers["mem_kb"], times_called)


def _numbers(row: dict[str, str]) -> dict[str, float]:
    found = {
        field: number(row[column], -MAX_NUMBER if field == "mem_kb" else 0)
        for column, field in _COLUMNS.items()
        if column in row
    }
    return {field: value for field, value in found.items() if value is not None}
