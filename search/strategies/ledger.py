"""What a search cost, counted the same way for every strategy."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

from pocketnas_base.errors import InputError


@dataclass(frozen=True, slots=True)
class Ledger:
    """Everything spent up to now.

    seconds: wall time of the steps; of work done elsewhere, several pieces at once, the time of each by itself. What a
    kill threw away is not in it. images_trained: images that went forward and
    backward through a network or a sampled path, once per pass. images_scored: images that went forward only, to score
    a network or to recalibrate it. candidates_trained: networks trained from scratch for the sake of the search; a
    supernet is none. candidates_evaluated: networks whose accuracy on held-out images was taken.
    """

    seconds: float = 0.0
    images_trained: int = 0
    images_scored: int = 0
    candidates_trained: int = 0
    candidates_evaluated: int = 0

    def plus(
        self,
        *,
        seconds: float = 0.0,
        images_trained: int = 0,
        images_scored: int = 0,
        candidates_trained: int = 0,
        evaluated: int = 0,
    ) -> "Ledger":
        """The ledger with this on top."""
        return replace(
            self,
            seconds=self.seconds + seconds,
            images_trained=self.images_trained + images_trained,
            images_scored=self.images_scored + images_scored,
            candidates_trained=self.candidates_trained + candidates_trained,
            candidates_evaluated=self.candidates_evaluated + evaluated,
        )

    def after(self, seconds: float) -> "Ledger":
        """The ledger with so many seconds on top."""
        return replace(self, seconds=self.seconds + seconds)

    def to_dict(self) -> dict[str, float]:
        """Plain numbers by field."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: object, *, source: str) -> "Ledger":
        """Inverse of `to_dict`. Raises InputError naming `source`."""
        names = {field.name for field in fields(cls)}
        if not isinstance(value, Mapping) or set(value) != names:
            raise InputError(f"{source}: a ledger has the fields {', '.join(sorted(names))}")
        for name, number in value.items():
            whole = isinstance(number, int) or name == "seconds"
            if isinstance(number, bool) or not isinstance(number, int | float) or not whole:
                raise InputError(f"{source}: {name} of a ledger is a number, not {number!r}")
            if not (math.isfinite(number) and number >= 0):
                raise InputError(f"{source}: {name} of a ledger is at least 0, not {number}")
        return cls(**value)
