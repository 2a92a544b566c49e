"""Whether an exported file computes what torch computes."""

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from pocketnas_base.artifact import Precision
from pocketnas_base.errors import ExportError, InputError

TOLERANCE: dict[Precision, float] = {"fp32": 1e-4}


@dataclass(frozen=True, slots=True)
class Parity:
    """A file's outputs beside torch's, over `images` images.

    max_abs_error: largest |file - torch|. output_scale: largest |torch|. relative_error: the first over the second.
    cosine: the smallest cosine similarity of one image's two outputs. top1_agreement_percent: images whose largest
    output stands at the same place. tolerance: what relative_error may be at most. Not a number: None.
    """

    images: int
    max_abs_error: float | None
    output_scale: float | None
    relative_error: float | None
    cosine: float | None
    top1_agreement_percent: float
    tolerance: float
    passed: bool

    def to_dict(self) -> dict[str, float | int | bool | None]:
        """Plain fields, for JSON."""
        return asdict(self)

    def describe(self) -> str:
        """One line for a person."""
        if self.relative_error is None:
            return "its outputs are not all finite numbers"
        return (
            f"largest difference {self.relative_error:.1e} of the outputs' scale, "
            f"{self.tolerance:.0e} allowed, over {self.images} images"
        )


def check_parity(torch_outputs: NDArray[np.float32], file_outputs: NDArray[np.float32], precision: Precision) -> Parity:
    """Compare outputs [N, ...] of the same N images. Outputs that are not finite, on either side, do not pass.

    Raises ExportError when the shapes differ, InputError for a precision without a tolerance.
    """
    if precision not in TOLERANCE:
        raise InputError(f"no parity tolerance is set for {precision}; known: {', '.join(TOLERANCE)}")
    if torch_outputs.shape != file_outputs.shape or len(torch_outputs) == 0:
        raise ExportError(f"the file gives outputs of {list(file_outputs.shape)}, torch of {list(torch_outputs.shape)}")
    expected = torch_outputs.reshape(len(torch_outputs), -1).astype(np.float64)
    found = file_outputs.reshape(len(file_outputs), -1).astype(np.float64)
    agreement = 100.0 * float(np.mean(expected.argmax(1) == found.argmax(1)))
    tolerance = TOLERANCE[precision]
    if not (np.isfinite(expected).all() and np.isfinite(found).all()):
        return Parity(len(expected), None, None, None, None, agreement, tolerance, passed=False)
    error, scale = float(np.abs(found - expected).max()), float(np.abs(expected).max())
    # Outputs of nothing but zeros have no scale: then only zeros agree with them.
    relative = error / scale if scale else (0.0 if error == 0.0 else math.inf)
    if math.isinf(relative):
        return Parity(len(expected), error, scale, None, None, agreement, tolerance, passed=False)
    norms = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
    dots = (expected * found).sum(1)
    cosine = float(np.where(norms > 0, dots / np.where(norms > 0, norms, 1.0), 1.0).min())
    return Parity(len(expected), error, scale, relative, cosine, agreement, tolerance, passed=relative <= tolerance)
