"""Options and arguments that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Devices = Annotated[
    list[str] | None,
    typer.Option(
        "--device",
        "-d",
        help="`local`, an adb serial, tcp:HOST:PORT, or a name from --config; may be given several times.",
    ),
]
OneDevice = Annotated[
    str | None, typer.Option("--device", "-d", help="`local`, an adb serial, tcp:HOST:PORT, or a name from --config.")
]
Processes = Annotated[
    int | None, typer.Option(min=1, max=1000, help="Fresh processes at most; left out, as many as the device needs.")
]
Runner = Annotated[
    str | None,
    typer.Option(help="A tool of your own: benchmark_model=PATH (.tflite) or executor_runner=PATH (.pte)."),
]
Delegate = Annotated[str, typer.Option(help="cpu, gpu or nnapi; the latter two need --runner benchmark_model=PATH.")]
Tolerate = Annotated[
    list[str] | None, typer.Option(help="A reason for void measurements to overlook, by its id (docs/phones.md).")
]
NamesFrom = Annotated[
    Path | None, typer.Option("--config", "-c", help="A CONFIG.toml whose table `devices` names phones.")
]
RunOrConfig = Annotated[Path, typer.Argument(help="A run directory, or the CONFIG.toml that it came from.")]
Table = Annotated[str, typer.Argument(help="A latency table: a .parquet file, or the name of a published one, pixel1.")]
Runs = Annotated[Path, typer.Option("--runs", help="Where run directories are kept.")]
Ray = Annotated[
    str | None,
    typer.Option(help="A Ray cluster to work on: HOST:PORT, `auto` for this host's, `local` for one of this call."),
]
