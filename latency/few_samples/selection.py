"""Which nets to measure on a new phone, so that few readings tell the most."""

import numpy as np

from latency.few_samples.nets import FloatArray, Nets
from latency.few_samples.predictor import ALONE
from latency.few_samples.regression import Design
from pocketnas_base.errors import InputError

MAX_CHOSEN = 10_000
READING_SPREAD = 0.1


def choose(nets: Nets, count: int) -> list[int]:
    """Rows of `count` of the nets, each the one whose latency those before it leave least certain.

    Greedy D-optimal design under the belief that `fit` starts from; no reading of any phone is needed, and the same
    nets always give the same choice. Raises InputError unless there are at least `count` nets.
    """
    if not 1 <= count <= min(len(nets), MAX_CHOSEN):
        raise InputError(f"{count} nets to choose, of {len(nets)}; 1 to {min(len(nets), MAX_CHOSEN)} can be chosen")
    design = Design.of(nets.groups)
    believed = [np.full(len(centre), ALONE.of(name)) for name, centre in zip(design.names, design.centres, strict=True)]
    # The product of two rows is the covariance of the two nets' latencies, as shares of the median, before any reading.
    rows = design.columns(nets.groups, ALONE.intercept) * np.concatenate([[1.0], *believed])
    uncertain = (rows**2).sum(axis=1)
    told: list[FloatArray] = []
    chosen: list[int] = []
    for _ in range(count):
        best = int(np.argmax(uncertain))
        shared = rows @ rows[best]
        for earlier in told:
            shared -= earlier * earlier[best]
        shared /= np.sqrt(shared[best] + READING_SPREAD**2)
        told.append(shared)
        uncertain -= shared**2
        chosen.append(best)
        uncertain[chosen] = -np.inf
    return chosen
