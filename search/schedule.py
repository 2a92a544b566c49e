"""Learning rates over steps."""

import math

import torch


def cosine(base: float, step: int, total: int) -> float:
    """Half a cosine from `base` at step 0 to 0 at `total` (Loshchilov and Hutter, 2017, without restarts)."""
    return base * 0.5 * (1 + math.cos(math.pi * step / total))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group this rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
