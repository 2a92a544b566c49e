"""Folders of images by class: real encoded files, whole and broken."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pocketnas_base.errors import DataError, InputError
from search.data.decode import decode_image
from search.data.folder import read_folder

COLOURS = {"blue": (0, 0, 250), "green": (0, 250, 0), "red": (250, 0, 0)}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("POCKETNAS_CACHE", str(folder))
    return folder


def fill(part: Path, *, count: int = 3, suffixes: tuple[str, ...] = (".png", ".jpg", ".webp", ".bmp")) -> None:
    for name, colour in COLOURS.items():
        (part / name).mkdir(parents=True)
        for number in range(count):
            suffix = suffixes[number % len(suffixes)]
            Image.new("RGB", (20 + number, 14), colour).save(part / name / f"{number:03}{suffix}")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    fill(tmp_path / "flags" / "train", count=5)
    fill(tmp_path / "flags" / "test", count=2)
    return tmp_path / "flags"


def test_images_come_with_the_labels_of_their_folders(root: Path):
    seen: list[tuple[int, int]] = []
    data = read_folder(root, resolution=8, channels=3, progress=lambda done, total, _what: seen.append((done, total)))
    assert data.classes == ("blue", "green", "red")
    assert data.train_images.shape == (15, 3, 8, 8)
    assert data.test_labels.tolist() == [0, 0, 1, 1, 2, 2]
    brightest = data.train_images.float().mean(dim=(2, 3)).argmax(dim=1)
    assert brightest.tolist() == [2 - label for label in data.train_labels.tolist()]
    assert seen[-1][0] == seen[-1][1]


def test_val_stands_in_for_test(tmp_path: Path):
    fill(tmp_path / "train")
    fill(tmp_path / "val", count=1)
    assert len(read_folder(tmp_path, resolution=8, channels=1).test_images) == 3


@pytest.mark.parametrize("below", ["", "train"])
def test_without_test_images_a_fifth_of_every_class_is_drawn(tmp_path: Path, below: str):
    fill(tmp_path / below, count=10)
    first, second = (read_folder(tmp_path, resolution=4 + size, channels=3) for size in (0, 1))
    assert torch.bincount(first.test_labels).tolist() == [2, 2, 2]
    assert torch.bincount(first.train_labels).tolist() == [8, 8, 8]
    assert torch.equal(first.train_labels, second.train_labels)
    assert "drawn as test images" in first.source


def test_the_second_reading_comes_from_the_cache(root: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch):
    first = read_folder(root, resolution=8, channels=3)
    assert len(list(own_cache.glob("decoded/*.safetensors"))) == 1

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("search.data.folder.decode_images", refuse)
    second = read_folder(root, resolution=8, channels=3)
    assert (second.fingerprint, second.classes, second.source) == (first.fingerprint, first.classes, first.source)


def test_a_changed_image_and_a_damaged_cache_are_noticed(root: Path, own_cache: Path):
    first = read_folder(root, resolution=8, channels=3)
    Image.new("RGB", (20, 14), (9, 9, 9)).save(root / "train" / "red" / "000.png")
    changed = read_folder(root, resolution=8, channels=3)
    assert changed.fingerprint != first.fingerprint
    for kept in own_cache.glob("decoded/*.safetensors"):
        content = bytearray(kept.read_bytes())
        content[-1] ^= 1
        kept.write_bytes(content)
    assert read_folder(root, resolution=8, channels=3).fingerprint == changed.fingerprint


def test_a_cache_that_cannot_be_written_stops_nothing(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("POCKETNAS_CACHE", str(tmp_path / "file"))
    assert len(read_folder(root, resolution=8, channels=3).train_images) == 15


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp"])
def test_a_truncated_image_is_named(root: Path, suffix: str):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    broken = root / "train" / "green" / f"broken{suffix}"
    Image.fromarray(noise).save(broken)
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    with pytest.raises(DataError, match=f"broken{suffix}") as caught:
        read_folder(root, resolution=8, channels=3)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(100)])
def test_what_is_no_image_is_named(root: Path, content: bytes):
    (root / "test" / "red" / "fake.png").write_bytes(content)
    with pytest.raises(DataError, match=r"fake\.png"):
        read_folder(root, resolution=8, channels=3)


def png(width: int, height: int) -> bytes:
    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(bytes(1000))) + part(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9_000, 12_000, 60_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(side: int):
    with pytest.raises(DataError, match=r"bomb\.png has .*at most 64000000"):
        decode_image(png(side, side), name="bomb.png", resolution=8, channels=3)


def test_an_image_is_set_upright_and_cropped_at_the_centre():
    upright = Image.new("RGB", (60, 30), (0, 0, 0))
    upright.paste((255, 255, 255), (15, 0, 45, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(stream, "PNG", exif=exif)
    pixels = decode_image(stream.getvalue(), name="turned", resolution=30, channels=3)
    assert pixels.shape == (3, 30, 30)
    assert pixels.min() == 255


def test_an_image_of_the_right_size_is_not_touched():
    noise = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    assert np.array_equal(decode_image(stream.getvalue(), name="n", resolution=28, channels=1)[0], noise)
    assert np.array_equal(decode_image(stream.getvalue(), name="n", resolution=28, channels=3)[2], noise)


def test_sixteen_bit_grey_keeps_its_upper_bits():
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 4), 200 * 256 + 7, dtype=np.uint16)).save(stream, "PNG")
    assert decode_image(stream.getvalue(), name="deep", resolution=4, channels=1).tolist() == [[[200] * 4] * 4]


def test_faulty_folders_are_refused_by_name(root: Path, tmp_path: Path):
    with pytest.raises(DataError, match="is not a folder"):
        read_folder(tmp_path / "none", resolution=8, channels=3)
    with pytest.raises(DataError, match="at least two folders"):
        read_folder(root / "train" / "red", resolution=8, channels=3)
    with pytest.raises(InputError, match="not 4"):
        read_folder(root, resolution=8, channels=4)
    with pytest.raises(DataError, match=r"decoded images of .* GB are kept in .* which failed: "):
        read_folder(root, resolution=1_000_000, channels=3)
    (root / "train" / "pink").mkdir()
    with pytest.raises(DataError, match="pink holds no image"):
        read_folder(root, resolution=8, channels=3)
    Image.new("L", (9, 9)).save(root / "train" / "pink" / "a.png")
    with pytest.raises(DataError, match="same classes; pink"):
        read_folder(root, resolution=8, channels=3)
    (root / "train" / "pink" / "images").mkdir()
    with pytest.raises(DataError, match=r"images is a folder inside a class|same classes"):
        read_folder(root, resolution=8, channels=3)


def test_a_single_image_cannot_be_divided(tmp_path: Path):
    fill(tmp_path, count=1)
    with pytest.raises(DataError, match="two of every class are needed"):
        read_folder(tmp_path, resolution=8, channels=3)
