"""Stage `environment`: where and with what the run is made, and whether what it needs is there."""

import platform
import sys
from dataclasses import asdict
from importlib.metadata import version

from pocketnas.console import progress_bar
from pocketnas.measuring import open_device
from pocketnas.stages.context import RunContext
from pocketnas.stages.training import teacher_of
from pocketnas_base.files import write_json
from search.architecture import assemble

RECORDED = ("pocketnas", "torch", "executorch", "ai-edge-litert", "onnx2tf", "tensorflow", "onnx", "numpy", "pandas")


def run(context: RunContext) -> str:
    """Write environment.json. Raises InputError for an accelerator or a teacher that could not be used later on."""
    from search.accelerator import accelerator_name, check_mixed_precision

    accelerator = accelerator_name(context.torch_device())
    if context.config.search.mixed_precision or context.config.train.mixed_precision:
        check_mixed_precision(context.torch_device())
    if context.config.train.distillation is not None:
        # The baseline has the derived network's images and classes, and so has every network of the space.
        with progress_bar("teacher") as progress:
            teacher_of(context, assemble(context.space, [0] * len(context.space.edges), "any"), progress)
    device = open_device(context.config.device, context.config.devices)
    write_json(
        context.directory.environment,
        {
            "device": {"id": device.id, "fingerprint": device.info.fingerprint, **asdict(device.info)},
            "host": {
                "system": platform.platform(),
                "machine": platform.machine(),
                "python": sys.version.split()[0],
                "accelerator": accelerator,
            },
            "versions": {name: version(name) for name in RECORDED},
        },
    )
    return f"{device.id}: {device.info.soc or 'unknown processor'}, {len(device.info.cores)} cores"
