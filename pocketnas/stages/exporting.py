"""Export one trained network of a run, and verify every file on the whole test set."""

from collections.abc import Sequence
from pathlib import Path

from deploy.export import ExportedFile, export_network

from pocketnas.console import progress_bar
from pocketnas.stages.context import RunContext
from pocketnas_base.artifact import Runtime
from search.architecture import Architecture


def export_trained(
    context: RunContext, architecture: Architecture, weights: Path, folder: Path, runtimes: Sequence[Runtime]
) -> list[ExportedFile]:
    """Write the network's files and their manifest into `folder`. Raises ExportError when one computes otherwise."""
    from search.data.batches import normalisation_of
    from search.network import load_network

    network = load_network(architecture, weights)
    with progress_bar("data") as progress:
        data = context.data(progress)
    with progress_bar("export") as progress:
        return export_network(
            network,
            architecture,
            folder,
            images=normalisation_of(data)(data.test_images),
            labels=data.test_labels,
            runtimes=runtimes,
            progress=progress,
        )
