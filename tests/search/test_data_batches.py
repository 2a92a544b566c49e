"""Batches: pure functions of seed, epoch and step, and augmentation that does what it says."""

import pytest
import torch

from pocketnas_base.errors import InputError
from search.augment import Augmentation
from search.data.batches import TrainingBatches, normalisation_of
from search.data.dataset import ImageData

AS_THEY_ARE = Augmentation(shift_px=0, flip=False)


@pytest.fixture(scope="module")
def data() -> ImageData:
    generator = torch.Generator().manual_seed(4)
    images = torch.randint(0, 256, (100, 3, 16, 16), dtype=torch.uint8, generator=generator)
    images[:, 0, 0, 0] = torch.arange(100, dtype=torch.uint8)
    labels = torch.arange(100) % 5
    return ImageData("made", tuple("abcde"), images, labels, images[:10], labels[:10], "made here", None)


def test_a_batch_depends_on_seed_epoch_and_step_alone(data: ImageData):
    batches = TrainingBatches.of(data, batch_size=16, seed=1)
    torch.manual_seed(0)
    whole = list(batches.epoch(3))
    torch.manual_seed(99)
    assert len(whole) == len(batches) == 6
    resumed = list(TrainingBatches.of(data, batch_size=16, seed=1).epoch(3, first_step=4))
    for (images, labels), (again, labels_again) in zip(whole[4:], resumed, strict=True):
        assert torch.equal(images, again)
        assert torch.equal(labels, labels_again)
    assert torch.equal(batches.batch(3, 2)[0], whole[2][0])


def test_other_seeds_epochs_and_steps_give_other_batches(data: ImageData):
    batches = TrainingBatches.of(data, batch_size=16, seed=1)
    base = batches.batch(0, 0)[0]
    others = [
        batches.batch(1, 0)[0],
        batches.batch(0, 1)[0],
        TrainingBatches.of(data, batch_size=16, seed=2).batch(0, 0)[0],
    ]
    assert not any(torch.equal(base, other) for other in others)


def test_the_thread_count_does_not_change_a_batch(data: ImageData):
    batches = TrainingBatches.of(data, batch_size=64, seed=1)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = batches.batch(0, 0)[0]
        torch.set_num_threads(2)
        two = batches.batch(0, 0)[0]
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(one, two)


def test_an_epoch_shows_every_image_at_most_once_and_with_its_own_label(data: ImageData):
    batches = TrainingBatches.of(data, batch_size=20, seed=1, augmentation=AS_THEY_ARE)
    normalise = normalisation_of(data)
    expected = normalise(data.train_images)
    seen: list[int] = []
    for images, labels in batches.epoch(0):
        for image, label in zip(images, labels, strict=True):
            index = int((expected - image).abs().sum(dim=(1, 2, 3)).argmin())
            assert torch.equal(expected[index], image)
            assert data.train_labels[index] == label
            seen.append(index)
    assert sorted(seen) == list(range(100))


def test_chosen_indices_bound_what_is_seen(data: ImageData):
    chosen = torch.nonzero(data.train_labels == 2).flatten()
    batches = TrainingBatches.of(data, chosen, batch_size=10, seed=0)
    assert len(batches) == 2
    assert {label for _, labels in batches.epoch(0) for label in labels.tolist()} == {2}


def test_batches_are_normalised_floats_in_channels_last_order(data: ImageData):
    images, labels = TrainingBatches.of(data, batch_size=50, seed=0, augmentation=AS_THEY_ARE).batch(0, 0)
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
    with pytest.raises(IndexError, match="no batch 6"):
        TrainingBatches.of(data, batch_size=16, seed=0).batch(0, 6)
