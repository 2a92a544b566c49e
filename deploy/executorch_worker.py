"""Worker process: lowers operators and networks to .pte files, one job a line (`deploy.workers`)."""

import gc
import warnings
from pathlib import Path
from typing import Any

from deploy.executorch_export import example_input, lower, takes_channels_last
from deploy.workers import Job, serve
from latency.opspec import OpSpec
from pocketnas_base.files import write_bytes
from search.architecture import Architecture


def handle(job: Job) -> None:
    """Write the .pte that the job asks for."""
    value: Any = job
    if "op" in value:
        from deploy.samples import operator_sample, store_tensors

        op = OpSpec.from_dict(value["op"])
        sample = operator_sample(op, value["seed"])
        store_tensors(sample, Path(value["path"]).parent, channels_last=takes_channels_last(op))
        content = lower(sample.module, example_input(op, sample.input))
    else:
        import torch

        from search.network import load_network

        architecture = Architecture.from_dict(value["architecture"], source="the network")
        network = load_network(architecture, Path(value["weights"]))
        size = architecture.resolution
        content = lower(network, torch.zeros(1, architecture.image_channels, size, size))
    write_bytes(Path(value["path"]), content)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    import executorch.exir  # noqa: F401
    import torch._dynamo  # noqa: F401

    # Lowering makes graphs of many small objects, for which the collector would walk the libraries' own again and
    # again: half of the time.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    serve(handle)
