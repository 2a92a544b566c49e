"""Images to calibrate with and to check on, in every form that a user may name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pocketnas.export_images import NamedImages, labels_as, named_images, spread_over
from pocketnas.export_words import labels_of
from pocketnas_base.errors import DataError, InputError

SHAPE = (3, 24, 24)


def pictures(folder: Path, count: int = 4) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.full((40, 30, 3), 10 * number, np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def test_a_folder_of_images_alone_has_no_labels(tmp_path: Path) -> None:
    found = named_images(str(pictures(tmp_path / "flat")), SHAPE, what="images", part="test")
    assert found.images.shape == (4, *SHAPE)
    assert found.images.dtype == torch.uint8
    assert found.images[2].unique().tolist() == [20]
    assert found.labels is None


def test_folders_of_classes_have_labels(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        pictures(tmp_path / "data" / name)
    found = named_images(str(tmp_path / "data"), SHAPE, what="images", part="test")
    assert found.classes == ("cat", "dog")
    assert found.labels is not None
    assert len(found.labels) == len(found.images)


def test_a_configuration_names_its_own_data(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        pictures(tmp_path / "data" / name)
    text = (Path(__file__).parents[2] / "examples" / "cifar10.toml").read_text()
    lines = [f'source = "{tmp_path / "data"}"' if line.startswith("source") else line for line in text.splitlines()]
    (tmp_path / "run.toml").write_text("\n".join(lines))
    found = named_images(str(tmp_path / "run.toml"), SHAPE, what="images", part="train")
    assert found.images.shape[1:] == SHAPE


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_an_array_is_taken_as_it_is(kind: type[np.generic], tmp_path: Path) -> None:
    array = np.arange(2 * 3 * 24 * 24).reshape(2, *SHAPE).astype(kind)
    np.save(tmp_path / "a.npy", array)
    assert np.array_equal(named_images(str(tmp_path / "a.npy"), SHAPE, what="images", part="test").images, array)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3, 32, 32), np.uint8), r"holds \[2, 3, 32, 32\]; the network takes \[N, 3, 24, 24\]"),
        (np.zeros((0, *SHAPE), np.uint8), r"holds \[0, 3, 24, 24\]"),
        (np.zeros((2, *SHAPE), np.int64), "holds int64"),
        (np.full((2, *SHAPE), np.nan, np.float32), "numbers that are none"),
        (np.array([{"a": 1}], object), "no .npy file of numbers"),
    ],
)
def test_an_array_that_does_not_fit_is_one_line(
    array: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]", message: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        named_images(str(tmp_path / "a.npy"), SHAPE, what="images", part="test")


def test_a_cut_off_array_and_an_empty_folder_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00")
    (tmp_path / "none").mkdir()
    for name in ("a.npy", "none", "missing.npy"):
        with pytest.raises(DataError) as caught:
            named_images(str(tmp_path / name), SHAPE, what="images", part="test")
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"give them as a \.npy file"):
        named_images(str(tmp_path / "none"), (3, 24, 48), what="images", part="test")


def test_an_array_whose_header_is_damaged_is_one_line(tmp_path: Path) -> None:
    """numpy reads it with Python's own parser, which has many words for what it does not understand."""
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((2, *SHAPE), np.uint8))
    whole, refusals = path.read_bytes(), []
    for place in range(128):
        for flip in (1, 8, 64, 255):
            content = bytearray(whole)
            content[place] ^= flip
            path.write_bytes(content)
            try:
                named_images(str(path), SHAPE, what="images", part="test")
            except DataError as error:
                refusals.append(str(error))
    assert len(refusals) > 200
    assert not [message for message in refusals if "\n" in message]
    np.savez(tmp_path / "archive", images=np.zeros((2, *SHAPE), np.uint8))
    (tmp_path / "archive.npz").rename(path)
    with pytest.raises(DataError, match=r"is an archive of arrays \(.npz\); save the images alone"):
        named_images(str(path), SHAPE, what="images", part="test")


def test_labels_go_by_name_where_classes_have_names() -> None:
    named = NamedImages(torch.zeros(3, *SHAPE), torch.tensor([0, 1, 1]), ("dog", "cat"))
    assert labels_as(named, ("ant", "cat", "dog"), 3, "images").tolist() == [2, 1, 1]
    assert labels_as(named, None, 2, "images").tolist() == [0, 1, 1]
    with pytest.raises(InputError, match="'dog' is none of its labels"):
        labels_as(named, ("ant", "cat", "cow"), 3, "images")
    assert labels_as(named, ("a", "b"), 2, "images").tolist() == [0, 1, 1], "none of its names is known"
    with pytest.raises(InputError, match="'dog' is none of its labels, as other classes are"):
        labels_as(named, ("cat", "hound"), 2, "images")
    assert labels_as(replace(named, classes=("cat", "cat")), ("cat", "cat"), 2, "images").tolist() == [0, 1, 1]
    with pytest.raises(InputError, match="'cat' stands for several of the network's classes"):
        labels_as(named, ("cat", "dog", "cat"), 3, "images")
    with pytest.raises(InputError, match="name its classes with --labels"):
        labels_as(named, None, 3, "images")
    with pytest.raises(InputError, match="have no labels"):
        labels_as(NamedImages(torch.zeros(3, *SHAPE), None, None), None, 3, "images")


def test_labels_are_lines_whatever_the_editor_puts_around_them(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffcat\r\nFüchse\r\n".encode())
    assert labels_of(path) == ("cat", "Füchse")
    for content in ("cat\n\ndog\n", "", "a\x1b[2J\n"):
        path.write_text(content)
        with pytest.raises(InputError, match="one name a line, and no empty line"):
            labels_of(path)


def test_images_are_spread_evenly() -> None:
    images = torch.arange(1000).view(1000, 1, 1, 1)
    assert spread_over(images, 4).flatten().tolist() == [0, 250, 500, 750]
    assert len(spread_over(images, 2000)) == 1000
