"""What the TOML file of a search space may say: its keys, their types and limits."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from latency.opspec import Activation
from search.layout import MAX_RESOLUTION, MIN_RESOLUTION

MAX_WIDTH_MULTIPLIER = 16


def _as_tuple(value: object) -> object:
    if isinstance(value, list):
        return tuple(value)
    return (value,) if isinstance(value, int | float) else value


Shares = Annotated[
    tuple[float, ...], BeforeValidator(_as_tuple), PlainSerializer(list), Field(min_length=1, max_length=8)
]
"""Squeeze-and-excitation as shares of a block's expanded channels, 0: none. One number, or a list to choose from."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


_Width = Field(ge=1, le=16_384)
_Kernel = Field(ge=1, le=15)


class StemSpec(_Strict):
    """The first convolution, `kernel` x `kernel`, then batch norm and activation (None: the space's)."""

    width: int = _Width
    kernel: int = _Kernel
    stride: int = Field(ge=1, le=4)
    activation: Activation | None = None


class FirstBlockSpec(_Strict):
    """The fixed first MBConv, without shortcut (ProxylessNAS keeps it out of the search).

    activation: None: the space's. squeeze_excite: one share, whatever the searchable blocks have.
    """

    width: int = _Width
    kernel: int = _Kernel
    expansion: int = Field(ge=1, le=16)
    activation: Activation | None = None
    squeeze_excite: float = 0.0


class StageSpec(_Strict):
    """`cells` searchable blocks of one width; the first has `stride`, the others stride 1.

    activation, squeeze_excite: None: the space's.
    """

    width: int = _Width
    cells: int = Field(ge=1, le=64)
    stride: int = Field(ge=1, le=4)
    activation: Activation | None = None
    squeeze_excite: Shares | None = None


class HeadSpec(_Strict):
    """The 1x1 convolution before global average pool and classifier. activation: None: the space's."""

    width: int = _Width
    activation: Activation | None = None


class SpaceFile(_Strict):
    """The whole file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    resolution: int = Field(ge=MIN_RESOLUTION, le=MAX_RESOLUTION)
    image_channels: int = Field(ge=1, le=16)
    classes: int = Field(ge=2, le=65_536)
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
