"""An architecture: the operator chosen for every block, as plain data with a JSON form."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from latency.opspec import OpSpec
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_json, write_json
from search.layout import Edge, Inputs, Space, chain_inputs, is_chain

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Architecture:
    """A whole network as operators in order: stem, blocks (Zero included), head, classifier.

    ops: the first takes an image of [1, ops[0].in_channels, resolution, resolution], the last is the classifier.
    space: name of the search space it was drawn from, None where there is none (a published or hand-made net).
    inputs: the values that each operator takes, 0 the image, n the output of the n-th operator; None for a chain, where
      each operator's input is the one before's output.
    """

    name: str
    ops: tuple[OpSpec, ...]
    space: str | None = None
    inputs: tuple[Inputs, ...] | None = None

    def __post_init__(self) -> None:
        if len(self.ops) < 2 or self.ops[-1].kind != "classifier":
            raise InputError(f"architecture {self.name}: the last operator must be a classifier")
        if self.inputs is not None and is_chain(self.inputs):
            raise InputError(f"architecture {self.name}: inputs say what is so without them; leave them out")
        if len(self.connections) != len(self.ops):
            raise InputError(f"architecture {self.name}: {len(self.ops)} operators, inputs of {len(self.connections)}")
        for number, taken in enumerate(self.connections):
            self._check_inputs(number, taken)
        used = {value for taken in self.connections for value in taken}
        if idle := sorted(set(range(len(self.ops))) - used):
            raise InputError(f"architecture {self.name}: nothing takes value {idle[0]}")

    def _check_inputs(self, number: int, taken: Inputs) -> None:
        after = self.ops[number]
        if len(taken) != (2 if after.kind == "add" else 1) or not all(0 <= value <= number for value in taken):
            raise InputError(f"architecture {self.name}: {after.key} at {number + 1} cannot take values {list(taken)}")
        wanted = ((after.in_channels, after.resolution), (after.out_channels, after.out_resolution))
        for value, (channels, resolution) in zip(taken, wanted, strict=False):
            if value == 0:
                given = f"the image of {self.image_channels} channels at {self.resolution} px"
                fits = (channels, resolution) == (self.image_channels, self.resolution)
            else:
                before = self.ops[value - 1]
                if before.kind in ("classifier", "empty"):
                    raise InputError(f"architecture {self.name}: {before.key} cannot stand before another operator")
                given = f"{before.key} gives {before.out_channels} channels at {before.out_resolution} px"
                fits = (channels, resolution) == (before.out_channels, before.out_resolution)
            if not fits:
                raise InputError(
                    f"architecture {self.name}: {given}, but {after.key} takes {channels} at {resolution} px"
                )

    @property
    def connections(self) -> tuple[Inputs, ...]:
        """The values that each operator takes, of a chain too."""
        return chain_inputs(len(self.ops)) if self.inputs is None else self.inputs

    @property
    def resolution(self) -> int:
        """Input height and width in pixels."""
        return self.ops[0].resolution

    @property
    def image_channels(self) -> int:
        return self.ops[0].in_channels

    @property
    def classes(self) -> int:
        return self.ops[-1].out_channels

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference at batch 1."""
        return sum(op.macs for op in self.ops)

    @property
    def parameters(self) -> int:
        """Learnable parameters, batch norm's scale and shift counted."""
        return sum(op.parameters for op in self.ops)

    def to_dict(self) -> dict[str, object]:
        """The content of the architecture's JSON file."""
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "space": self.space,
            "ops": [op.to_dict() for op in self.ops],
            **({} if self.inputs is None else {"inputs": [list(taken) for taken in self.inputs]}),
        }

    @classmethod
    def from_dict(cls, value: object, *, source: str) -> "Architecture":
        """Inverse of `to_dict`. Raises InputError naming `source` and what is wrong."""
        if not isinstance(value, dict) or set(value) - {"inputs"} != {"schema_version", "name", "space", "ops"}:
            raise InputError(
                f"architecture {source}: needs the fields schema_version, name, space, ops, and may have inputs"
            )
        if value["schema_version"] != SCHEMA_VERSION:
            raise InputError(
                f"architecture {source}: schema version {value['schema_version']!r}, this tool reads {SCHEMA_VERSION}"
            )
        name, space, ops = value["name"], value["space"], value["ops"]
        if not _is_line(name) or not (space is None or _is_line(space)) or not isinstance(ops, list):
            raise InputError(f"architecture {source}: name must be a line of text, space the same or null, ops a list")
        try:
            return cls(name, tuple(OpSpec.from_dict(op) for op in ops), space, _inputs_of(value.get("inputs")))
        except InputError as error:
            raise InputError(f"architecture {source}: {error}") from None

    def save(self, path: Path) -> None:
        """Write the JSON file, whole or not at all."""
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: Path) -> "Architecture":
        """Read a JSON file. Raises InputError."""
        return cls.from_dict(read_json(path, what="architecture"), source=str(path))


def _is_line(value: object) -> bool:
    # Names stand in messages, which are one line each.
    return isinstance(value, str) and value.isprintable()


def _inputs_of(value: object) -> tuple[Inputs, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(taken, list) for taken in value):
        raise InputError("inputs must be a list of lists of numbers")
    if not all(type(number) is int for taken in value for number in taken):
        raise InputError("inputs must be whole numbers")
    return tuple(tuple(taken) for taken in value)


def assemble(space: Space, choices: Sequence[int], name: str) -> Architecture:
    """The architecture of `space` that has candidate `choices[i]` at edge i."""
    chosen = iter([edge.candidates[index] for edge, index in zip(space.edges, choices, strict=True)])
    ops = [next(chosen) if isinstance(place.content, Edge) else place.content for place in space.places]
    return Architecture(name, tuple(ops), space.name, space.inputs)
