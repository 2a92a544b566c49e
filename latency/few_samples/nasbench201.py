"""NAS-Bench-201 cells as features (Dong and Yang, ICLR 2020): six edges among four nodes, five operators to choose."""

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from latency.few_samples.nets import MAX_NETS, FloatArray, IntArray, Nets, counts, one_hot
from pocketnas_base.errors import InputError

SPACE = "nasbench201"
OPERATORS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
CONVOLUTIONS = ("nor_conv_1x1", "nor_conv_3x3")
NONE = 0
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))

_EDGE = r"([a-z0-9_]{1,20})"
_CELL = re.compile(rf"\|{_EDGE}~0\|\+\|{_EDGE}~0\|{_EDGE}~1\|\+\|{_EDGE}~0\|{_EDGE}~1\|{_EDGE}~2\|", re.ASCII)
# Nodes 1 and 2 may change names where no edge joins them: the edges into and out of them change places.
_OTHER_NAMES = (1, 0, 2, 3, 5, 4)

Dead = Literal["unknown", "removed"]


def encode_nasbench201(cells: Sequence[str], *, dead: Dead = "unknown") -> Nets:
    """Encode cells such as `|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|none~2|`.

    dead: what the device does with operators on no path from input to output. `removed` when the converter or
      runtime leaves them out: nets that differ only in such operators are then one and the same. `unknown` lets the
      measurements tell, by features of both the cell as written and its live part.
    Cells that differ only in the names of two unconnected nodes are encoded alike. Raises InputError on anything else
    than such a cell.
    """
    if not 1 <= len(cells) <= MAX_NETS:
        raise InputError(f"{len(cells)} cells; 1 to {MAX_NETS} can be encoded")
    written = np.array([_parse(cell, number) for number, cell in enumerate(cells)], dtype=np.int64)
    live = _live(written)
    lean = Nets(SPACE, _features(live, live))
    if dead == "removed":
        return lean
    return Nets(SPACE, _features(written, live), ways=(Nets(SPACE, _features(written, written)), lean))


def _parse(cell: str, number: int) -> list[int]:
    match = _CELL.fullmatch(cell)
    if match is None or any(name not in OPERATORS for name in match.groups()):
        raise InputError(
            f"cell {number}: {cell[:120]!r} is not a NAS-Bench-201 cell |op~0|+|op~0|op~1|+|op~0|op~1|op~2|"
            f" of the operators {', '.join(OPERATORS)}"
        )
    return [OPERATORS.index(name) for name in match.groups()]


def _live(cells: IntArray) -> IntArray:
    """The cells with `none` in place of every operator that the input does not reach or that reaches no output."""
    from_input = np.zeros((len(cells), 4), dtype=bool)
    to_output = np.zeros((len(cells), 4), dtype=bool)
    from_input[:, 0] = to_output[:, 3] = True
    for edge, (tail, head) in enumerate(EDGES):
        from_input[:, head] |= from_input[:, tail] & (cells[:, edge] != NONE)
    for edge, (tail, head) in reversed(list(enumerate(EDGES))):
        to_output[:, tail] |= to_output[:, head] & (cells[:, edge] != NONE)
    tails, heads = np.array(EDGES).T
    return np.where(from_input[:, tails] & to_output[:, heads], cells, NONE)


def _named_once(cells: IntArray) -> IntArray:
    """Of the two namings of a cell whose nodes 1 and 2 are not joined, always the same one."""
    other = cells[:, _OTHER_NAMES]
    place_values = len(OPERATORS) ** np.arange(cells.shape[1])
    swap = (cells[:, 2] == NONE) & (other @ place_values < cells @ place_values)
    return np.where(swap[:, None], other, cells)


def _features(written: IntArray, live: IntArray) -> dict[str, FloatArray]:
    """Every cell is repeated alike in three stages, so an operator's cost depends little on its edge: counts first."""
    operators = len(OPERATORS)
    return {
        "written operators": counts(written, operators),
        "live operators": counts(live, operators)[:, NONE + 1 :],
        "live shape": _shape(live),
        "written edges": one_hot(_named_once(written), operators),
        "live edges": one_hot(_named_once(live), operators),
    }


def _shape(live: IntArray) -> FloatArray:
    """Nodes in use, additions, the most convolutions, 3x3 convolutions and operators on one path; is there a path."""
    used = live != NONE
    into_second, into_last = used[:, 1:3].sum(axis=1), used[:, 3:].sum(axis=1)
    nodes = used[:, 0].astype(np.int64) + (into_second > 0) + (into_last > 0)
    additions = np.maximum(into_second - 1, 0) + np.maximum(into_last - 1, 0)
    longest = [_longest(live, np.isin(OPERATORS, names)) for names in (CONVOLUTIONS, CONVOLUTIONS[1:], OPERATORS)]
    return np.column_stack([nodes, additions, *longest, into_last > 0]).astype(np.float64)


def _longest(live: IntArray, counted: NDArray[np.bool_]) -> IntArray:
    """The most counted operators on one live path from input to output; 0 without a path."""
    length = np.where(live != NONE, counted[live].astype(np.int64), -len(EDGES))
    first = length[:, 0]
    second = np.maximum(length[:, 1], first + length[:, 2])
    last = np.maximum.reduce([length[:, 3], first + length[:, 4], second + length[:, 5]])
    return np.asarray(np.maximum(last, 0))
