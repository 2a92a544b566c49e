"""An architecture: the operator chosen for every block, as plain data with a JSON form."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from latency.opspec import OpSpec
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_json, write_json
from search.space import SearchSpace

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Architecture:
    """A whole network as a chain of operators: stem, blocks (Zero included), head, classifier.

    ops: each operator's input is the one before's output; the first takes an image of
      [1, ops[0].in_channels, resolution, resolution], the last is the classifier.
    space: name of the search space it was drawn from, None where there is none (a published or hand-made net).
    """

    name: str
    ops: tuple[OpSpec, ...]
    space: str | None = None

    def __post_init__(self) -> None:
        if len(self.ops) < 2 or self.ops[-1].kind != "classifier":
            raise InputError(f"architecture {self.name}: the last operator must be a classifier")
        for before, after in zip(self.ops, self.ops[1:], strict=False):
            if before.kind in ("classifier", "empty"):
                raise InputError(f"architecture {self.name}: {before.key} cannot stand before another operator")
            if (before.out_channels, before.out_resolution) != (after.in_channels, after.resolution):
                raise InputError(
                    f"architecture {self.name}: {before.key} gives {before.out_channels} channels at "
                    f"{before.out_resolution} px, but {after.key} takes {after.in_channels} at {after.resolution} px"
                )

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
        }

    @classmethod
    def from_dict(cls, value: object, *, source: str) -> "Architecture":
        """Inverse of `to_dict`. Raises InputError naming `source` and what is wrong."""
        if not isinstance(value, dict) or set(value) != {"schema_version", "name", "space", "ops"}:
            raise InputError(f"architecture {source}: needs the fields schema_version, name, space, ops")
        if value["schema_version"] != SCHEMA_VERSION:
            raise InputError(
                f"architecture {source}: schema version {value['schema_version']!r}, this tool reads {SCHEMA_VERSION}"
            )
        name, space, ops = value["name"], value["space"], value["ops"]
        if not _is_line(name) or not (space is None or _is_line(space)) or not isinstance(ops, list):
            raise InputError(f"architecture {source}: name must be a line of text, space the same or null, ops a list")
        try:
            return cls(name, tuple(OpSpec.from_dict(op) for op in ops), space)
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


def assemble(space: SearchSpace, choices: Sequence[int], name: str) -> Architecture:
    """The architecture of `space` that has candidate `choices[i]` at edge i."""
    chosen = (edge.candidates[index] for edge, index in zip(space.edges, choices, strict=True))
    return Architecture(name, (*space.before, *chosen, *space.after), space.name)
