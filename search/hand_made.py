"""Hand-made nets in the form of a space: what a search is held against."""

from collections.abc import Sequence
from dataclasses import replace

from pocketnas_base.errors import InputError
from search.architecture import Architecture, assemble
from search.layout import Space
from search.space import SearchSpace
from search.tree_space import TreeSpace
from search.zoo import MAX_MULTIPLIER, mobilenet_v2_family

_MOBILENET_V2, _PYRAMID = "mb6_3x3", "sepconv_3x3"


def hand_made_family(space: Space, multipliers: Sequence[float]) -> list[Architecture]:
    """MobileNetV2-style nets at these widths, or, in a space of tree cells, PyramidNets of separable 3x3 convolutions.

    Raises InputError for a multiplier that is not above 0 or is above 16.
    """
    if isinstance(space, TreeSpace):
        return [_pyramid(space, float(multiplier)) for multiplier in multipliers]
    assert isinstance(space, SearchSpace)
    return mobilenet_v2_family(space, multipliers)


def _pyramid(space: TreeSpace, multiplier: float) -> Architecture:
    """A separable 3x3 convolution on every edge; stem and alpha times the multiplier. Named `pyramid-x0.75`."""
    if not 0 < multiplier <= MAX_MULTIPLIER:
        raise InputError(f"width multiplier must be above 0 and at most {MAX_MULTIPLIER}, not {multiplier}")
    pyramid = space.pyramid
    stem = max(2, round(pyramid.stem * multiplier))
    wider = replace(
        space,
        pyramid=pyramid.model_copy(update={"stem": stem, "alpha": pyramid.alpha * multiplier}),
        tree=space.tree.model_copy(update={"operators": (_PYRAMID,)}),
    )
    return replace(assemble(wider, [0] * len(wider.edges), f"pyramid-x{multiplier}"), space=None)


def hand_made_choices(space: Space) -> list[int]:
    """The family's choice at every edge: mb6_3x3, with no more squeeze-and-excitation than has to be, or sepconv_3x3.

    Raises InputError where the space does not offer it.
    """
    wanted = _PYRAMID if isinstance(space, TreeSpace) else _MOBILENET_V2
    choices = []
    for edge in space.edges:
        offered = {
            op.squeeze_excite: index
            for index, op in enumerate(edge.candidates)
            if replace(op, squeeze_excite=0.0).choice == wanted
        }
        if not offered:
            raise InputError(
                f"search.target_ratio is a share of the all-{wanted} net, which {edge.name} of space {space.name} does "
                "not offer; give search.target_ms instead"
            )
        choices.append(offered[min(offered)])
    return choices
