"""Learning rates over steps."""

import math

import torch


def cosine(base: float, step: int, total: int, warmup: int = 0) -> float:
    """Half a cosine from `base` at step 0 to 0 at `total` (Loshchilov and Hutter, 2017, without restarts).

    warmup: over so many steps first, the rate rises in a straight line to `base` (Goyal et al. 2017, section 2.2), and
    the half cosine takes the rest.
    """
    if step < warmup:
        return base * (step + 1) / warmup
    return base * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group this rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
