"""Images from a function of the user's own: real digits in every layout, and one clear line for what does not fit."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mapped_files import mapped_file_of

from pocketnas_base.errors import DataError, InputError
from search.data.load import load_data

MODULE = """
import numpy as np
import torch
from sklearn.datasets import load_digits

digits = load_digits()
images = (digits.images * 15).astype(np.uint8)
labels = digits.target
texts = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])[labels]
train, test = slice(0, 1500), slice(1500, None)

def grey(*, resolution, channels):
    return {"train_images": images[train], "train_labels": labels[train],
            "test_images": images[test], "test_labels": labels[test]}

def last(**form):
    both = grey(**form)
    for part in ("train_images", "test_images"):
        both[part] = np.repeat(both[part][..., None], 3, axis=3)
    return both

def first(**form):
    both = grey(**form)
    for part in ("train_images", "test_images"):
        both[part] = torch.from_numpy(both[part])[:, None]
    for part in ("train_labels", "test_labels"):
        both[part] = torch.from_numpy(both[part]).to(torch.int32)
    return both

def mapped(*, resolution, channels):
    np.save("images.npy", images[:, None])
    return {"train_images": np.load("images.npy", mmap_mode="r"), "train_labels": labels,
            "test_images": images, "test_labels": labels}

def alone(**_):
    return {"train_images": images, "train_labels": labels.tolist()}

def named(**_):
    return {"train_images": images, "train_labels": texts}

def mirrored(**_):
    return {"train_images": np.repeat(images[..., None], 3, axis=3)[:, :, ::-1, ::-1], "train_labels": labels}

def of_a_frame(**_):
    return {"train_images": images, "train_labels": texts.astype(object)}

def with_classes(**_):
    return {"train_images": images, "train_labels": labels, "classes": [f"digit {n}" for n in range(10)]}

def form(*, resolution, channels):
    raise RuntimeError(f"{resolution} {channels}")

def make(**changes):
    def function(**form):
        made = grey(**form) | changes
        return {name: value for name, value in made.items() if value is not None}
    return function

nothing = lambda **_: None
no_labels = make(train_labels=None)
misspelt = make(train_label=labels)
half = make(test_labels=None)
floats = make(train_images=images[train] / 255)
lists = make(train_images=[1, 2, 3])
flat = make(train_images=images[train].reshape(1500, 64))
oblong = make(train_images=images[train][:, :4])
two_channels = make(train_images=np.repeat(images[train][..., None], 2, axis=3))
none_at_all = make(train_images=images[:0], train_labels=labels[:0])
short = make(train_labels=labels[:200])
short_alone = lambda **_: {"train_images": images, "train_labels": labels[:9]}
float_labels = make(train_labels=labels[train] / 2)
matrix_labels = make(train_labels=np.eye(10, dtype=int)[labels[train]])
ragged_labels = make(train_labels=[[1], [2, 3]])
negative = make(train_labels=labels[train] - 1)
huge = make(train_labels=labels[train] + 10**9)
unseen = make(test_labels=labels[test] + 1)
texts_and_numbers = make(train_labels=texts[train])
bad_classes = make(classes=["a", "a"])
few_classes = make(classes=["a", "b"])
number_classes = make(classes=[1, 2])
lonely = lambda **_: {"train_images": images[:11], "train_labels": list(range(11)), }
"""


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module of the user's own in the working directory."""
    pytest.importorskip("sklearn")
    name = f"digits_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


@pytest.mark.parametrize("function", ["grey", "last", "first"])
@pytest.mark.parametrize(("resolution", "channels"), [(8, 1), (8, 3), (16, 1)])
def test_every_layout_gives_the_same_images(digits: str, function: str, resolution: int, channels: int) -> None:
    data = load_data(f"{digits}:{function}", resolution=resolution, channels=channels, classes=10)
    reference = load_data(f"{digits}:grey", resolution=resolution, channels=channels)
    assert data.train_images.shape == (1500, channels, resolution, resolution)
    assert data.test_images.shape == (297, channels, resolution, resolution)
    assert torch.equal(data.train_images, reference.train_images)
    assert torch.equal(data.test_labels, reference.test_labels)
    assert data.classes == tuple("0123456789")
    assert data.fingerprint == reference.fingerprint
    assert (data.name, data.source) == (function, f"{digits}:{function}")


def test_mapped_arrays_stay_on_disk(digits: str, tmp_path: Path) -> None:
    data = load_data(f"{digits}:mapped", resolution=8, channels=1)
    assert mapped_file_of(data.train_images) == str(tmp_path / "images.npy")
    assert np.array_equal(data.train_images[:, 0].numpy(), np.load(tmp_path / "images.npy")[:, 0])


def test_without_test_images_a_fifth_of_every_class_is_drawn(digits: str) -> None:
    data = load_data(f"{digits}:alone", resolution=8, channels=1)
    everything = torch.bincount(torch.cat([data.train_labels, data.test_labels]))
    shares = torch.bincount(data.test_labels) / everything
    assert len(data.train_labels) + len(data.test_labels) == 1797
    assert bool((shares - 0.2).abs().max() < 0.01)
    assert "drawn as test images" in data.source


def test_labels_may_be_texts_and_classes_may_have_names(digits: str) -> None:
    named = load_data(f"{digits}:named", resolution=8, channels=1)
    alone = load_data(f"{digits}:alone", resolution=8, channels=1)
    numbers = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    assert named.classes == tuple(sorted(numbers))
    places = torch.tensor([named.classes.index(name) for name in numbers])
    assert torch.equal(torch.bincount(named.train_labels)[places], torch.bincount(alone.train_labels))
    assert load_data(f"{digits}:with_classes", resolution=8, channels=1).classes[3] == "digit 3"


def test_texts_may_be_objects_as_a_data_frame_keeps_them(digits: str) -> None:
    plain, objects = (load_data(f"{digits}:{name}", resolution=8, channels=1) for name in ("named", "of_a_frame"))
    assert objects.fingerprint == plain.fingerprint


def test_arrays_with_mirrored_axes_are_read_as_they_show(digits: str) -> None:
    """As an image of BGR becomes one of RGB in NumPy."""
    plain, mirrored = (load_data(f"{digits}:{name}", resolution=8, channels=3) for name in ("alone", "mirrored"))
    assert torch.equal(mirrored.train_images, plain.train_images.flip(3))


def test_the_function_is_told_the_form_that_is_wanted(digits: str) -> None:
    with pytest.raises(InputError, match=r"data .*:form failed: RuntimeError: 28 3 \(.*\.py, line \d+\)"):
        load_data(f"{digits}:form", resolution=28, channels=3)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("nothing", "returned a NoneType; it must return a mapping with train_images and train_labels, and may have"),
        ("no_labels", "returned a mapping that has no train_labels; it must have train_images and"),
        ("misspelt", "returned a mapping that has 'train_label'; it must have"),
        ("half", "returned one of test_images and test_labels; give both or neither"),
        ("floats", "train_images must be an array or a tensor of uint8, from 0 to 255, not float64"),
        ("lists", "train_images must be an array or a tensor of uint8, from 0 to 255, not list"),
        ("flat", r"train_images must be square, .* with C 1 or 3, not \[1500, 64\]"),
        ("oblong", r"train_images must be square, .* not \[1500, 4, 8\]"),
        ("two_channels", r"train_images must be square, .* not \[1500, 8, 8, 2\]"),
        ("none_at_all", r"train_labels must be whole numbers or texts \[N\], not int64 \[0\]"),
        ("short", "1500 train images need as many int64 labels"),
        ("short_alone", "1797 train_images need as many train_labels, not 9"),
        ("float_labels", r"train_labels must be whole numbers or texts \[N\], not float64 \[1500\]"),
        ("matrix_labels", r"train_labels must be whole numbers or texts \[N\], not int64 \[1500, 10\]"),
        ("ragged_labels", "train_labels are no list of labels"),
        ("negative", "train_labels must lie within 0 and 8, the 9 classes; they go from -1 to 8"),
        ("huge", "train_labels go up to 1000000009; whole numbers from 0 to 65535 are read"),
        ("unseen", "test_labels must lie within 0 and 9, the 10 classes; they go from 1 to 10"),
        ("bad_classes", "classes must be different names"),
        ("few_classes", "train_labels must lie within 0 and 1, the 2 classes; they go from 0 to 9"),
        ("number_classes", "classes must be a list of names"),
        ("lonely", "class 0 has 1 images; where a data set has no test images of its own, two"),
        ("absent", "has no absent"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(digits: str, function: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_data(f"{digits}:{function}", resolution=8, channels=1)
    assert len(str(caught.value).splitlines()) == 1


def test_a_wrong_number_of_classes_is_refused(digits: str) -> None:
    with pytest.raises(DataError, match="has 10 classes where 3 are asked for"):
        load_data(f"{digits}:grey", resolution=8, channels=1, classes=3)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "json:mine",
            r"module json has no mine; json is .*json/__init__.py, so a module of your own in .* needs another",
        ),
        ("json.mine:data", r"no module json.mine in .* packages; json is .*json/__init__.py, so a module of your own"),
        (
            "sys:mine",
            "module sys has no mine; sys is built into Python, so a module of your own in .* needs another name",
        ),
        ("of_my_own:mine", "module of_my_own has no mine$"),
    ],
)
def test_a_name_that_another_module_has_already_is_named(
    spec: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "json").mkdir()
    for name in ("json/mine.py", "json.py", "sys.py", "of_my_own.py"):
        (tmp_path / name).write_text("def data(): pass\n")
    with pytest.raises(InputError, match=message):
        load_data(spec, resolution=8, channels=1)
