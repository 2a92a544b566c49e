"""The door to all data, and how arrays are brought to a space's form."""

import gzip
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from real_images import fashion_mnist

from pocketnas_base.errors import DataError, InputError
from search.data.fit import fit_images
from search.data.load import check_data, load_data


def grey(size: int = 28, count: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 1, size, size), dtype=torch.uint8, generator=generator)


def write_idx_folder(folder: Path, *, classes: int = 3, size: int = 6) -> None:
    numbers = np.random.default_rng(0)
    for prefix, count in (("train", 12), ("t10k", 6)):
        images = numbers.integers(0, 256, (count, size, size), dtype=np.uint8)
        labels = (np.arange(count) % classes).astype(np.uint8)
        content = struct.pack(">IIII", 0x0803, *images.shape) + images.tobytes()
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x0801, count) + labels.tobytes())


def test_a_somewhat_larger_resolution_pads_with_black():
    images = grey()
    padded = fit_images(images, resolution=32, channels=3)
    assert padded.shape == (3, 3, 32, 32)
    assert torch.equal(padded[:, 1, 2:30, 2:30], images[:, 0])
    assert int(padded.sum()) == 3 * int(images.sum())


@pytest.mark.parametrize("resolution", [14, 20, 48, 64])
def test_any_other_resolution_resizes(resolution: int):
    flat = torch.full((2, 3, 28, 28), 200, dtype=torch.uint8)
    resized = fit_images(flat, resolution=resolution, channels=3)
    assert resized.shape == (2, 3, resolution, resolution)
    assert resized.unique().tolist() == [200]
    images = grey(count=2)
    again = [fit_images(images, resolution=resolution, channels=1) for _ in range(2)]
    assert torch.equal(*again)


def test_colour_becomes_the_luma_that_pillow_computes():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(pixels).convert("L"))
    ours = fit_images(torch.from_numpy(pixels).permute(2, 0, 1)[None], resolution=16, channels=1)
    assert np.array_equal(ours[0, 0].numpy(), expected)


def test_the_same_form_is_left_as_it_is():
    images = grey()
    assert torch.equal(fit_images(images, resolution=28, channels=1), images)
    with pytest.raises(InputError, match="1 or 3 channels, not 2"):
        fit_images(images, resolution=28, channels=2)


def test_other_idx_sets_are_read_with_numbers_for_classes(tmp_path: Path):
    write_idx_folder(tmp_path)
    data = load_data(str(tmp_path), resolution=8, channels=3, classes=3)
    assert data.classes == ("0", "1", "2")
    assert data.train_images.shape == (12, 3, 8, 8)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="t10k-labels"):
        load_data(str(tmp_path), resolution=8, channels=3)


def test_idx_files_without_an_image_are_refused(tmp_path: Path):
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x0803, 0, 8, 8))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x0801, 0))
    with pytest.raises(DataError, match="there are no train images"):
        load_data(str(tmp_path), resolution=8, channels=1)


def test_a_wrong_number_of_classes_is_refused(tmp_path: Path):
    write_idx_folder(tmp_path)
    with pytest.raises(DataError, match="has 3 classes where 10 are asked for"):
        load_data(str(tmp_path), resolution=8, channels=3, classes=10)


def in_every_form(root: Path) -> list[str]:
    """The same data set as each kind of source: 12 training images and some test images of 3 classes, none of which
    could be decoded."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for kind in ("idx", "folder", "whole", "parquet"):
        (root / kind).mkdir()
    write_idx_folder(root / "idx")
    for part, count in (("train-images-idx3-ubyte.gz", 12), ("t10k-images-idx3-ubyte.gz", 6)):
        (root / "idx" / part).write_bytes(b"no images of " + bytes([count]))
    for label in range(3):
        for place, count in ((root / "folder" / "train", 4), (root / "folder" / "test", 2), (root / "whole", 5)):
            (place / f"kind{label}").mkdir(parents=True)
            for number in range(count):
                (place / f"kind{label}" / f"{number}.png").write_bytes(b"no image")
    for part, count in (("train", 12), ("test", 6)):
        rows = {"img": [b"no image"] * count, "label": [number % 3 for number in range(count)]}
        pq.write_table(pa.table(rows), root / "parquet" / f"{part}.parquet")
    module = "def whole(resolution, channels):\n    import numpy as np\n"
    module += "    return {'train_images': np.zeros((15, 8, 8), np.uint8), 'train_labels': [0, 1, 2] * 5}\n"
    (root / "labels_of_mine.py").write_text(module)
    return ["idx", "folder", "whole", "parquet", "parquet/train.parquet", "labels_of_mine:whole"]


def test_classes_and_holdout_are_checked_by_the_labels_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for spec in in_every_form(tmp_path):
        most = 3 if spec == "parquet/train.parquet" else 6
        check_data(spec, resolution=8, channels=3, classes=3, holdout=most)
        with pytest.raises(DataError, match=r"has 3 classes where 1000 are asked for.* classes = 3 \(docs/spaces.md\)"):
            check_data(spec, resolution=8, channels=3, classes=1000, holdout=most)
        with pytest.raises(InputError, match=f"at most {most} .* change data.holdout"):
            check_data(spec, resolution=8, channels=3, classes=3, holdout=most + 1)
    check_data("fashion-mnist", resolution=8, channels=3, classes=10, holdout=30_000)
    with pytest.raises(InputError, match="at most 30000"):
        check_data("fashion-mnist", resolution=8, channels=3, classes=10, holdout=30_001)


@pytest.mark.parametrize("spec", ["imagenet", "/nowhere/at/all", "none.txt"])
def test_an_unknown_spec_lists_what_is_known(spec: str):
    with pytest.raises(InputError, match=r"known: fashion-mnist, a folder .*\.parquet") as caught:
        load_data(spec, resolution=8, channels=3)
    assert spec in str(caught.value)


def test_a_missing_parquet_file_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="does not exist"):
        load_data(str(tmp_path / "none.parquet"), resolution=8, channels=3)


def test_fashion_mnist_comes_in_the_form_of_the_space():
    data = fashion_mnist(resolution=32, channels=3)
    assert data.train_images.shape == (60_000, 3, 32, 32)
    assert data.test_images.shape == (10_000, 3, 32, 32)
    assert data.train_images[:, :, :2].sum() == 0
