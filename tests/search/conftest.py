"""What the tests of the search share: one thread, and a part of the real images."""

import dataclasses
from collections.abc import Iterator

import pytest
import torch

from pocketnas_base.errors import DataError
from search.data.dataset import ImageData
from search.data.load import load_data


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums are repeated to the bit by one thread count only, and nets this small gain nothing from a second."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def fashion() -> ImageData:
    """The first 2,000 training and 500 test images of Fashion-MNIST."""
    try:
        data = load_data("fashion-mnist", resolution=28, channels=1, classes=10)
    except DataError as error:
        pytest.skip(f"Fashion-MNIST is not to be had here: {error}")
    return dataclasses.replace(
        data,
        train_images=data.train_images[:2000].clone(),
        train_labels=data.train_labels[:2000].clone(),
        test_images=data.test_images[:500].clone(),
        test_labels=data.test_labels[:500].clone(),
    )
