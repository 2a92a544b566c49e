"""What every search space offers: the places of its networks, and what may stand at each. No torch here."""

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from latency.chain import Chain
from latency.opspec import EMPTY, OpSpec
from pocketnas_base.errors import InputError

MIN_RESOLUTION, MAX_RESOLUTION = 4, 4096

Inputs = tuple[int, ...]
"""The values that an operator takes: 0 is the image, n what the n-th operator gives. Most take one, `add` two."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One searchable position: the candidates that may stand there, in the space's order, Zero last where legal."""

    name: str
    candidates: tuple[OpSpec, ...]

    @property
    def in_channels(self) -> int:
        return self.candidates[0].in_channels

    @property
    def out_channels(self) -> int:
        return self.candidates[0].out_channels


@dataclass(frozen=True, slots=True)
class Place:
    """One operator of every network of a space: a fixed one, or an edge's chosen candidate."""

    content: OpSpec | Edge
    inputs: Inputs

    @property
    def candidates(self) -> tuple[OpSpec, ...]:
        return self.content.candidates if isinstance(self.content, Edge) else (self.content,)


class Space(ABC):
    """A search space. Its networks are the same places in the same order, connected alike."""

    name: str
    resolution: int
    image_channels: int
    classes: int

    @property
    @abstractmethod
    def places(self) -> tuple[Place, ...]:
        """Every operator from the image to the logits, each behind all that it takes."""

    @property
    @abstractmethod
    def total_stride(self) -> int:
        """By how much the whole network divides the image's height and width."""

    @abstractmethod
    def to_dict(self) -> dict[str, object]:
        """The content of the space's TOML file."""

    @abstractmethod
    def at_resolution(self, resolution: int) -> "Space":
        """The same operators for images of another height and width, in pixels.

        Its name says so, `mobile@192`, and its fingerprint is another. Raises InputError for a size that the space
        cannot take: one that its strides would divide into less than a pixel, or one too large for any image.
        """

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """The searchable positions, in the order of the data."""
        return tuple(place.content for place in self.places if isinstance(place.content, Edge))

    @cached_property
    def before(self) -> tuple[OpSpec, ...]:
        """Fixed operators before the first searchable position."""
        first = next(index for index, place in enumerate(self.places) if isinstance(place.content, Edge))
        return self._fixed(self.places[:first])

    @cached_property
    def after(self) -> tuple[OpSpec, ...]:
        """All other fixed operators."""
        return self._fixed(self.places[len(self.before) :])

    @staticmethod
    def _fixed(places: Sequence[Place]) -> tuple[OpSpec, ...]:
        return tuple(place.content for place in places if isinstance(place.content, OpSpec))

    @property
    def inputs(self) -> tuple[Inputs, ...] | None:
        """What each operator takes; None where each takes what the one before it gives."""
        connected = tuple(place.inputs for place in self.places)
        return None if is_chain(connected) else connected

    @property
    def size(self) -> int:
        """How many architectures the space holds."""
        return math.prod(len(edge.candidates) for edge in self.edges)

    @property
    def chain(self) -> Chain:
        """The space as a latency table sees it: what may stand at each place, stem and head included."""
        return Chain(self.name, self.fingerprint, tuple(place.candidates for place in self.places))

    def op_specs(self) -> tuple[OpSpec, ...]:
        """Every unique operator that a table of this space measures, the empty model first; Zero costs nothing."""
        chosen = [*self.before, *(op for edge in self.edges for op in edge.candidates), *self.after]
        return (EMPTY, *dict.fromkeys(op for op in chosen if op.kind != "zero"))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over everything but the name: two spaces with equal fingerprints hold the same architectures."""
        plain = {key: value for key, value in self.to_dict().items() if key != "name"}
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()

    def check_resolution(self, resolution: int) -> None:
        """Raise InputError for images that the space cannot take."""
        lowest = max(MIN_RESOLUTION, self.total_stride)
        if not lowest <= resolution <= MAX_RESOLUTION:
            raise InputError(f"space {self.name} takes images of {lowest} to {MAX_RESOLUTION} px, not of {resolution}")


def chain_inputs(count: int) -> tuple[Inputs, ...]:
    """Of so many operators, each taking what the one before it gives."""
    return tuple((number,) for number in range(count))


def is_chain(inputs: Sequence[Inputs]) -> bool:
    """Whether each operator takes what the one before it gives."""
    return tuple(inputs) == chain_inputs(len(inputs))
