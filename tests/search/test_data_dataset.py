"""ImageData and how its training images are divided."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketnas_base.errors import DataError, InputError
from search.data.dataset import ImageData, split, stratified_split


def make_data(count: int = 40, channels: int = 3, size: int = 6, classes: int = 4) -> ImageData:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8, generator=generator)
    labels = torch.arange(count) % classes
    names = tuple(f"class{number}" for number in range(classes))
    return ImageData("made", names, images, labels, images[:8].clone(), labels[:8].clone(), "made here", None)


def test_mean_and_std_are_those_of_the_training_pixels_scaled_to_one():
    data = make_data()
    scaled = data.train_images.double() / 255
    assert data.mean == pytest.approx(scaled.mean(dim=(0, 2, 3)).tolist(), abs=1e-12)
    assert data.std == pytest.approx(scaled.std(dim=(0, 2, 3), unbiased=False).tolist(), abs=1e-12)


def test_a_constant_channel_has_a_divisor_of_one():
    data = make_data(channels=1)
    flat = replace(data, train_images=torch.full_like(data.train_images, 51))
    assert flat.mean == (0.2,)
    assert flat.std == (1.0,)


def test_fingerprint_follows_the_content_and_not_the_name():
    data = make_data()
    assert replace(data, name="other", source="elsewhere").fingerprint == data.fingerprint
    changed = data.train_images.clone()
    changed[3, 1, 2, 2] ^= 1
    swapped = data.test_labels.clone()
    swapped[0] = 1
    prints = {
        data.fingerprint,
        replace(data, train_images=changed).fingerprint,
        replace(data, test_labels=swapped).fingerprint,
        replace(data, classes=("a", "b", "c", "d")).fingerprint,
    }
    assert len(prints) == 4


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"train_images": torch.zeros(40, 3, 6, 6)}, "uint8"),
        ({"train_images": torch.zeros(40, 3, 6, 5, dtype=torch.uint8)}, "square"),
        ({"train_labels": torch.zeros(39, dtype=torch.int64)}, "as many int64 labels"),
        ({"train_labels": torch.full((40,), 4)}, "outside the 4 classes"),
        ({"train_labels": torch.zeros(40, dtype=torch.int64)}, "class1 has no training image"),
        ({"test_images": torch.zeros(8, 1, 6, 6, dtype=torch.uint8)}, "differ in size or channels"),
        ({"test_images": torch.zeros(0, 3, 6, 6, dtype=torch.uint8), "test_labels": torch.zeros(0).long()}, "no test"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict[str, torch.Tensor], complaint: str):
    with pytest.raises(DataError, match=complaint):
        replace(make_data(), **change)


def test_holdout_takes_equally_many_of_every_class():
    labels = torch.arange(1000) % 10
    train, holdout = split(labels, 200, seed=0)
    assert torch.bincount(labels[holdout]).tolist() == [20] * 10
    assert torch.cat([train, holdout]).sort().values.tolist() == list(range(1000))


def test_a_small_class_gives_at_most_half_and_the_others_make_up_for_it():
    labels = torch.tensor([0] * 4 + [1] * 100 + [2] * 100)
    _, holdout = split(labels, 60, seed=0)
    assert torch.bincount(labels[holdout]).tolist() == [2, 29, 29]


def test_the_same_seed_gives_the_same_holdout_and_another_seed_another():
    labels = torch.arange(1000) % 10
    assert torch.equal(split(labels, 100, 5)[1], split(labels, 100, 5)[1])
    assert not torch.equal(split(labels, 100, 5)[1], split(labels, 100, 6)[1])


@pytest.mark.parametrize("holdout", [0, -1, 51, 100])
def test_an_impossible_holdout_is_refused(holdout: int):
    with pytest.raises(InputError, match="at most 50"):
        split(torch.arange(100) % 10, holdout, 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.data())
def test_any_possible_holdout_is_met_exactly(counts: list[int], data: st.DataObject):
    labels = torch.tensor([label for label, count in enumerate(counts) for _ in range(count)], dtype=torch.int64)
    most = sum(count // 2 for count in counts)
    if most == 0:
        return
    wanted = data.draw(st.integers(1, most))
    train, holdout = split(labels, wanted, 3)
    assert len(holdout) == wanted
    assert sorted([*train.tolist(), *holdout.tolist()]) == list(range(len(labels)))
    shares = torch.bincount(labels[holdout], minlength=len(counts)).tolist()
    full = [share for share, count in zip(shares, counts, strict=True) if share < count // 2]
    assert all(share <= count // 2 for share, count in zip(shares, counts, strict=True))
    assert not full or max(full) - min(full) <= 1


def test_stratified_split_keeps_every_class_on_both_sides():
    labels = torch.tensor([0] * 2 + [1] * 50 + [2] * 10)
    train, test = stratified_split(labels, 0.2, 0)
    assert torch.bincount(labels[test]).tolist() == [1, 10, 2]
    assert torch.bincount(labels[train]).tolist() == [1, 40, 8]
    with pytest.raises(InputError, match="single image"):
        stratified_split(torch.tensor([0, 1, 1]), 0.2, 0)
