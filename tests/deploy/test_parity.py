"""What a file must keep, precision by precision."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.accuracy import top1_percent, top5_percent
from deploy.parity import THRESHOLDS, check_parity, keeps_accuracy
from pocketnas_base.artifact import PRECISIONS, Precision
from pocketnas_base.errors import ExportError


def outputs(seed: int = 0) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    return np.random.default_rng(seed).standard_normal((50, 20)).astype(np.float32)


def test_parity_does_not_pass_for_numbers_that_are_none() -> None:
    good = np.ones((2, 3), np.float32)
    for precision in PRECISIONS:
        assert check_parity(good, good, precision).passed
        assert not check_parity(good, np.full((2, 3), np.nan, np.float32), precision).passed
        assert not check_parity(good, -good, precision).passed
    with pytest.raises(ExportError, match="outputs of"):
        check_parity(good, np.ones((2, 4), np.float32), "fp32")


def test_fp32_goes_by_the_largest_difference_alone() -> None:
    torch_outputs = np.ones((100, 10), np.float32)
    one_off = torch_outputs.copy()
    one_off[3, 4] += 2e-4
    parity = check_parity(torch_outputs, one_off, "fp32")
    assert parity.snr_db is not None
    assert parity.snr_db > 90
    assert not parity.passed


@given(st.sampled_from([p for p in PRECISIONS if p != "fp32"]), st.floats(-3, 3), st.floats(1e-3, 1e3))
def test_the_others_go_by_signal_to_noise_whatever_the_scale(precision: Precision, off_db: float, scale: float) -> None:
    """Noise of a known power gives the signal to noise that it says, and passes exactly above the limit."""
    asked = THRESHOLDS[precision].snr_db
    assert asked is not None
    wanted = asked + (off_db if abs(off_db) > 0.01 else 0.01)
    signal, noise = outputs().astype(np.float64), outputs(1).astype(np.float64)
    noise *= math.sqrt((signal**2).sum() / (noise**2).sum() / 10 ** (wanted / 10))
    parity = check_parity((scale * signal).astype(np.float32), (scale * (signal + noise)).astype(np.float32), precision)
    assert parity.snr_db == pytest.approx(wanted, abs=0.005)
    assert parity.passed == (wanted > asked)


@pytest.mark.parametrize(
    ("images", "lost", "precision", "kept"),
    [
        (10_000, 13, "fp32", True),
        (10_000, 14, "fp32", False),
        (10_000, 203, "int8", True),
        (10_000, 204, "int8", False),
        (5, 3, "int8", True),
        (100, 6, "int8", False),
    ],
)
def test_accuracy_may_fall_by_so_many_images(images: int, lost: int, precision: Precision, kept: bool) -> None:
    torch_top1 = 90.0
    assert keeps_accuracy(torch_top1, torch_top1 - 100 * lost / images + 1e-9, images, precision) is kept


def test_top5_counts_a_label_among_the_five_largest() -> None:
    logits = np.tile(np.arange(10, dtype=np.float32), (3, 1))
    labels = np.array([9, 5, 4])
    assert top1_percent(logits, labels) == pytest.approx(100 / 3)
    assert top5_percent(logits, labels) == pytest.approx(200 / 3)
    assert top5_percent(logits[:, :5], np.array([0, 1, 2])) is None
