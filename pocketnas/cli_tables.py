"""`pocketnas table ...`. As in cli.py, each command's work is imported when it is called."""

from pathlib import Path
from typing import Annotated

import typer

from pocketnas.cli_options import (
    Delegate,
    Devices,
    Json,
    NamesFrom,
    OneDevice,
    Processes,
    Ray,
    Runner,
    Runs,
    Table,
    Tolerate,
)
from pocketnas_base.errors import InputError

table_app = typer.Typer(
    help="Latency tables, one row per operator of a space: build, calibrate, check, compare and exchange them.",
    no_args_is_help=True,
)


@table_app.command("build")
def table_build(
    run_or_config: Annotated[
        Path | None, typer.Argument(help="A run directory or CONFIG.toml; or give --space and --out.")
    ] = None,
    runs: Runs = Path("runs"),
    space: Annotated[str, typer.Option(help="A built-in space or a .toml file.")] = "",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Where to write the table (.parquet); of several, each name tells which."),
    ] = None,
    device: Devices = None,
    config: NamesFrom = None,
    runtime: Annotated[list[str] | None, typer.Option(help="tflite (the default) or executorch, or both.")] = None,
    precision: Annotated[list[str] | None, typer.Option(help="fp32 (the default) or int8, or both.")] = None,
    threads: Annotated[list[str] | None, typer.Option(help="Of the runtime, 1 to 64; left out, 1.")] = None,
    resolution: Annotated[
        list[str] | None, typer.Option(help="Of the images, in pixels; left out, the space's own.")
    ] = None,
    processes: Processes = None,
    runner: Runner = None,
    delegate: Delegate = "cpu",
    tolerate: Tolerate = None,
    ray: Ray = None,
) -> None:
    """Measure every operator of a space. An interrupted build goes on where it stopped.

    --runtime, --precision, --threads and --resolution take several values: one table of every combination.
    """
    if run_or_config is not None:
        if space or out is not None or device or config or runtime or precision or threads or resolution or ray:
            raise InputError("give either a run or --space, --out, --device and what to build, not both")
        if processes is not None or tolerate or runner is not None or delegate != "cpu":
            raise InputError(
                "a run's table is measured as its configuration says (table.processes, tolerate), by our own runner; "
                "leave --processes, --tolerate, --runner and --delegate out, or give --space and --out"
            )
        from pocketnas.commands.run import run_stage

        run_stage("table", run_or_config, runs)
    elif space and out is not None:
        from pocketnas.commands.table_build import BuildOptions, build
        from pocketnas.device_names import devices_by_name
        from pocketnas.table_settings import AskedSettings

        asked = AskedSettings(*(tuple(values or ()) for values in (runtime, precision, threads, resolution)))
        devices = devices_by_name(device, config)
        build(space, out, devices, BuildOptions(asked, processes, tuple(tolerate or ()), runner, delegate, ray))
    else:
        raise InputError("what to build? give a run's CONFIG.toml, or --space SPACE --out FILE.parquet")


@table_app.command("calibrate")
def table_calibrate(
    table: Annotated[Path, typer.Argument(help="A measured table (.parquet), which is written anew.")],
    device: OneDevice = None,
    config: NamesFrom = None,
    space: Annotated[str, typer.Option(help="The space it is of; left out, the built-in one it says it is of.")] = "",
    networks: Annotated[
        int | None, typer.Option(help="How many networks; left out, as many as their residual asks for.")
    ] = None,
    processes: Processes = None,
    tolerate: Tolerate = None,
    json: Json = False,
) -> None:
    """Measure whole networks, so that sums of rows become predictions."""
    from pocketnas.calibrating import Budget
    from pocketnas.commands.table_calibrate import calibrate_table
    from pocketnas.device_names import devices_by_name

    named = devices_by_name([device], config)[0] if device is not None else None
    calibrate_table(table, space, named, Budget(networks, processes), tolerate or (), as_json=json)


@table_app.command("show")
def table_show(
    table: Table,
    html: Annotated[Path | None, typer.Option(help="Write a page with a heat map here, instead of printing.")] = None,
    json: Json = False,
) -> None:
    """Print a table's rows and where it comes from."""
    from pocketnas.commands.table_show import show

    show(table, as_json=json, html=html)


@table_app.command("check")
def table_check(
    table: Table,
    space: Annotated[str, typer.Option(help="The space it has to cover; left out, the built-in one it is of.")] = "",
    json: Json = False,
) -> None:
    """Name missing, unstable and implausible rows. Exit status 0: none, 1: some, 2: no such table."""
    from pocketnas.commands.table_check import check

    raise typer.Exit(check(table, space, as_json=json))


@table_app.command("diff")
def table_diff(first: Table, second: Table, json: Json = False) -> None:
    """Compare two tables: ratios, ranks, which operators moved, what differs in provenance."""
    from pocketnas.commands.table_diff import diff

    diff(first, second, as_json=json)


@table_app.command("import")
def table_import(
    file: Annotated[Path, typer.Argument(help="A .yaml of ProxylessNAS or Once-for-All, a TuNAS .json, or a .csv.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write the table (.parquet).")],
    format: Annotated[str, typer.Option(help="auto, proxylessnas, ofa, tunas or csv.")] = "auto",
    space: Annotated[str, typer.Option(help="The space it is of, which it then has to cover.")] = "",
    source: Annotated[str | None, typer.Option(help="Who published it, for its provenance.")] = None,
    licence: Annotated[str | None, typer.Option(help="Its licence, for its provenance.")] = None,
) -> None:
    """Make a table of one in somebody else's layout."""
    from latency.formats.importing import Origin
    from pocketnas.commands.table_exchange import import_file

    import_file(file, out, format, space, Origin(source, licence))


@table_app.command("export")
def table_export(
    table: Table,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write it.")],
    format: Annotated[str, typer.Option(help="csv, or proxylessnas: a .yaml that the original search reads.")] = "csv",
) -> None:
    """Write a table for another tool."""
    from pocketnas.commands.table_exchange import export_table

    export_table(table, out, format)
