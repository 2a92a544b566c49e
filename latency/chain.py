"""What a table has to cover: the chain of places of a search space, seen from here without knowing spaces."""

from dataclasses import dataclass

from latency.opspec import EMPTY, OpSpec


@dataclass(frozen=True, slots=True)
class Chain:
    """What may stand where in the networks of one space.

    space, fingerprint: its name, and what says that two spaces hold the same networks. places: the candidates at each
    place from the image to the logits; a fixed operator is alone at its place.
    """

    space: str
    fingerprint: str
    places: tuple[tuple[OpSpec, ...], ...]

    def wanted(self) -> tuple[tuple[int, OpSpec], ...]:
        """Every operator with every place where it may stand, and the empty model, once, at place 0."""
        chosen = ((place, op) for place, candidates in enumerate(self.places) for op in candidates)
        return ((0, EMPTY), *dict.fromkeys(chosen))
