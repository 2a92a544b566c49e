"""What the tests of the search share: one thread, and a part of the real images."""

from collections.abc import Iterator

import pytest
import torch
from real_images import fashion_mnist

from search.data.dataset import ImageData


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
    return fashion_mnist(2000, 500)
