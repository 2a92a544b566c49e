"""Stage `report`: summary.json and report.html."""

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import PurePosixPath
from typing import Any

from deploy.export import load_exported
from latency.predict import predict
from pocketnas.stages.context import RunContext
from pocketnas.stages.training import training_record
from pocketnas.taken_table import why_not_compared
from pocketnas_base.artifact import PRECISIONS, Precision
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_json, write_json
from search.architecture import Architecture

SCHEMA_VERSION = 1


def run(context: RunContext) -> str:
    """Write both files; returns what they say in one line."""
    from pocketnas.report.build import write_report

    summary = summarise(context)
    write_json(context.directory.summary, summary)
    write_report(context.directory.path)
    if summary["not_compared"] is not None:
        return f"not compared: {summary['not_compared']}"
    return f"prediction off by {summary['prediction_error_percent']:+.1f} %"


def rebench_rows(context: RunContext) -> list[dict[str, Any]]:
    """The rows of rebench.parquet. Raises InputError when it is missing or damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = context.directory.rebench
    try:
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; measure first: pocketnas rebench {context.directory.path}") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    return rows


def _by_precision(rows: list[dict[str, Any]], precision: Precision) -> list[dict[str, Any]]:
    """Rows in an order in which the one that speaks for its runtime comes last: that of the table's precision, else the
    most exact."""
    order = {name: place for place, name in enumerate(dict.fromkeys((precision, *PRECISIONS)))}
    return sorted(rows, key=lambda row: -order.get(row["precision"], len(order)))


def summarise(context: RunContext) -> dict[str, Any]:
    """The run in one JSON document."""
    directory, config = context.directory, context.config
    table, architecture = context.table(), context.architecture()
    prediction = predict(table, architecture.ops)
    rows = rebench_rows(context)
    precision = config.table.precision
    derived = {row["runtime"]: row for row in _by_precision([r for r in rows if r["role"] == "derived"], precision)}
    baseline_row = _by_precision([row for row in rows if row["role"] == "baseline"], precision)[-1]
    baseline = Architecture.load(directory.baseline / "architecture.json")
    measured = {runtime: row["latency_ms"] for runtime, row in derived.items()}
    of_table = measured[config.table.runtime]
    exported = load_exported(directory.deploy)
    files = {
        runtime: next(file for file in exported if file.artifact.path.name == PurePosixPath(row["file"]).name)
        for runtime, row in derived.items()
    }
    search: Any = read_json(directory.search_result, what="search result")
    environment: Any = read_json(directory.environment, what="environment")
    device = environment["device"]
    not_compared = why_not_compared(table.info, device["id"], device["fingerprint"])
    error_percent = None if not_compared else 100 * (prediction.latency_ms - of_table) / of_table
    return {
        "schema_version": SCHEMA_VERSION,
        "name": config.name,
        "space": context.space.name,
        "seed": config.seed,
        "data": search["data"],
        "device": {name: device[name] for name in ("id", "model", "soc", "abi", "os_version")},
        "target_ms": search["target_ms"],
        "predicted_ms": prediction.latency_ms,
        "predicted_low_ms": prediction.low_ms,
        "predicted_high_ms": prediction.high_ms,
        "table_runtime": config.table.runtime,
        "measured_ms": measured,
        "prediction_error_percent": error_percent,
        "not_compared": not_compared,
        "device_drift_percent": derived[config.table.runtime]["device_drift_percent"],
        "top1": {"torch": training_record(context, "derived")["top1"], **{r: file.top1 for r, file in files.items()}},
        "parity": {runtime: file.parity.relative_error for runtime, file in files.items()},
        "macs": architecture.macs,
        "parameters": architecture.parameters,
        "baseline": {
            "name": baseline.name,
            "runtime": baseline_row["runtime"],
            "measured_ms": baseline_row["latency_ms"],
            "top1": training_record(context, "baseline")["top1"],
            "macs": baseline.macs,
            "parameters": baseline.parameters,
        },
        "seconds": directory.seconds(),
        "tool_version": version("pocketnas"),
        "date_utc": datetime.now(UTC).isoformat(timespec="seconds"),
    }
