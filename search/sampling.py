"""Networks drawn from a space: at random, or spread over its latencies."""

import numpy as np

from latency.predict import CostModel
from pocketnas_base.errors import InputError
from search.architecture import Architecture, assemble
from search.layout import Space

# The spread networks are chosen from so many; a power of two, so that van der Corput's sequence reaches them all.
POOL = 2048


def random_choices(space: Space, count: int, seed: int) -> list[tuple[int, ...]]:
    """`count` architectures as choices per edge, each candidate equally probable."""
    rng = np.random.default_rng(seed)
    return [tuple(int(rng.integers(len(edge.candidates))) for edge in space.edges) for _ in range(count)]


def random_networks(space: Space, count: int, seed: int, *, name: str = "random") -> list[Architecture]:
    """Architectures drawn evenly from the space, named NAME-000 on."""
    choices = random_choices(space, count, seed)
    return [assemble(space, each, f"{name}-{number:03d}") for number, each in enumerate(choices)]


def spread_networks(
    space: Space, costs: CostModel, count: int, seed: int, *, name: str = "spread"
) -> list[Architecture]:
    """`count` different architectures whose latencies by the cost model are spread over the space's.

    The cheapest and the dearest come first: between them every prediction interpolates. The others stand at the
    quantiles 1/2, 1/4, 3/4, 1/8, ... (van der Corput's sequence) of `POOL` random ones: the first few are as well
    spread as all, and a longer list begins with the shorter one.
    Raises InputError when the space holds fewer networks.
    """
    chosen = dict.fromkeys(tuple(row.index(pick(row)) for row in costs.candidate_ms) for pick in (min, max))
    pool = sorted(random_choices(space, POOL, seed), key=costs.latency_ms)
    for number in range(1, POOL):
        if len(chosen) >= count:
            break
        chosen[pool[int(POOL * _van_der_corput(number))]] = None
    if len(chosen) < count:
        raise InputError(f"space {space.name} holds {space.size} networks; {count} different ones were not found")
    return [assemble(space, each, f"{name}-{number:03d}") for number, each in enumerate(list(chosen)[:count])]


def _van_der_corput(number: int) -> float:
    """The binary digits of `number` mirrored at the point: 1/2, 1/4, 3/4, 1/8, 5/8, ..."""
    value, place = 0.0, 0.5
    while number:
        number, digit = divmod(number, 2)
        value += digit * place
        place /= 2
    return value
