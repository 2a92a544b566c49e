"""Stage `environment`: where and with what the run is made."""

import platform
import sys
from dataclasses import asdict
from importlib.metadata import version

from pocketnas.measuring import open_device
from pocketnas.stages.context import RunContext
from pocketnas_base.files import write_json

RECORDED = ("pocketnas", "torch", "executorch", "ai-edge-litert", "onnx2tf", "tensorflow", "onnx", "numpy", "pandas")


def run(context: RunContext) -> str:
    """Write environment.json."""
    device = open_device(context.config.device, context.config.devices)
    write_json(
        context.directory.environment,
        {
            "device": {"id": device.id, "fingerprint": device.info.fingerprint, **asdict(device.info)},
            "host": {
                "system": platform.platform(),
                "machine": platform.machine(),
                "python": sys.version.split()[0],
            },
            "versions": {name: version(name) for name in RECORDED},
        },
    )
    return f"{device.id}: {device.info.soc or 'unknown processor'}, {len(device.info.cores)} cores"
