"""`pocketnas search RUN --targets 20,30,40`: one network each from one supernet, and the front they make."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketnas.commands.run import check_before_measuring, find_run, run_stage
from pocketnas.console import print_json, print_table
from pocketnas.launch import follow, follows, refuse_several_processes
from pocketnas.pipeline import run_one
from pocketnas.run_directory import RunDirectory
from pocketnas.searches.targets import Front, evolved, most_probable, network_name, parse_targets
from pocketnas.stages.context import RunContext
from pocketnas_base.errors import InputError
from pocketnas_base.files import write_json

if TYPE_CHECKING:
    from latency.table import LatencyTable

WAYS = {"evolution": evolved, "probabilities": most_probable}
OWN_TABLE = "table"
MAX_TABLES = 16


def search_targets(
    run_or_config: Path, runs: Path, targets: str, by: str, tables: Sequence[str], *, as_json: bool
) -> None:
    """Derive, write architectures, fronts.json and fronts.html under the run's `targets`, and print the fronts.

    tables: a front each; none: the run's own.
    """
    asked = parse_targets(targets)
    if by not in WAYS:
        raise InputError(f"--by takes {' or '.join(WAYS)}, not {by!r}")
    if len(tables) > MAX_TABLES or len(set(tables)) < len(tables):
        raise InputError(f"--table takes at most {MAX_TABLES} tables, each once")
    if len({network_name(name, 0) for name in tables}) < len(tables):
        raise InputError("two of the tables have the same file name; rename one, since networks are named after them")
    if by == "probabilities":
        refuse_several_processes("search --targets --by probabilities")
    directory = find_run(run_or_config, runs)
    if follows():
        follow(RunContext(directory), evolved.__module__)
        return
    check_before_measuring(RunContext(directory))
    if by == "probabilities" and not directory.is_done("search"):
        if not directory.is_done("table") and not tables:
            run_one(directory, "table")
        run_stage("search", directory.path, runs, table=tables[0] if tables else None)
    elif not tables and not directory.is_done("table"):
        run_one(directory, "table")
    context = RunContext(directory)
    named = [(name, _table_of(context, name)) for name in tables] or [(OWN_TABLE, context.table())]
    fronts = WAYS[by](context, named, asked)
    _write(directory, by, fronts)
    if as_json:
        print_json(_document(directory, by, fronts))
        return
    for front in fronts:
        print_table(
            ["target ms", "latency ms", "top-1 %", "M MACs", "front", "network"],
            _rows(directory, front),
            title=f"{front.table.name}",
        )
    print("top-1: test images, weights inherited from the supernet; train a network to know what it can do")
    print(f"drawn: {_page(directory)}")


def _table_of(context: RunContext, name: str) -> "LatencyTable":
    from latency.library import load_table

    table = load_table(name)
    if table.info.space_fingerprint not in (None, context.space.fingerprint):
        raise InputError(f"table {name} is of another space ({table.info.space}), not of {context.space.name}")
    return table


def _rows(directory: RunDirectory, front: Front) -> list[list[str]]:
    return [
        [
            f"{network.target_ms:g}",
            f"{network.latency_ms:.3f}",
            f"{network.accuracy:.2f}",
            f"{network.architecture.macs / 1e6:.2f}",
            "yes" if network.on_front else "beaten",
            str(_file(directory, network.architecture.name)),
        ]
        for network in front.networks
    ]


def _file(directory: RunDirectory, name: str) -> Path:
    return directory.path / "targets" / f"{name}.json"


def _page(directory: RunDirectory) -> Path:
    return directory.path / "targets" / "fronts.html"


def _write(directory: RunDirectory, by: str, fronts: Sequence[Front]) -> None:
    from pocketnas.report.front_page import write_front_page

    for front in fronts:
        for network in front.networks:
            network.architecture.save(_file(directory, network.architecture.name))
    write_json(directory.path / "targets" / "fronts.json", _document(directory, by, fronts))
    write_front_page(fronts, directory.config, by, _page(directory))


def _document(directory: RunDirectory, by: str, fronts: Sequence[Front]) -> dict[str, Any]:
    return {
        "name": directory.config.name,
        "space": directory.config.space,
        "by": by,
        "fronts": [
            {
                "table": front.name,
                "of": front.table.name,
                "networks": [
                    {
                        "target_ms": network.target_ms,
                        "latency_ms": network.latency_ms,
                        "top1": network.accuracy,
                        "on_front": network.on_front,
                        "macs": network.architecture.macs,
                        "parameters": network.architecture.parameters,
                        "architecture": str(_file(directory, network.architecture.name)),
                    }
                    for network in front.networks
                ],
            }
            for front in fronts
        ],
        "page": str(_page(directory)),
    }
