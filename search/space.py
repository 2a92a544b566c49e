"""A search space as plain data: which operators may stand where. No torch here."""

import math
import re
import tomllib
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib import resources
from pathlib import Path

from pocketnas_base.errors import InputError
from pocketnas_base.files import read_bytes
from pocketnas_base.rounding import make_divisible
from search.chain_places import places_of
from search.layout import Place, Space
from search.space_file import MAX_WIDTH_MULTIPLIER, FirstBlockSpec, HeadSpec, SpaceFile, StageSpec, StemSpec, parsed
from search.tree_space import TreeSpace

MAX_SPACE_BYTES = 1024 * 1024

_SIZED = re.compile(r"(.+)@(?:x([0-9]{1,2}(?:\.[0-9]{1,4})?)|([0-9]{1,6}))")
# What a space's plain data leaves out, so that fingerprints taken before there were these keys stay valid.
_DEFAULTS = {"width_multiplier": 1.0, "activation": "relu6", "squeeze_excite": [0.0]}


@dataclass(frozen=True)
class SearchSpace(Space):
    """Stem, fixed first block, stages of searchable blocks, head (ProxylessNAS, section 4.2).

    kernels, expansions, squeeze_excite: every combination is a candidate, kernel-major (3x3 mb3, 3x3 mb6, 5x5 mb3,
      ...); the last are shares of a block's expanded channels.
    zero: whether a block with stride 1 and equal channels may be left out.
    width_multiplier: what the widths of the parts are still to be multiplied by; see `scaled`.
    activation, squeeze_excite: of every part that does not say its own.
    """

    name: str
    resolution: int
    image_channels: int
    classes: int
    kernels: tuple[int, ...]
    expansions: tuple[int, ...]
    zero: bool
    stem: StemSpec
    first: FirstBlockSpec
    stages: tuple[StageSpec, ...]
    head: HeadSpec
    width_multiplier: float = 1.0
    activation: str = "relu6"
    squeeze_excite: tuple[float, ...] = (0.0,)

    @cached_property
    def scaled(self) -> "SearchSpace":
        """The same space with its widths multiplied and the multiplier 1.

        As in MobileNet's and ProxylessNAS's released code: to the nearest multiple of 8, never below 90 % of the
        product; the head's width only by a multiplier above 1. Under the multiplier 1 widths stay as they are written.
        """
        factor = self.width_multiplier
        if factor == 1:
            return self

        def wide(width: int) -> dict[str, int]:
            return {"width": make_divisible(width * factor)}

        return replace(
            self,
            stem=self.stem.model_copy(update=wide(self.stem.width)),
            first=self.first.model_copy(update=wide(self.first.width)),
            stages=tuple(stage.model_copy(update=wide(stage.width)) for stage in self.stages),
            head=self.head.model_copy(update=wide(self.head.width)) if factor > 1 else self.head,
            width_multiplier=1.0,
        )

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """One after another."""
        return places_of(self.scaled)

    @property
    def total_stride(self) -> int:
        """By how much the whole network divides the image's height and width."""
        return self.stem.stride * math.prod(stage.stride for stage in self.stages)

    def at_resolution(self, resolution: int) -> "SearchSpace":
        """See Space."""
        self.check_resolution(resolution)
        if resolution == self.resolution:
            return self
        return replace(self, name=_sized_name(self.name, pixels=f"{resolution}"), resolution=resolution)

    def at_width(self, multiplier: float) -> "SearchSpace":
        """The same blocks with their widths multiplied, in place of the multiplier that the space has.

        Its name says so, `mobile@x0.75`, before a resolution: `mobile@x0.75@192`. Raises InputError for a multiplier
        that is not above 0, above 16, or has more than four decimals.
        """
        if not 0 < multiplier <= MAX_WIDTH_MULTIPLIER or round(multiplier, 4) != multiplier:
            raise InputError(
                f"space {self.name} takes a width multiplier above 0 and at most {MAX_WIDTH_MULTIPLIER}, with at most "
                f"four decimals, not {multiplier}"
            )
        if multiplier == self.width_multiplier:
            return self
        return replace(self, name=_sized_name(self.name, width=f"{multiplier:g}"), width_multiplier=float(multiplier))

    @cached_property
    def fingerprint(self) -> str:
        """As Space has it, over the widths as they come out."""
        return super().fingerprint if self.scaled is self else self.scaled.fingerprint

    def to_dict(self) -> dict[str, object]:
        """The content of the space's TOML file, without what is as it is by default."""
        plain = asdict(self)
        for key in ("stem", "first", "head"):
            plain[key] = getattr(self, key).model_dump(exclude_defaults=True)
        plain["stages"] = [stage.model_dump(exclude_defaults=True) for stage in self.stages]
        for key in ("kernels", "expansions", "squeeze_excite"):
            plain[key] = list(plain[key])
        return {key: value for key, value in plain.items() if _DEFAULTS.get(key) != value}

    @classmethod
    def from_dict(cls, value: object, *, source: str) -> "SearchSpace":
        """Build a space from plain data. Raises InputError naming `source` and the field at fault."""
        file = parsed(SpaceFile, value, source)
        fields = {name: getattr(file, name) for name in SpaceFile.model_fields}
        for name in ("kernels", "expansions", "stages"):
            fields[name] = tuple(fields[name])
        lists = {name: fields[name] for name in ("kernels", "expansions", "squeeze_excite")}
        lists |= {f"stages.{n}.squeeze_excite": stage.squeeze_excite or () for n, stage in enumerate(file.stages)}
        for name, values in lists.items():
            if len(set(values)) != len(values):
                raise InputError(f"space {source}: {name}: the same value is listed twice")
        space = cls(**fields)
        if round(space.width_multiplier, 4) != space.width_multiplier:
            raise InputError(f"space {source}: width_multiplier: at most four decimals")
        try:
            space.op_specs()
        except InputError as error:
            raise InputError(f"space {source}: {error}") from None
        return space


def builtin_spaces() -> tuple[str, ...]:
    """Names of the spaces that come with the product."""
    folder = resources.files("search") / "spaces"
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_space(name_or_path: str) -> Space:
    """A built-in space by name, or one from a TOML file.

    With `@xMULTIPLIER` behind it, its widths are multiplied; with `@PIXELS`, it is for images of another size; with
    both, in either order, both. Raises InputError listing what is known.
    """
    name, width, pixels = split_size(name_or_path)
    space = _load(name)
    if width:
        if not isinstance(space, SearchSpace):
            raise InputError(f"space {space.name} takes no width multiplier: its widths are those of a PyramidNet")
        space = space.at_width(float(width))
    return space.at_resolution(int(pixels)) if pixels else space


def split_size(name_or_path: str) -> tuple[str, str, str]:
    """The space's own name or path; the width multiplier and the resolution behind it, each empty where unsaid."""
    name, width, pixels = name_or_path, "", ""
    while sized := _SIZED.fullmatch(name):
        if (width and sized[2]) or (pixels and sized[3]):
            break
        name, width, pixels = sized[1], width or sized[2] or "", pixels or sized[3] or ""
    return name, width, pixels


def with_size(name_or_path: str, width: str, pixels: str) -> str:
    """What `split_size` takes apart: `NAME[@xMULTIPLIER][@PIXELS]`."""
    return "@".join([name_or_path, *([f"x{width}"] if width else []), *([pixels] if pixels else [])])


def _sized_name(name: str, *, width: str = "", pixels: str = "") -> str:
    """A space's name, its width multiplier or resolution replaced."""
    base, said_width, said_pixels = split_size(name)
    return with_size(base, width or said_width, pixels or said_pixels)


def _load(name_or_path: str) -> Space:
    if name_or_path in builtin_spaces():
        text = (resources.files("search") / "spaces" / f"{name_or_path}.toml").read_bytes()
    elif name_or_path.endswith(".toml"):
        text = read_bytes(Path(name_or_path), what="space", max_bytes=MAX_SPACE_BYTES)
    else:
        raise InputError(
            f"unknown space {name_or_path!r}; known: {', '.join(builtin_spaces())}, or the path of a .toml file"
        )
    try:
        plain = tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise InputError(f"space {name_or_path}: not valid TOML: {error}") from error
    kind = TreeSpace if "tree" in plain else SearchSpace
    return kind.from_dict(plain, source=name_or_path)
