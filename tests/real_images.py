"""Fashion-MNIST for the tests; a test that needs it is skipped, with the reason, where it is not to be had."""

import dataclasses
import struct
from pathlib import Path

import pytest

from pocketnas_base.errors import DataError
from search.data.dataset import ImageData
from search.data.load import load_data


def fashion_mnist(train: int | None = None, test: int | None = None, **form: int) -> ImageData:
    """The first so many of its images, or all. form: resolution and channels, where they are not its own."""
    try:
        data = load_data("fashion-mnist", **{"resolution": 28, "channels": 1, **form}, classes=10)
    except DataError as error:
        pytest.skip(f"Fashion-MNIST is not to be had here: {error}")
    return dataclasses.replace(
        data,
        train_images=data.train_images[:train].clone(),
        train_labels=data.train_labels[:train].clone(),
        test_images=data.test_images[:test].clone(),
        test_labels=data.test_labels[:test].clone(),
    )


def need_fashion_mnist() -> None:
    """Skip the test unless a program that it starts would find it."""
    fashion_mnist()


def put_fashion_mnist(folder: Path, train: int, test: int) -> Path:
    """The first so many of its images in files of its form, in a new folder, which is given back."""
    data = fashion_mnist(train, test)
    folder.mkdir()
    for name, images, labels in (
        ("train", data.train_images, data.train_labels),
        ("t10k", data.test_images, data.test_labels),
    ):
        head = struct.pack(">4I", 0x0803, len(labels), 28, 28)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(head + images.numpy().tobytes())
        head = struct.pack(">2I", 0x0801, len(labels))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(head + bytes(labels.tolist()))
    return folder
