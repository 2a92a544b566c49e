"""What the TOML file of a space of tree cells may say: its keys, their types and limits."""

from pydantic import Field

from search.space_file import AnySpaceFile, Strict

IDENTITY = "identity"
"""The name of Zero on an edge of a tree: what goes in comes out."""


class PyramidSpec(Strict):
    """A PyramidNet of bottleneck blocks (Han et al., CVPR 2017).

    stem: width of the first convolution. alpha: channels that are added to it in equal steps, one a block. blocks: of
    each stage; a stage but the first begins with stride 2. bottleneck: how many times as wide as its cell a block's
    output is.
    """

    stem: int = Field(ge=2, le=4096)
    alpha: float = Field(ge=0, le=4096, allow_inf_nan=False)
    # A list in TOML, which strictness would refuse.
    blocks: tuple[int, ...] = Field(strict=False, min_length=1, max_length=8)
    bottleneck: int = Field(ge=1, le=16)


class TreeSpec(Strict):
    """The tree in the place of a block's convolution.

    branches: of every node. depth: levels of searchable edges below the root's branches. operators: what may stand on
    an edge, in this order: sepconv_3x3, _5x5, _7x7, dilconv_3x3, _5x5, avgpool_3x3, maxpool_3x3, identity (the last).
    """

    branches: int = Field(ge=1, le=4)
    depth: int = Field(ge=1, le=4)
    operators: tuple[str, ...] = Field(strict=False, min_length=1, max_length=16)


class TreeSpaceFile(AnySpaceFile):
    """The whole file."""

    pyramid: PyramidSpec
    tree: TreeSpec
