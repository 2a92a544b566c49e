"""Worker process: makes .pte files of operators and of trained networks, one job a line (`deploy.workers`)."""

import gc
import warnings
from pathlib import Path
from typing import Any

from deploy.executorch_export import lower
from deploy.workers import Job, serve
from latency.opspec import OpSpec
from pocketnas_base.files import write_bytes
from search.architecture import Architecture


def handle(job: Job) -> None:
    """Write the .pte that the job asks for, of an operator its input and output too."""
    value: Any = job
    if "op" in value:
        from deploy.pte_operators import write_operator

        op, place = OpSpec.from_dict(value["op"]), Path(value["path"])
        write_operator(op, value["seed"], value["precision"], place, value["copies"])
    else:
        architecture = Architecture.from_dict(value["architecture"], source="the network")
        _lower_network(architecture, Path(value["weights"]), Path(value["path"]))


def _lower_network(architecture: Architecture, weights: Path, path: Path) -> None:
    import executorch.exir  # noqa: F401
    import torch
    import torch._dynamo

    from search.network import load_network

    # Lowering makes graphs of many small objects, for which the collector would walk the libraries' own again and
    # again: half of the time.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    size = architecture.resolution
    network = load_network(architecture, weights)
    write_bytes(path, lower(network, torch.zeros(1, architecture.image_channels, size, size)))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    serve(handle)
