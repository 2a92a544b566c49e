"""Whether an exported file computes what torch computes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from pocketnas_base.artifact import Precision
from pocketnas_base.errors import ExportError


@dataclass(frozen=True, slots=True)
class Threshold:
    """What a file of one precision must keep. None: not asked.

    relative_error: largest |file - torch| over largest |torch|, at most. snr_db: signal to noise over all outputs, at
    least. top1_loss_points: how far its top-1 may lie below torch's, in percent points of the labelled images (and
    FEW_IMAGES images more, so that a handful of photographs decides nothing by one of them).
    """

    relative_error: float | None
    snr_db: float | None
    top1_loss_points: float


# fp32: rounding alone, in another order of additions. fp16 rounds each number to 11 bits: about 66 dB, less a few dB a
# dozen layers. int8 has 8 bits a number and saturates: 20 to 40 dB is usual where ranges fit, under 6 dB half of the
# signal is something else.
THRESHOLDS: dict[Precision, Threshold] = {
    "fp32": Threshold(1e-4, None, 0.1),
    "fp16": Threshold(None, 30.0, 0.5),
    "int8": Threshold(None, 6.0, 2.0),
    "int8-dynamic": Threshold(None, 10.0, 2.0),
}

FEW_IMAGES = 3

# 32 MB in float64: a few thousand images of a thousand classes.
_NUMBERS_AT_ONCE = 1 << 22


@dataclass(frozen=True, slots=True)
class Parity:
    """A file's outputs beside torch's, over `images` images.

    max_abs_error: largest |file - torch|. output_scale: largest |torch|. relative_error: the first over the second.
    cosine: the smallest cosine similarity of one image's two outputs. snr_db: 10 log10 of the sum of torch^2 over the
    sum of (file - torch)^2; None where nothing differs. top1_agreement_percent: images whose largest output stands at
    the same place. tolerance, min_snr_db: what relative_error may be at most, snr_db at least; None where the precision
    is not held to it. passed: both are kept. Not a number: None.
    """

    images: int
    max_abs_error: float | None
    output_scale: float | None
    relative_error: float | None
    cosine: float | None
    top1_agreement_percent: float
    tolerance: float | None
    passed: bool
    snr_db: float | None = None
    min_snr_db: float | None = None

    def to_dict(self) -> dict[str, float | int | bool | None]:
        """Plain fields, for JSON."""
        return asdict(self)

    def describe(self) -> str:
        """One line for a person."""
        if self.relative_error is None:
            return "its outputs are not all finite numbers"
        found = [f"largest difference {self.relative_error:.1e} of the outputs' scale"]
        if self.tolerance is not None:
            found.append(f"{self.tolerance:.0e} allowed")
        if self.snr_db is not None:
            found.append(f"signal to noise {self.snr_db:.1f} dB")
        if self.min_snr_db is not None:
            found.append(f"{self.min_snr_db:.0f} dB asked for")
        return ", ".join(found) + f", over {self.images} images"


@dataclass(frozen=True, slots=True)
class Difference:
    """Of a part of the images: see `Parity`. noise, signal: the two sums of squares. agreeing: how many images."""

    images: int
    finite: bool
    agreeing: int
    largest: float = 0.0
    scale: float = 0.0
    noise: float = 0.0
    signal: float = 0.0
    cosine: float = 1.0


def check_parity(torch_outputs: NDArray[np.float32], file_outputs: NDArray[np.float32], precision: Precision) -> Parity:
    """Compare outputs [N, ...] of the same N images. Outputs that are not finite, on either side, do not pass.

    Beside the two arrays it takes memory for a part of the images only. Raises ExportError when the shapes differ.
    """
    if torch_outputs.shape != file_outputs.shape or len(torch_outputs) == 0:
        raise ExportError(f"the file gives outputs of {list(file_outputs.shape)}, torch of {list(torch_outputs.shape)}")
    return parity_of(
        [
            difference_of(torch_outputs[part], file_outputs[part])
            for part in parts(len(torch_outputs), torch_outputs[0].size)
        ],
        precision,
    )


def parity_of(differences: Sequence[Difference], precision: Precision) -> Parity:
    """What the differences of all parts of the images come to together, against what the precision must keep."""
    images, threshold = sum(each.images for each in differences), THRESHOLDS[precision]
    agreement = 100.0 * sum(each.agreeing for each in differences) / images
    asked = {"tolerance": threshold.relative_error, "min_snr_db": threshold.snr_db}
    if not all(each.finite for each in differences):
        return Parity(images, None, None, None, None, agreement, passed=False, **asked)
    error, scale = max(each.largest for each in differences), max(each.scale for each in differences)
    # Outputs of nothing but zeros have no scale: then only zeros agree with them.
    relative = error / scale if scale else (0.0 if error == 0.0 else math.inf)
    if math.isinf(relative):
        return Parity(images, error, scale, None, None, agreement, passed=False, **asked)
    noise, signal = math.fsum(each.noise for each in differences), math.fsum(each.signal for each in differences)
    snr_db = None if noise == 0.0 else 10 * math.log10(signal / noise)
    passed = threshold.relative_error is None or relative <= threshold.relative_error
    passed = passed and (threshold.snr_db is None or snr_db is None or snr_db >= threshold.snr_db)
    cosine = min(each.cosine for each in differences)
    return Parity(images, error, scale, relative, cosine, agreement, passed=passed, snr_db=snr_db, **asked)


def parts(images: int, numbers: int) -> Iterator[slice]:
    """So many images of so many numbers each, a bounded number of them at a time."""
    step = max(1, _NUMBERS_AT_ONCE // max(1, numbers))
    for start in range(0, images, step):
        yield slice(start, min(images, start + step))


def keeps_accuracy(torch_top1: float, file_top1: float, images: int, precision: Precision) -> bool:
    """Whether a file's top-1, in percent of `images` labelled ones, is near enough to torch's."""
    lost = (torch_top1 - file_top1) * images / 100
    return lost <= THRESHOLDS[precision].top1_loss_points * images / 100 + FEW_IMAGES


def difference_of(torch_outputs: NDArray[np.float32], file_outputs: NDArray[np.float32]) -> Difference:
    """How outputs [N, ...] of the same N images differ; both of one shape. In float64: small parts at a time."""
    expected = torch_outputs.reshape(len(torch_outputs), -1).astype(np.float64)
    found = file_outputs.reshape(len(file_outputs), -1).astype(np.float64)
    agreeing = int(np.sum(expected.argmax(1) == found.argmax(1)))
    if not (np.isfinite(expected).all() and np.isfinite(found).all()):
        return Difference(len(expected), False, agreeing)
    off = found - expected
    return Difference(
        len(expected),
        True,
        agreeing,
        float(np.abs(off).max()),
        float(np.abs(expected).max()),
        float((off**2).sum()),
        float((expected**2).sum()),
        _least_cosine(expected, found),
    )


def _least_cosine(expected: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    norms = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
    dots = (expected * found).sum(1)
    return float(np.where(norms > 0, dots / np.where(norms > 0, norms, 1.0), 1.0).min())
