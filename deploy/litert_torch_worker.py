"""Worker process: converts exported programs with litert-torch, one job a line (`deploy.workers`)."""

from pathlib import Path
from typing import Any

from deploy.program import load_program
from deploy.workers import Job, serve


def handle(job: Job) -> None:
    """Convert one program; images go in, and come out, channels last."""
    import litert_torch
    import torch

    value: Any = job
    module = load_program(Path(value["program"])).module()
    example = torch.zeros(value["shape"])
    outputs = [0] if module(example).ndim == 4 else None
    channels_last = litert_torch.to_channel_last_io(module, args=[0], outputs=outputs)
    litert_torch.convert(channels_last, (example.permute(0, 2, 3, 1).contiguous(),)).export(value["path"])


if __name__ == "__main__":
    serve(handle)
