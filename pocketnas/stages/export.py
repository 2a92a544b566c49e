"""Stage `export`: the trained network as .tflite and .pte, verified."""

from pocketnas.stages.context import RunContext
from pocketnas.stages.exporting import export_trained
from pocketnas.stages.training import trained


def run(context: RunContext) -> str:
    """Write deploy/*.tflite, deploy/*.pte and deploy/manifest.json."""
    trained(context, "derived")
    directory = context.directory
    files = export_trained(
        context, context.architecture(), directory.weights, directory.deploy, context.config.export.runtimes
    )
    return ", ".join(f"{file.artifact.runtime} top-1 {file.top1:.2f} %" for file in files)
