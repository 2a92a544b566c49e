"""What the TOML files of search spaces may say: what all of them do, and a space of inverted residual blocks."""

from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from latency.opspec import Activation
from pocketnas_base.errors import InputError
from pocketnas_base.validation import fault_of
from search.layout import MAX_RESOLUTION, MIN_RESOLUTION

MAX_WIDTH_MULTIPLIER = 16


def _as_tuple(value: object) -> object:
    if isinstance(value, list):
        return tuple(value)
    return (value,) if isinstance(value, int | float) else value


class Strict(BaseModel):
    """A table of the file: no other keys, no other types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class AnySpaceFile(Strict):
    """What the file of every space says."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    resolution: int = Field(ge=MIN_RESOLUTION, le=MAX_RESOLUTION)
    image_channels: int = Field(ge=1, le=16)
    classes: int = Field(ge=2, le=65_536)


File = TypeVar("File", bound=AnySpaceFile)


def parsed(kind: type[File], value: object, source: str) -> File:
    """A file's plain data. Raises InputError naming `source` and the field at fault."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise InputError(f"space {source}: {fault_of(error, whole='the file')}") from None


Shares = Annotated[
    tuple[float, ...], BeforeValidator(_as_tuple), PlainSerializer(list), Field(min_length=1, max_length=8)
]
"""Squeeze-and-excitation as shares of a block's expanded channels, 0: none. One number, or a list to choose from."""


_Width = Field(ge=1, le=16_384)
_Kernel = Field(ge=1, le=15)


class StemSpec(Strict):
    """The first convolution, `kernel` x `kernel`, then batch norm and activation (None: the space's)."""

    width: int = _Width
    kernel: int = _Kernel
    stride: int = Field(ge=1, le=4)
    activation: Activation | None = None


class FirstBlockSpec(Strict):
    """The fixed first MBConv, without shortcut (ProxylessNAS keeps it out of the search).

    activation: None: the space's. squeeze_excite: one share, whatever the searchable blocks have.
    """

    width: int = _Width
    kernel: int = _Kernel
    expansion: int = Field(ge=1, le=16)
    activation: Activation | None = None
    squeeze_excite: float = 0.0


class StageSpec(Strict):
    """`cells` searchable blocks of one width; the first has `stride`, the others stride 1.

    activation, squeeze_excite: None: the space's.
    """

    width: int = _Width
    cells: int = Field(ge=1, le=64)
    stride: int = Field(ge=1, le=4)
    activation: Activation | None = None
    squeeze_excite: Shares | None = None


class HeadSpec(Strict):
    """The 1x1 convolution before global average pool and classifier. activation: None: the space's."""

    width: int = _Width
    activation: Activation | None = None


class SpaceFile(AnySpaceFile):
    """The whole file of a space of inverted residual blocks."""

    kernels: list[int] = Field(min_length=1, max_length=8)
    expansions: list[int] = Field(min_length=1, max_length=8)
    zero: bool
    stem: StemSpec
    first: FirstBlockSpec
    stages: list[StageSpec] = Field(min_length=1, max_length=32)
    head: HeadSpec
    width_multiplier: float = Field(default=1.0, gt=0, le=MAX_WIDTH_MULTIPLIER)
    activation: Activation = "relu6"
    squeeze_excite: Shares = (0.0,)
