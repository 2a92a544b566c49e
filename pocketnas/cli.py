"""The command line. Each command's work lives in pocketnas.commands and is imported when it is called."""

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from pocketnas.cli_deploy import check, rebench
from pocketnas.cli_export import export
from pocketnas.cli_options import Delegate, Devices, Json, NamesFrom, Processes, Runner, RunOrConfig, Runs, Tolerate
from pocketnas.cli_search import search_app
from pocketnas.cli_tables import table_app
from pocketnas_base.errors import PocketNASError

app = typer.Typer(
    name="pocketnas",
    help="Find the CNN that fits one phone: measure, search, train, export, measure again.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
runner_app = typer.Typer(help="The native programs that run on the device.", no_args_is_help=True)
data_app = typer.Typer(help="Data sets that are known by name.", no_args_is_help=True)
app.add_typer(table_app, name="table")
app.add_typer(search_app, name="search")
app.add_typer(runner_app, name="runner")
app.add_typer(data_app, name="data")


@app.command()
def demo(
    runs: Runs = Path("runs"),
    data: Annotated[str, typer.Option(help="Fashion-MNIST's folder, where it cannot be found by itself.")] = "",
) -> None:
    """The whole loop on this machine, small, on real images; then says where the report is."""
    from pocketnas.commands.run import run_demo

    run_demo(runs, data)


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="The run's CONFIG.toml.")],
    runs: Runs = Path("runs"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted.")] = False,
) -> None:
    """The whole loop: table, search, train, export, baseline, re-benchmark, report."""
    from pocketnas.commands.run import run_config

    run_config(config, runs, resume=resume)


@app.command()
def devices(config: NamesFrom = None, json: Json = False) -> None:
    """What is connected: every phone, its state, and what to do about one that is not ready."""
    from pocketnas.commands.devices import show_devices

    show_devices(config, as_json=json)


@app.command()
def doctor(
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            "-d",
            help="`local`, an adb serial, tcp:HOST:PORT, or a name from --config; left out, all of them.",
        ),
    ] = None,
    config: NamesFrom = None,
    restore: Annotated[
        bool, typer.Option("--restore", help="Put back the settings that an interrupted session left on the phone.")
    ] = False,
    unlock: Annotated[bool, typer.Option("--unlock", help="Break the lock of a host that is gone.")] = False,
    json: Json = False,
) -> None:
    """Whether a device is fit to measure, why not, and what to do. Exit status 0: fit, 1: not, 2: no such device."""
    from pocketnas.commands.doctor import DoctorOptions
    from pocketnas.commands.doctor import doctor as examine

    raise typer.Exit(examine(DoctorOptions(device, config, restore, unlock, json)))


@app.command()
def bench(
    files: Annotated[list[Path], typer.Argument(help="Any .tflite and .pte files.")],
    device: Devices = None,
    config: NamesFrom = None,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Of the runtime.")] = 1,
    processes: Processes = None,
    cores: Annotated[str, typer.Option(help="Cores to run on, such as 4-7; left out, the fastest equal ones.")] = "",
    profile: Annotated[
        bool, typer.Option("--profile", help="Also how long each operator takes, in runs of their own.")
    ] = False,
    runner: Runner = None,
    delegate: Delegate = "cpu",
    tolerate: Tolerate = None,
    samples: Annotated[Path | None, typer.Option(help="Keep raw samples in this file (.sqlite).")] = None,
    json: Json = False,
) -> None:
    """Benchmark .tflite and .pte files on a device, or on several side by side."""
    from pocketnas.commands.bench import BenchOptions, bench_files
    from pocketnas.device_names import devices_by_name

    options = BenchOptions(
        threads, processes, cores, tuple(tolerate or ()), profile, samples, runner, delegate, as_json=json
    )
    bench_files(files, devices_by_name(device, config), options)


@app.command()
def compare(
    files: Annotated[
        list[Path], typer.Argument(help="Files of results, two or more; the others are held against the first.")
    ],
    pair: Annotated[
        list[str] | None,
        typer.Option(help="A=B: what the first file calls A, another calls B. Without it, sha256 and names decide."),
    ] = None,
    json: Json = False,
) -> None:
    """Hold results of several tools against each other, model by model.

    Read: `bench --json`, benchmark_model, executor_runner, Jetpack Benchmark, AI Hub (docs/compare.md).
    """
    from pocketnas.commands.compare import compare_files

    compare_files(files, pair or [], as_json=json)


@app.command()
def predict(
    table: Annotated[str, typer.Option("--table", "-t", help="A latency table: a .parquet file, or pixel1.")],
    architecture: Annotated[str, typer.Option("--architecture", "-a", help="A JSON file or a zoo name.")],
    json: Json = False,
) -> None:
    """Predicted latency of an architecture, per block and whole."""
    from pocketnas.commands.predict import predict_architecture

    predict_architecture(table, architecture, as_json=json)


@app.command()
def baseline(run_or_config: RunOrConfig, runs: Runs = Path("runs")) -> None:
    """Choose the hand-made net of nearest latency, which is trained beside the derived one."""
    from pocketnas.commands.run import run_stage

    run_stage("baseline", run_or_config, runs)


@app.command()
def train(run_or_config: RunOrConfig, runs: Runs = Path("runs")) -> None:
    """Train the derived network, and its baseline by the same recipe."""
    from pocketnas.commands.run import run_stage

    run_stage("train", run_or_config, runs)


app.command()(export)
app.command()(rebench)
app.command()(check)


@app.command()
def zoo(
    name: Annotated[str, typer.Argument(help="An architecture or a space; left out, all of them are listed.")] = "",
    json: Json = False,
) -> None:
    """Published architectures and search spaces."""
    from pocketnas.commands.zoo import show_zoo

    show_zoo(name, as_json=json)


@app.command()
def report(run_dir: Annotated[Path, typer.Argument(help="A finished run's directory.")]) -> None:
    """Write a run's report: one self-contained HTML file."""
    from pocketnas.commands.report import write

    write(run_dir)


@runner_app.command("build")
def runner_build(
    abi: Annotated[
        list[str] | None, typer.Option(help="arm64-v8a or x86_64: what a phone is sent. Without it: this machine's.")
    ] = None,
    wheels: Annotated[
        Path | None, typer.Option(help="A folder with the runtimes' wheels for that ABI, where there is no network.")
    ] = None,
    libraries: Annotated[
        Path | None,
        typer.Option(help="Android builds of the runtimes' libraries; needs the NDK in ANDROID_NDK_HOME."),
    ] = None,
) -> None:
    """Build the runners, where that is not done yet: for this machine, or bundles for phones."""
    from pocketnas.commands.setup import build_runners

    build_runners(abi or [], libraries, wheels)


@runner_app.command("clean")
def runner_clean(device: Devices = None, config: NamesFrom = None) -> None:
    """Take everything of ours off a phone: runners, models, and what a session left changed."""
    from pocketnas.commands.clean import clean
    from pocketnas.device_names import devices_by_name

    clean(devices_by_name(device, config))


@data_app.command("fetch")
def data_fetch(name: Annotated[str, typer.Argument(help="The data set: fashion-mnist.")]) -> None:
    """Find or fetch a data set, and say where it came from."""
    from pocketnas.commands.setup import fetch_data

    fetch_data(name)


class _Interrupted(BaseException):
    """Ctrl-C, a request to end, or a terminal that was closed. Not KeyboardInterrupt: Typer answers that one itself,
    with another exit status."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _heed_signals() -> None:
    """Turn the signals that ask for an end into _Interrupted, so that a phone is put back first."""
    terminals = [stream for stream in (1, 2) if os.isatty(stream)]

    def interrupt(number: int, _frame: FrameType | None) -> None:
        # `timeout` and shells ask twice, and what puts a device back is not to be broken off. Ctrl-C still does.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for stream in terminals:
            if not os.isatty(stream):  # it was closed: whoever says something there would fail
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        raise _Interrupted(number)

    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup has it
        signal.signal(signal.SIGHUP, interrupt)


def main() -> None:
    """Entry point: one line for an error that was foreseen, and its exit status; 128 and the signal's number where a
    signal has ended it, 130 for Ctrl-C."""
    # OpenMP threads that spin at barriers stall ten-fold as soon as another program wants a core; torch reads it once.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    _heed_signals()
    try:
        app()
    except PocketNASError as error:
        _fail(str(error), error.exit_code)
    except _Interrupted as interruption:
        _fail("interrupted; nothing is lost: call it again to go on (`run` with --resume)", 128 + interruption.number)
    except OSError as error:
        from pocketnas.console import os_error_line

        line = os_error_line(error)
        if line is None:
            raise
        _fail(line, 1)


def _fail(message: str, status: int) -> None:
    from pocketnas.console import one_line

    print(f"pocketnas: {one_line(message)}", file=sys.stderr, flush=True)
    sys.exit(status)
