"""Which tensor of a .tflite file holds the output of which of torch's operations."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from deploy.parity import THRESHOLDS

# So many of a tensor's values say which it is; a network's largest tensors have a few millions.
_SAMPLED = 4096


@dataclass(frozen=True, slots=True)
class Sample:
    """A tensor of one image or several, as far as it takes to recognise it. shape: of one image, without axes of one.
    values: some of every image, in float64, whose places depend on the number of values alone."""

    shape: tuple[int, ...]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Match:
    """place: of the operation, in torch's order. tensor: in the file's order. channels_last: the file has the output's
    channels on its last axis, torch on its second."""

    place: int
    tensor: int
    channels_last: bool


def sample_of(value: NDArray[np.float32]) -> Sample:
    """A sample of a tensor [1, ...]."""
    shape = tuple(size for size in value.shape if size != 1)
    return Sample(shape, value.reshape(-1)[_places(value.size)].astype(np.float64))


def joined(samples: Sequence[Sample]) -> Sample:
    """Samples of one tensor for several images. On a single one, what an activation takes and what it gives may be
    equal."""
    return Sample(samples[0].shape, np.concatenate([sample.values for sample in samples]))


def arranged(value: NDArray[np.float32], *, channels_last: bool) -> NDArray[np.float32]:
    """torch's output [1, C, ...] as a file lays it out."""
    return np.moveaxis(value, 1, -1) if channels_last and value.ndim > 2 else value


def matched(layers: Sequence[tuple[Sample, Sample]], tensors: Sequence[Sample]) -> list[Match]:
    """Find the outputs of torch's operations among the tensors of a float32 file, both in the order of computation.

    layers: of every operation, its output as torch lays it out, then with channels last.
    A tensor is the output that it equals within what a float32 file must keep, the nearest if several do. Where that
    does not explain the file's last tensor, the file computes otherwise from some place on: what is left is then paired
    in order, by shape and likeness, so that the place can be named.
    """
    found = _equal(layers, tensors)
    if len(tensors) - 1 not in {match.tensor for match in found}:
        found += _alike(layers, tensors, found)
    return sorted(found, key=lambda match: match.place)


def _equal(layers: Sequence[tuple[Sample, Sample]], tensors: Sequence[Sample]) -> list[Match]:
    by_shape: dict[tuple[int, ...], list[tuple[int, bool]]] = defaultdict(list)
    for place, forms in enumerate(layers):
        for channels_last, form in zip((False, True), forms, strict=True):
            by_shape[form.shape].append((place, channels_last))
    tolerance = THRESHOLDS["fp32"].relative_error
    assert tolerance is not None
    found: list[Match] = []
    taken: set[int] = set()
    for number, tensor in enumerate(tensors):
        nearest = min(
            (
                (_error(layers[place][channels_last], tensor), place, channels_last)
                for place, channels_last in by_shape[tensor.shape]
                if place not in taken
            ),
            default=None,
        )
        if nearest is not None and nearest[0] <= tolerance:
            taken.add(nearest[1])
            found.append(Match(nearest[1], number, nearest[2]))
    return found


def _alike(layers: Sequence[tuple[Sample, Sample]], tensors: Sequence[Sample], known: Sequence[Match]) -> list[Match]:
    """The pairs, in both orders, that are most alike in sum; each between what is known before and behind it."""
    numbers = sorted(set(range(len(tensors))) - {match.tensor for match in known})
    places = sorted(set(range(len(layers))) - {match.place for match in known})
    gain = np.zeros((len(numbers), len(places)))
    last = np.zeros(gain.shape, bool)
    for row, number in enumerate(numbers):
        lowest = max((match.place for match in known if match.tensor < number), default=-1)
        highest = min((match.place for match in known if match.tensor > number), default=len(layers))
        for column, place in enumerate(places):
            if lowest < place < highest:
                likeness = [_likeness(form, tensors[number]) for form in layers[place]]
                gain[row, column], last[row, column] = max(likeness), likeness[1] > likeness[0]
    return [Match(places[column], numbers[row], bool(last[row, column])) for row, column in _best_in_order(gain)]


def _best_in_order(gain: NDArray[np.float64]) -> list[tuple[int, int]]:
    """The pairs (row, column), rising in both, whose gains have the largest sum; none whose gain is 0."""
    rows, columns = gain.shape
    best = np.zeros((rows + 1, columns + 1))
    for row in range(rows):
        paired = np.where(gain[row] > 0, best[row, :-1] + gain[row], 0.0)
        best[row + 1, 1:] = np.maximum.accumulate(np.maximum(best[row, 1:], paired))
    found = []
    row, column = rows, columns
    while row and column:
        if best[row, column] == best[row, column - 1]:
            column -= 1
        elif best[row, column] == best[row - 1, column]:
            row -= 1
        else:
            row, column = row - 1, column - 1
            found.append((row, column))
    return found


def _error(expected: Sample, found: Sample) -> float:
    """The largest difference, of the largest expected value; not a number counts as infinitely far."""
    scale = float(np.abs(expected.values).max(initial=0.0))
    error = float(np.abs(found.values - expected.values).max(initial=0.0))
    if error == 0.0:
        return 0.0
    return error / scale if scale and np.isfinite(error) else np.inf


def _likeness(expected: Sample, found: Sample) -> float:
    """0 where the shapes differ; else 1, and up to 1 more for the cosine of the two."""
    if expected.shape != found.shape:
        return 0.0
    norms = float(np.linalg.norm(expected.values) * np.linalg.norm(found.values))
    cosine = float(expected.values @ found.values) / norms if norms else 0.0
    return 1.0 + max(0.0, cosine) if np.isfinite(cosine) else 1.0


@lru_cache(maxsize=256)
def _places(size: int) -> NDArray[np.intp]:
    if size <= _SAMPLED:
        return np.arange(size)
    # At random: equal steps might meet one channel only.
    return np.sort(np.random.default_rng(0).integers(0, size, _SAMPLED))
