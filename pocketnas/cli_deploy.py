"""`pocketnas rebench` and `pocketnas check`: what is done with exported files."""

from pathlib import Path
from typing import Annotated

import typer

from pocketnas.cli_options import Devices, Json, NamesFrom, Processes, Runs, Tolerate

Folder = Annotated[Path, typer.Argument(help="A deploy folder: one with a manifest.json.")]


def rebench(
    run_or_folder: Annotated[
        Path, typer.Argument(help="A run directory or its CONFIG.toml: the run's stage; or any deploy folder.")
    ],
    runs: Runs = Path("runs"),
    device: Devices = None,
    config: NamesFrom = None,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Of the runtime.")] = 1,
    processes: Processes = None,
    most_loss: Annotated[
        float, typer.Option(min=0, max=100, help="Percent points of top-1 that the file to ship may lose against fp32.")
    ] = 1.0,
    table: Annotated[str | None, typer.Option("--table", "-t", help="What predicted the files' latency.")] = None,
    architecture: Annotated[
        str | None, typer.Option("--architecture", "-a", help="Of which network: a JSON file or a zoo name.")
    ] = None,
    host: Annotated[
        bool, typer.Option("--host/--no-host", help="Measure this machine too, where the manifest does not have it.")
    ] = True,
    energy_seconds: Annotated[
        float, typer.Option(min=0, max=600, help="Of inferences between two looks at the battery gauge; 0: none.")
    ] = 30.0,
    tolerate: Tolerate = None,
    json: Json = False,
) -> None:
    """Measure exported files on the device, beside their prediction, and name the one to ship.

    Of a run: its stage, beside the baseline; the options for folders are not for it. Of a deploy folder: every file of
    its manifest, which then holds the figures.
    """
    from pocketnas.commands.rebench import RebenchOptions, is_bundle, rebench_bundle
    from pocketnas.device_names import devices_by_name

    given = RebenchOptions(
        threads, processes, most_loss, table, architecture, host, energy_seconds, tuple(tolerate or ()), json
    )
    if is_bundle(run_or_folder):
        rebench_bundle(run_or_folder, devices_by_name(device, config), given)
        return
    from pocketnas.commands.run import run_stage
    from pocketnas_base.errors import InputError

    if given != RebenchOptions() or device or config:
        raise InputError(
            f"{run_or_folder} is no deploy folder (no manifest.json), and a run is measured as its config.toml says: "
            "leave the options out, or name the run's deploy folder"
        )
    run_stage("rebench", run_or_folder, runs)


def check(
    folder: Folder,
    emulate: Annotated[
        bool, typer.Option("--emulate/--no-emulate", help="Run arm64 files under qemu, where it is installed.")
    ] = True,
    json: Json = False,
) -> None:
    """Whether the files of a deploy folder are what its manifest says, and run. Exit status 1: one line per finding."""
    from pocketnas.commands.check import check_bundle

    raise typer.Exit(check_bundle(folder, emulate=emulate, as_json=json))
