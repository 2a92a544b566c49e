"""Read a run directory into one frozen record, or say in one line which stage has to run first."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from latency.opspec import OpSpec
from latency.opspec import zero as zero_op
from latency.predict import Prediction, predict, predicted_ms
from latency.table import LatencyTable
from pocketnas.report.records import (
    ManifestRecord,
    RebenchRow,
    SearchRecord,
    SummaryRecord,
    TrainingRecord,
)
from pocketnas_base.errors import InputError
from pocketnas_base.files import Json, read_bytes
from search.architecture import Architecture

MAX_TEXT_BYTES = 256 * 1024
MAX_JSON_BYTES = 16 * 1024 * 1024
MAX_REBENCH_BYTES = 16 * 1024 * 1024
MAX_REBENCH_ROWS = 1000
RESUME = "pocketnas run CONFIG --resume"

Record = TypeVar("Record", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Position:
    """One searchable position as the report shows it.

    number: its place in the chain of operators, from 1. candidate_ms: what each candidate adds to the network by the
    table, None where the table has no row or the name is not one of this tool's. probabilities: of the same candidates.
    """

    name: str
    number: int
    op: OpSpec
    candidates: tuple[str, ...]
    candidate_ms: tuple[float | None, ...]
    probabilities: tuple[float, ...]
    chosen: int


@dataclass(frozen=True)
class RunRecord:
    """Everything that a report shows."""

    summary: SummaryRecord
    architecture: Architecture
    prediction: Prediction
    table: LatencyTable
    search: SearchRecord
    positions: tuple[Position, ...]
    training: TrainingRecord
    manifest: ManifestRecord
    rebench: tuple[RebenchRow, ...]
    environment: dict[str, Json]
    config: str

    @property
    def promise(self) -> RebenchRow | None:
        """The measurement that the prediction speaks of: the derived net under the table's runtime."""
        runtime, precision = self.summary.table_runtime, self.table.info.precision
        for row in self.rebench:
            if row.role == "derived" and row.runtime == runtime and precision in (None, row.precision):
                return row
        return None

    @property
    def constant_name(self) -> str:
        """What the prediction adds up besides the blocks."""
        return "the empty model" if self.table.info.rows == "alone" else "the table's constant"


def collect(run_dir: Path) -> RunRecord:
    """Read what the stages wrote. Raises InputError, one line, naming the file at fault and the stage that makes it."""
    if not run_dir.is_dir():
        raise InputError(f"{run_dir} is not a run directory; start one with: pocketnas run CONFIG")
    config = _text(run_dir, "config.toml", stage="environment")
    environment = _plain(run_dir, "environment.json", stage="environment")
    table = _loaded(run_dir, "table.parquet", LatencyTable, stage="table")
    search = _json(run_dir, "search/result.json", SearchRecord, stage="search")
    architecture = _loaded(run_dir, "architecture.json", Architecture, stage="search")
    training = _json(run_dir, "training.json", TrainingRecord, stage="train")
    manifest = _json(run_dir, "deploy/manifest.json", ManifestRecord, stage="export")
    rebench = _rebench(run_dir, "rebench.parquet", stage="rebench")
    summary = _json(run_dir, "summary.json", SummaryRecord, stage="report")
    try:
        prediction = predict(table, architecture.ops)
    except InputError as error:
        raise _fault(run_dir, "table.parquet", "table", str(error)) from None
    return RunRecord(
        summary=summary,
        architecture=architecture,
        prediction=prediction,
        table=table,
        search=search,
        positions=_positions(run_dir, search, architecture, table),
        training=training,
        manifest=manifest,
        rebench=rebench,
        environment=environment,
        config=config,
    )


def _positions(
    run_dir: Path, search: SearchRecord, architecture: Architecture, table: LatencyTable
) -> tuple[Position, ...]:
    """The searched operators."""
    numbers = [edge.number or place for place, edge in enumerate(search.edges, start=3)]
    if max(numbers) > len(architecture.ops):
        raise _fault(run_dir, "architecture.json", "search", "it has fewer operators than search/result.json speaks of")
    searched = [architecture.ops[number - 1] for number in numbers]
    chosen = [edge.candidates[index] for edge, index in zip(search.edges, search.chosen, strict=True)]
    if [op.choice for op in searched] != chosen:
        raise _fault(run_dir, "architecture.json", "search", "its blocks are not those that search/result.json chose")
    known = _operators(table)
    positions = []
    for index, (number, edge, op) in enumerate(zip(numbers, search.edges, searched, strict=True)):
        costs = tuple(_candidate_ms(table, known, op, name, number - 1, edge.activation) for name in edge.candidates)
        probabilities = search.probabilities[index][: len(edge.candidates)]
        positions.append(Position(edge.name, number, op, edge.candidates, costs, probabilities, search.chosen[index]))
    return tuple(positions)


_Place = tuple[str, str, int, int, int, int]


def _place_of(name: str, activation: str, at: OpSpec) -> _Place:
    return name, activation, at.in_channels, at.out_channels, at.stride, at.resolution


def _operators(table: LatencyTable) -> dict[_Place, OpSpec]:
    """The table's operators as they stand at searched positions: a block has a shortcut wherever it can have one."""
    return {
        _place_of(op.choice, op.activation, op): op
        for op in (entry.op for entry in table.entries())
        if op.kind != "mbconv" or op.residual == (op.stride == 1 and op.in_channels == op.out_channels)
    }


def _candidate_ms(
    table: LatencyTable, known: Mapping[_Place, OpSpec], at: OpSpec, name: str, place: int, activation: str
) -> float | None:
    """What a candidate of the position of `at` adds; None where the table does not know it."""
    op = zero_op(at.in_channels, at.resolution) if name == "zero" else known.get(_place_of(name, activation, at))
    try:
        return None if op is None else predicted_ms(table, op, place)
    except InputError:
        return None


def _fault(run_dir: Path, name: str, stage: str, problem: str) -> InputError:
    text = " ".join(problem.split())
    return InputError(f"run {run_dir}: {name}: {text}; the {stage} stage has to run first: {RESUME}")


def _bytes(run_dir: Path, name: str, *, stage: str, max_bytes: int) -> bytes:
    if not (run_dir / name).exists():
        raise _fault(run_dir, name, stage, "it is missing")
    try:
        return read_bytes(run_dir / name, what="file", max_bytes=max_bytes)
    except InputError as error:
        raise _fault(run_dir, name, stage, str(error)) from None


def _text(run_dir: Path, name: str, *, stage: str) -> str:
    try:
        return _bytes(run_dir, name, stage=stage, max_bytes=MAX_TEXT_BYTES).decode()
    except UnicodeDecodeError:
        raise _fault(run_dir, name, stage, "it is not UTF-8 text") from None


def _plain(run_dir: Path, name: str, *, stage: str) -> dict[str, Json]:
    try:
        value: Json = json.loads(_text(run_dir, name, stage=stage))
    except (ValueError, RecursionError) as error:
        raise _fault(run_dir, name, stage, f"it is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise _fault(run_dir, name, stage, "it is not a JSON object")
    return value


def _json(run_dir: Path, name: str, kind: type[Record], *, stage: str) -> Record:
    try:
        return kind.model_validate_json(_bytes(run_dir, name, stage=stage, max_bytes=MAX_JSON_BYTES))
    except ValidationError as error:
        raise _fault(run_dir, name, stage, _first(error)) from None


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]


Loaded = TypeVar("Loaded", LatencyTable, Architecture)


def _loaded(run_dir: Path, name: str, kind: type[Loaded], *, stage: str) -> Loaded:
    if not (run_dir / name).exists():
        raise _fault(run_dir, name, stage, "it is missing")
    try:
        return kind.load(run_dir / name)
    except InputError as error:
        raise _fault(run_dir, name, stage, str(error)) from None


def _rebench(run_dir: Path, name: str, *, stage: str) -> tuple[RebenchRow, ...]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = _bytes(run_dir, name, stage=stage, max_bytes=MAX_REBENCH_BYTES)
    try:
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            if not 1 <= file.metadata.num_rows <= MAX_REBENCH_ROWS:
                raise InputError(f"it has {file.metadata.num_rows} rows; 1 to {MAX_REBENCH_ROWS} are read")
            records = file.read().to_pylist()
        return tuple(RebenchRow.model_validate(record) for record in records)
    except ValidationError as error:
        raise _fault(run_dir, name, stage, _first(error)) from None
    except (InputError, pa.ArrowException, OSError, ValueError) as error:
        raise _fault(run_dir, name, stage, str(error)) from None
