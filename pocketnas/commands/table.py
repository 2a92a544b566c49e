"""`pocketnas table`: build one apart from a run, look at one."""

from dataclasses import asdict
from pathlib import Path

from latency.table import LatencyTable
from pocketnas.cache import operator_cache
from pocketnas.config import TableConfig
from pocketnas.console import print_json, print_table, progress_bar
from pocketnas.measuring import measure_table, open_device, operator_jobs
from pocketnas_base.artifact import RUNTIMES
from pocketnas_base.errors import InputError
from search.space import load_space


def build(space_name: str, out: Path, device_name: str, runtime: str, threads: int, processes: int) -> None:
    """Measure a space's operators into `out`; samples are kept beside it, so that a second call goes on."""
    if runtime not in RUNTIMES:
        raise InputError(f"unknown runtime {runtime!r}; known: {', '.join(RUNTIMES)}")
    if out.suffix != ".parquet":
        raise InputError(f"--out {out}: a table is a .parquet file")
    space, device = load_space(space_name), open_device(device_name)
    config = TableConfig.model_validate({"runtime": runtime, "threads": threads, "processes": processes})
    with progress_bar("operators") as progress:
        jobs = operator_jobs(space, config, operator_cache(), 0, progress)
    with progress_bar("table") as progress:
        table = measure_table(space, device, config, jobs, out.with_suffix(".sqlite"), 0, progress)
    table.save(out)
    print(f"{out}: {len(table.rows)} operators of {table.name}")


def show(path: Path, *, as_json: bool) -> None:
    """A table's rows and provenance."""
    table = LatencyTable.load(path)
    if as_json:
        print_json(
            {
                "info": table.info.model_dump(mode="json"),
                "rows": [{**op.to_dict(), **asdict(row)} for op, row in table.rows.items()],
            }
        )
        return
    print_table(
        ["operator", "latency ms", "at most ms", "median ms", "p10 ms", "p90 ms", "MACs M", "processes"],
        [
            [
                op.key,
                f"{row.latency_ms:.4f}",
                f"{row.high_ms:.4f}",
                f"{row.median_ms:.4f}",
                f"{row.p10_ms:.4f}",
                f"{row.p90_ms:.4f}",
                f"{op.macs / 1e6:.3f}",
                str(row.processes),
            ]
            for op, row in table.rows.items()
        ],
        title=table.name,
    )
    for name, value in table.info.model_dump(mode="json").items():
        print(f"{name}: {value}")
