"""`pocketnas export`: the files of a run, or of any network."""

from pathlib import Path
from typing import Annotated

import typer

from pocketnas.cli_options import Json, Runs


def export(
    run_or_config: Annotated[
        Path | None,
        typer.Argument(help="A run directory, or the CONFIG.toml it came from; left out with --model."),
    ] = None,
    runs: Runs = Path("runs"),
    model: Annotated[
        str | None, typer.Option(help="MODULE:FUNCTION that returns a torch.nn.Module, seen from this folder.")
    ] = None,
    architecture: Annotated[
        str | None, typer.Option("--architecture", "-a", help="One of ours: a JSON file or a zoo name; with --weights.")
    ] = None,
    input: Annotated[str | None, typer.Option(help="What the model takes, such as 3x224x224.")] = None,
    weights: Annotated[Path | None, typer.Option(help="FILE.safetensors, loaded into the model.")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder of the files; left out, deploy/NAME.")] = None,
    name: Annotated[str | None, typer.Option(help="What files are named after; left out, the function.")] = None,
    runtime: Annotated[
        list[str] | None, typer.Option(help="tflite or executorch; may be given twice. Left out, both.")
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(help="fp32, fp16, int8, int8-dynamic (tflite); several with commas. Left out, fp32."),
    ] = None,
    converter: Annotated[str, typer.Option(help="To TFLite: onnx2tf or litert-torch.")] = "onnx2tf",
    calibration_images: Annotated[
        str | None,
        typer.Option(help="Images for int8's ranges: a folder, Parquet, .npy, CONFIG.toml, or MODULE:FUNCTION."),
    ] = None,
    test_images: Annotated[
        str | None,
        typer.Option(help="Images that files are checked on, with labels where they have some; forms as above."),
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="Names of the model's classes, one a line.")] = None,
    mean: Annotated[str | None, typer.Option(help="What the model subtracts from pixels of 0 to 255.")] = None,
    std: Annotated[str | None, typer.Option(help="What it then divides by; both one number, or one a channel.")] = None,
    uint8_input: Annotated[
        bool, typer.Option("--uint8-input", help="Files take pixels, and normalise them themselves.")
    ] = False,
    softmax: Annotated[bool, typer.Option("--softmax", help="Files give probabilities.")] = False,
    licence: Annotated[str | None, typer.Option(help="Of the weights, for the manifest.")] = None,
    profile: Annotated[
        bool, typer.Option("--profile/--no-profile", help="Run each file here, for what its delegate leaves over.")
    ] = True,
    json: Json = False,
) -> None:
    """Export a trained network to TFLite and ExecuTorch, and verify every file (docs/export.md)."""
    from pocketnas.commands.export import ExportOptions, export_any
    from pocketnas_base.errors import InputError

    options = ExportOptions(
        model,
        architecture,
        input,
        weights,
        out,
        name,
        tuple(runtime or ()),
        tuple(precision or ()),
        converter,
        calibration_images,
        test_images,
        labels,
        mean,
        std,
        uint8_input,
        softmax,
        licence,
        profile,
        json,
    )
    if run_or_config is None:
        export_any(options)
        return
    if options != ExportOptions():
        raise InputError(
            f"a run is exported as its configuration says; leave the options out, or {run_or_config}, and name --model"
        )
    from pocketnas.commands.run import run_stage

    run_stage("export", run_or_config, runs)
