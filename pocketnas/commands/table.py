"""`pocketnas table`: build one apart from a run, look at one."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from android_bench.official.runner import choose_runner
from latency.check import check_table
from latency.library import load_table
from latency.rows import TIMES
from pocketnas.cache import operator_cache
from pocketnas.commands.table_check import chain_of
from pocketnas.config import TableConfig
from pocketnas.console import print_json, print_table, progress_bar, say
from pocketnas.device_names import resolve_device
from pocketnas.measuring import measure_table, open_device, operator_jobs
from pocketnas.side_by_side import run_side_by_side
from pocketnas_base.artifact import RUNTIMES
from pocketnas_base.errors import InputError, PocketNASError
from search.space import load_space


@dataclass(frozen=True, slots=True)
class TableOptions:
    """What the command line asked for. processes: None leaves them to the device. runner: a tool of the user's own,
    NAME=PATH; None: our own."""

    runtime: str = "tflite"
    threads: int = 1
    processes: int | None = None
    tolerated: tuple[str, ...] = ()
    runner: str | None = None
    delegate: str = "cpu"


def build(space_name: str, out: Path, devices: Sequence[str], options: TableOptions) -> None:
    """Measure a space's operators into `out`; samples are kept beside it, so that a second call goes on.

    With several devices each gets a file of its own, with its name before the suffix, and a worker of its own;
    PocketNASError after the last if any failed.
    """
    if options.runtime not in RUNTIMES:
        raise InputError(f"unknown runtime {options.runtime!r}; known: {', '.join(RUNTIMES)}")
    if out.suffix != ".parquet":
        raise InputError(f"--out {out}: a table is a .parquet file")
    space = load_space(space_name)
    official = choose_runner(options.runner, options.delegate)
    if official is not None and official.runtime != options.runtime:
        raise InputError(
            f"{official.kind} runs {official.runtime} files; build a table with --runtime {official.runtime}"
        )
    names = list(dict.fromkeys(devices)) or [resolve_device(None, {})]
    if len(names) > 1:
        _build_side_by_side(space_name, out, names, options)
        return
    device = open_device(names[0], say=say)
    config = TableConfig.model_validate(
        {"runtime": options.runtime, "threads": options.threads, "processes": options.processes}
    )
    with progress_bar("operators") as progress:
        jobs = operator_jobs(space, config, operator_cache(), 0, progress)
    with progress_bar(f"table {names[0]}") as progress:
        table = measure_table(
            space,
            device,
            config,
            jobs,
            out.with_suffix(".sqlite"),
            0,
            progress,
            tolerated=options.tolerated,
            official=official,
        )
    table.save(out)
    print(f"{out}: {len(table.rows)} operators of {table.name}")


def _build_side_by_side(space_name: str, out: Path, names: Sequence[str], options: TableOptions) -> None:
    words = ["table", "build", "--space", space_name, "--runtime", options.runtime, "--threads", str(options.threads)]
    if options.processes is not None:
        words += ["--processes", str(options.processes)]
    words += [word for reason in options.tolerated for word in ("--tolerate", reason)]
    words += ["--runner", options.runner] if options.runner is not None else []
    words += ["--delegate", options.delegate]
    places = {name: out.with_stem(f"{out.stem}.{re.sub('[^A-Za-z0-9._-]', '_', name)}") for name in names}
    workers = run_side_by_side(
        {name: [*words, "--device", name, "--out", str(place)] for name, place in places.items()}
    )
    for worker in workers:
        print(worker.stdout, end="")
    failed = [worker.device for worker in workers if worker.exit_status != 0]
    if failed:
        raise PocketNASError(f"{len(failed)} of {len(names)} devices failed ({', '.join(failed)}): see above")


def show(name_or_path: str, *, as_json: bool, html: Path | None) -> None:
    """A table's rows and provenance, on the terminal or as a page."""
    table = load_table(name_or_path)
    if html is not None:
        from pocketnas.report.table_page import write_table_page

        if as_json:
            raise InputError("give either --json or --html, not both")
        chain, unknown = chain_of(table, "")
        write_table_page(table, html, check_table(table, chain), unknown)
        print(f"{html}: {table.name}")
        return
    if as_json:
        print_json({"info": table.info.model_dump(mode="json"), "rows": table.records()})
        return
    print_table(
        ["operator", "latency ms", "at most ms", "median ms", "p10 ms", "p90 ms", "MACs M", "processes"],
        [
            [
                entry.key,
                *(_ms(getattr(entry.row, name)) for name in TIMES),
                f"{entry.op.macs / 1e6:.3f}",
                "" if entry.row.processes is None else str(entry.row.processes),
            ]
            for entry in table.entries()
        ],
        title=table.name,
    )
    for name, value in table.info.model_dump(mode="json").items():
        if value is not None:
            print(f"{name}: {value}")


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
