"""Parquet files of images: the published layouts, and what is wrong with others."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from pocketnas_base.errors import DataError
from search.data.load import load_data
from search.data.parquet import read_parquet

CIFAR10 = Path(__file__).parents[3] / "shared" / "data" / "cifar10"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("POCKETNAS_CACHE", str(folder))
    return folder


def encoded(value: int, size: int = 10) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((size, size, 3), value, dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def write(
    path: Path,
    labels: list[object],
    *,
    column: str = "img",
    struct: bool = True,
    folders: bool = False,
    names: list[str] | None = None,
    spoil: dict[int, bytes | None] | None = None,
) -> Path:
    """A file whose image in row i is grey of value i."""
    images = [(spoil or {}).get(row, encoded(row)) for row in range(len(labels))]
    if struct:
        paths = [f"kind{label}/{row}.png" if folders else None for row, label in enumerate(labels)]
        column_data = pa.array(
            [{"bytes": image, "path": place} for image, place in zip(images, paths, strict=True)],
            type=pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        )
    else:
        column_data = pa.array(images, type=pa.binary())
    table = pa.table({column: column_data, "label": pa.array(labels)})
    if names:
        about = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(about)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=4)
    return path


@pytest.mark.parametrize("struct", [True, False])
@pytest.mark.parametrize("column", ["img", "image"])
def test_both_layouts_and_both_column_names_are_read(tmp_path: Path, column: str, struct: bool):
    write(tmp_path / "train.parquet", [0, 1, 2, 0, 1, 2], column=column, struct=struct)
    write(tmp_path / "test.parquet", [2, 1, 0], column=column, struct=struct)
    data = read_parquet(tmp_path, resolution=8, channels=3)
    assert data.train_images[:, 0, 4, 4].tolist() == [0, 1, 2, 3, 4, 5]
    assert data.train_labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert data.test_labels.tolist() == [2, 1, 0]
    assert data.classes == ("0", "1", "2")


def test_shards_in_a_data_folder_are_read_in_order(tmp_path: Path):
    for shard in range(3):
        write(tmp_path / "data" / f"train-{shard:05}-of-00003.parquet", [shard % 2, (shard + 1) % 2])
    write(tmp_path / "data" / "validation-00000-of-00001.parquet", [0, 1])
    data = load_data(str(tmp_path), resolution=8, channels=1, classes=2)
    assert data.train_labels.tolist() == [0, 1, 1, 0, 0, 1]
    assert len(data.test_images) == 2


def test_class_names_come_from_the_metadata_before_the_paths(tmp_path: Path):
    labels = [0, 1] * 5
    assert read_parquet(write(tmp_path / "a.parquet", labels, folders=True), resolution=8, channels=1).classes == (
        "kind0",
        "kind1",
    )
    named = write(tmp_path / "b.parquet", labels, folders=True, names=["cat", "dog"])
    assert read_parquet(named, resolution=8, channels=1).classes == ("cat", "dog")
    text = write(tmp_path / "c.parquet", ["owl", "bee"] * 5)
    data = read_parquet(text, resolution=8, channels=1)
    assert data.classes == ("bee", "owl")


def test_one_file_is_divided_class_by_class(tmp_path: Path):
    path = write(tmp_path / "all.parquet", [0] * 10 + [1] * 20)
    data = load_data(str(path), resolution=8, channels=1)
    assert torch.bincount(data.test_labels).tolist() == [2, 4]
    assert data.name == "all"
    # The image of row i is grey of value i.
    for images, labels in ((data.train_images, data.train_labels), (data.test_images, data.test_labels)):
        rows = images[:, 0, 0, 0].tolist()
        assert rows == sorted(rows)
        assert [int(row >= 10) for row in rows] == labels.tolist()


def test_the_second_reading_comes_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path / "all.parquet", [0, 1] * 5)
    first = read_parquet(path, resolution=8, channels=1)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("search.data.parquet.decode_images", refuse)
    assert read_parquet(path, resolution=8, channels=1).fingerprint == first.fingerprint


@pytest.mark.parametrize("bad", [b"not an image", encoded(5)[:30], None, b""])
def test_a_bad_image_is_named_by_file_and_row(tmp_path: Path, bad: bytes | None):
    path = write(tmp_path / "all.parquet", [0, 1] * 5, spoil={7: bad})
    with pytest.raises(DataError, match=r"all\.parquet row 7"):
        read_parquet(path, resolution=8, channels=1)


@pytest.mark.parametrize(
    ("labels", "names", "complaint"),
    [
        ([0, 1, -1, 0, 1], None, "row 2: label -1"),
        ([0, 1, 5, 0, 1], ["a", "b"], "row 2: label 5"),
        ([0, None, 1, 0, 1], None, "row 1 has no label"),
        ([0.5, 1.0], None, "whole numbers or text"),
        ([0, 0, 3, 3], None, "class 1 has 0 images"),
        ([0, 10**9, 0], None, "too large"),
        ([], None, "whole numbers or text|no images|no training"),
    ],
)
def test_bad_labels_are_refused(tmp_path: Path, labels: list[object], names: list[str] | None, complaint: str):
    path = write(tmp_path / "all.parquet", labels, names=names)
    with pytest.raises(DataError, match=complaint):
        read_parquet(path, resolution=8, channels=1)


def test_other_files_are_refused_by_name(tmp_path: Path):
    broken = tmp_path / "broken.parquet"
    for content in (b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"):
        broken.write_bytes(content)
        with pytest.raises(DataError, match=r"broken\.parquet is not a whole Parquet file") as caught:
            read_parquet(broken, resolution=8, channels=1)
        assert "\n" not in str(caught.value)
    pq.write_table(pa.table({"picture": [b"x"], "label": [0]}), broken)
    with pytest.raises(DataError, match="needs the columns img or image and label; it has picture, label"):
        read_parquet(broken, resolution=8, channels=1)
    pq.write_table(pa.table({"img": ["x"], "label": [0]}), broken)
    with pytest.raises(DataError, match="must hold encoded bytes"):
        read_parquet(broken, resolution=8, channels=1)


def test_a_file_damaged_in_the_middle_is_named(tmp_path: Path):
    path = write(tmp_path / "all.parquet", [0, 1] * 50)
    content = bytearray(path.read_bytes())
    content[40:4000] = bytes(len(content[40:4000]))
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"all\.parquet"):
        read_parquet(path, resolution=8, channels=1)


def test_a_column_s_name_that_is_no_text_is_one_line(tmp_path: Path):
    path = write(tmp_path / "all.parquet", [0, 1] * 50)
    path.write_bytes(path.read_bytes().replace(b"label", b"l\xffbel"))
    with pytest.raises(DataError, match=r"all\.parquet is not a whole Parquet file: 'utf-8' codec") as caught:
        read_parquet(path, resolution=8, channels=1)
    assert "\n" not in str(caught.value)


def test_cifar10_is_read_as_published():
    if not CIFAR10.is_dir():
        pytest.skip("../shared/data/cifar10 is not there")
    data = load_data(str(CIFAR10 / "test.parquet"), resolution=32, channels=3, classes=10)
    assert data.classes[0] == "airplane"
    assert data.classes[9] == "truck"
    assert torch.bincount(torch.cat([data.train_labels, data.test_labels])).tolist() == [1000] * 10
    assert data.mean == pytest.approx((0.494, 0.485, 0.450), abs=0.01)
