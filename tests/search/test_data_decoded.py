"""Decoded images that memory does not hold: mapped from a file of the cache, and the same to the bit."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from mapped_files import mapped_file_of
from PIL import Image

from pocketnas_base.errors import DataError
from search.augment import Augmentation
from search.data.batches import TrainingBatches
from search.data.dataset import ImageData
from search.data.decode import decode_images
from search.data.decoded import decoded
from search.data.folder import read_folder
from search.data.load import load_data


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("POCKETNAS_CACHE", str(folder))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Sixty images of noise in three classes, not divided into training and test images."""
    numbers = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        (tmp_path / "noise" / name).mkdir(parents=True)
        for number in range(20):
            pixels = numbers.integers(0, 256, (12, 15, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "noise" / name / f"{number:02}.png")
    return tmp_path / "noise"


@pytest.fixture
def parquet(root: Path, tmp_path: Path) -> Path:
    """The same images as one Parquet file, their classes taking turns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted(root.rglob("*.png"), key=lambda path: (path.name, path.parent))
    columns = {"image": [path.read_bytes() for path in files], "label": [path.parent.name for path in files]}
    pq.write_table(pa.table(columns), tmp_path / "noise.parquet")
    return tmp_path / "noise.parquet"


def read(source: Path) -> ImageData:
    return load_data(str(source), resolution=8, channels=3)


def without_room_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.data.decoded.MAX_DECODED_BYTES", 1000)


@pytest.mark.parametrize("source", ["root", "parquet"])
def test_mapped_images_are_those_that_memory_would_hold(
    source: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    path: Path = request.getfixturevalue(source)
    held = read(path)
    without_room_in_memory(monkeypatch)
    mapped = read(path)
    assert mapped_file_of(held.train_images) is None
    for images in (mapped.train_images, mapped.test_images):
        assert str(mapped_file_of(images)).endswith(".pixels")
    assert torch.equal(mapped.train_images, held.train_images)
    assert torch.equal(mapped.test_images, held.test_images)
    assert mapped.test_labels.tolist() == held.test_labels.tolist()
    assert torch.bincount(mapped.test_labels).tolist() == [4, 4, 4]
    assert (mapped.fingerprint, mapped.mean, mapped.std) == (held.fingerprint, held.mean, held.std)
    augmentation = Augmentation(crop_scale=(0.3, 1), hue=0.1)
    one, other = (
        TrainingBatches.of(data, torch.arange(0, 48, 2), batch_size=8, seed=1, augmentation=augmentation)
        for data in (held, mapped)
    )
    assert one.fingerprint == other.fingerprint
    assert all(torch.equal(one.at(number)[0], other.at(number)[0]) for number in range(4))


def test_mapped_images_are_decoded_once(root: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_room_in_memory(monkeypatch)
    first = read(root)
    pixels = next((own_cache / "decoded").glob("*.pixels"))
    assert pixels.stat().st_size == 60 * 3 * 8 * 8

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("decoded again")

    with monkeypatch.context() as patch:
        patch.setattr("search.data.folder.decode_images", refuse)
        assert torch.equal(read(root).train_images, first.train_images)
        Image.new("RGB", (12, 12)).save(root / "a" / "00.png")
        with pytest.raises(AssertionError, match="decoded again"):
            read(root)


def test_a_damaged_file_or_record_is_made_anew(root: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_room_in_memory(monkeypatch)
    expected = read(root).train_images.clone()
    pixels = next((own_cache / "decoded").glob("*.pixels"))
    record = pixels.with_suffix(".json")
    for spoil in (
        lambda: os.truncate(pixels, 100),
        lambda: record.write_text("[]"),
        lambda: record.write_text(record.read_text().replace('"mean"', '"means"')),
        record.unlink,
    ):
        spoil()
        assert torch.equal(read(root).train_images, expected)


def test_a_bad_image_leaves_no_half_made_file(root: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_room_in_memory(monkeypatch)
    (root / "b" / "07.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"07\.png is damaged"):
        read(root)
    assert not list((own_cache / "decoded").glob("*"))


def test_a_cache_without_room_is_one_clear_line(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_room_in_memory(monkeypatch)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("POCKETNAS_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(DataError, match="Not a directory; make room there, or let POCKETNAS_CACHE name another folder"):
        read(root)


def test_large_sources_are_known_by_size_and_time_of_change(
    root: Path, parquet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.data.folder.MAX_HASHED_BYTES", 100)
    monkeypatch.setattr("search.data.parquet.MAX_HASHED_BYTES", 100)
    for source, file in ((root, root / "a" / "03.png"), (parquet, parquet)):
        first = read(source)
        stat, content = file.stat(), file.read_bytes()
        file.write_bytes(content.replace(b"IDAT", b"IDAX"))
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert read(source).fingerprint == first.fingerprint
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))
        with pytest.raises(DataError):
            read(source)
        file.write_bytes(content)


def test_the_files_room_is_taken_before_anything_is_written(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write to a mapped file without room on the disk would end the process, and no line would say why."""
    without_room_in_memory(monkeypatch)
    room: list[int] = []

    def look(_pixels: object) -> ImageData:
        (file,) = (own_cache / "decoded").iterdir()
        room.append(file.stat().st_blocks * 512)
        raise DataError("seen")

    with pytest.raises(DataError, match="seen"):
        decoded("key", (100, 3, 64, 64), "source", look)
    assert room[0] >= 100 * 3 * 64 * 64


def test_more_images_than_were_announced_are_refused() -> None:
    stream = io.BytesIO()
    Image.new("L", (4, 4)).save(stream, "PNG")
    three = iter([(name, stream.getvalue()) for name in "abc"])
    with pytest.raises(DataError, match="more images were read than the 2 announced"):
        decode_images(three, np.empty((2, 1, 4, 4), dtype=np.uint8), what="x", progress=lambda *_: None)


def test_read_folder_says_what_it_does(root: Path) -> None:
    seen: list[str] = []
    read_folder(root, resolution=8, channels=3, progress=lambda _done, _total, what: seen.append(what))
    assert set(seen) == {"reading noise", "decoding noise images"}
