"""Batches: pure functions of seed, epoch and step, and augmentation that does what it says."""

import concurrent.futures
import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch

from pocketnas_base.errors import InputError
from search.augment import Augmentation
from search.data.batches import BATCHES_AHEAD, TrainingBatches, normalisation_of
from search.data.dataset import ImageData

AS_THEY_ARE = Augmentation(shift_px=0, flip=False)


@pytest.fixture(scope="module")
def data() -> ImageData:
    generator = torch.Generator().manual_seed(4)
    images = torch.randint(0, 256, (100, 3, 16, 16), dtype=torch.uint8, generator=generator)
    images[:, 0, 0, 0] = torch.arange(100, dtype=torch.uint8)
    labels = torch.arange(100) % 5
    return ImageData("made", tuple("abcde"), images, labels, images[:10], labels[:10], "made here", None)


def epoch_of(batches: TrainingBatches, epoch: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """All batches of an epoch."""
    return [batches.at(epoch * len(batches) + step) for step in range(len(batches))]


def test_a_batch_depends_on_seed_epoch_and_step_alone(data: ImageData):
    batches = TrainingBatches.of(data, batch_size=16, seed=1)
    torch.manual_seed(0)
    whole = epoch_of(batches, 3)
    torch.manual_seed(99)
    assert len(whole) == len(batches) == 6
    resumed = TrainingBatches.of(data, batch_size=16, seed=1)
    for step in (4, 5):
        images, labels = resumed.at(3 * 6 + step)
        assert torch.equal(images, whole[step][0])
        assert torch.equal(labels, whole[step][1])


def test_batches_may_be_asked_for_in_any_order(data: ImageData):
    batches = TrainingBatches.of(data, batch_size=16, seed=1)
    in_order = [batches.at(number) for number in range(14)]
    for number in (3, 3, 13, 0, 7, 8, 6, 12, 5, 6):
        images, labels = batches.at(number)
        assert torch.equal(images, in_order[number][0])
        assert torch.equal(labels, in_order[number][1])


def test_the_next_batches_are_gathered_before_they_are_asked_for(data: ImageData, monkeypatch: pytest.MonkeyPatch):
    batches = TrainingBatches.of(data, batch_size=16, seed=1)
    expected = [batches.at(number)[0] for number in range(BATCHES_AHEAD + 2)]
    batches = TrainingBatches.of(data, batch_size=16, seed=1)
    batches.at(0)
    concurrent.futures.wait(batches._ahead._futures.values())

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("gathered now")

    monkeypatch.setattr(Augmentation, "draw", refuse)
    for number in range(1, BATCHES_AHEAD + 1):
        assert torch.equal(batches.at(number)[0], expected[number])
    with pytest.raises(AssertionError, match="gathered now"):
        batches.at(BATCHES_AHEAD + 1)


def test_images_that_are_not_augmented_come_once_each(data: ImageData):
    chosen = torch.arange(10, 90)
    batches = TrainingBatches.of(data, chosen, batch_size=16, seed=1)
    everything = torch.cat(list(batches.unaugmented(1000)))
    known = normalisation_of(data)(data.train_images)
    found = [int((known - image).abs().sum(dim=(1, 2, 3)).argmin()) for image in everything]
    assert sorted(found) == chosen.tolist()
    assert all(torch.equal(known[index], image) for index, image in zip(found, everything, strict=True))
    assert [len(batch) for batch in batches.unaugmented(40)] == [16, 16]
    assert [len(batch) for batch in batches.unaugmented(1)] == [16]
    assert torch.equal(next(batches.unaugmented(16)), everything[:16])


def test_other_seeds_epochs_and_steps_give_other_batches(data: ImageData):
    batches = TrainingBatches.of(data, batch_size=16, seed=1)
    base = batches.at(0)[0]
    others = [
        batches.at(len(batches))[0],
        batches.at(1)[0],
        TrainingBatches.of(data, batch_size=16, seed=2).at(0)[0],
    ]
    assert not any(torch.equal(base, other) for other in others)


def test_the_thread_count_does_not_change_a_batch(data: ImageData):
    batches = TrainingBatches.of(data, batch_size=64, seed=1)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = batches.at(0)[0]
        torch.set_num_threads(2)
        two = batches.at(0)[0]
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(one, two)


def test_an_epoch_shows_every_image_at_most_once_and_with_its_own_label(data: ImageData):
    batches = TrainingBatches.of(data, batch_size=20, seed=1, augmentation=AS_THEY_ARE)
    normalise = normalisation_of(data)
    expected = normalise(data.train_images)
    orders: list[list[int]] = []
    for epoch in range(3):
        seen: list[int] = []
        for images, labels in epoch_of(batches, epoch):
            for image, label in zip(images, labels, strict=True):
                index = int((expected - image).abs().sum(dim=(1, 2, 3)).argmin())
                assert torch.equal(expected[index], image)
                assert data.train_labels[index] == label
                seen.append(index)
        assert sorted(seen) == list(range(100))
        orders.append(seen)
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_every_batch_of_every_epoch_is_augmented_anew(data: ImageData):
    same = replace(data, train_images=data.train_images[:1].expand(100, -1, -1, -1).clone())
    batches = TrainingBatches.of(same, batch_size=16, seed=1)
    made = [batches.at(epoch * len(batches) + step)[0] for epoch in range(2) for step in range(3)]
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(made, 2))


def test_other_images_draws_and_sizes_have_other_fingerprints(data: ImageData):
    def fingerprint(**changes: Any) -> str:
        asked: dict[str, Any] = {"data": data, "batch_size": 16, "seed": 1}
        return TrainingBatches.of(**asked | changes).fingerprint

    prints = [
        fingerprint(),
        fingerprint(indices=torch.arange(99)),
        fingerprint(indices=torch.arange(99).flip(0)),
        fingerprint(batch_size=8),
        fingerprint(seed=2),
        fingerprint(augmentation=AS_THEY_ARE),
        fingerprint(data=replace(data, train_images=255 - data.train_images)),
    ]
    assert len(set(prints)) == len(prints)
    assert fingerprint() == fingerprint(indices=torch.arange(100)) == prints[0]


def test_chosen_indices_bound_what_is_seen(data: ImageData):
    chosen = torch.nonzero(data.train_labels == 2).flatten()
    batches = TrainingBatches.of(data, chosen, batch_size=10, seed=0)
    assert len(batches) == 2
    assert {label for _, labels in epoch_of(batches, 0) for label in labels.tolist()} == {2}


def test_batches_are_normalised_floats_in_channels_last_order(data: ImageData):
    images, labels = TrainingBatches.of(data, batch_size=50, seed=0, augmentation=AS_THEY_ARE).at(0)
    assert images.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert images.is_contiguous(memory_format=torch.channels_last)
    everything = normalisation_of(data)(data.train_images)
    assert everything.mean(dim=(0, 2, 3)).abs().max() < 1e-4
    assert (everything.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-3


def test_impossible_batches_are_refused(data: ImageData):
    for size in (0, 101):
        with pytest.raises(InputError, match=f"batch size {size}"):
            TrainingBatches.of(data, batch_size=size, seed=0)
    with pytest.raises(InputError, match="cannot be shifted"):
        TrainingBatches.of(data, batch_size=8, seed=0, augmentation=Augmentation(shift_px=16))
