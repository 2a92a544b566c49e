"""`pocketnas export` of any network, as a user calls it; what is wrong is one line, and leaves no file."""

import contextlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import Done, program, refused
from safetensors.torch import save_file
from tiny_search import SPACE

from deploy.export import load_exported
from deploy.fingerprint import architecture_sha256, weights_sha256
from deploy.manifest import OutsideDelegate
from deploy.samples import network_sample
from deploy.tflite_onnx import convert_by_onnx2tf
from pocketnas_base.errors import MissingDependencyError
from search.architecture import assemble
from search.data.load import load_data
from search.network import save_weights

ROOT = Path(__file__).resolve().parents[2]
CASES = "export_cases"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the user stands: the module, images as folders of classes and as arrays, and weights."""
    place = tmp_path_factory.mktemp("user")
    (place / f"{CASES}.py").write_bytes((ROOT / "tests" / "deploy" / f"{CASES}.py").read_bytes())
    data = load_data("fashion-mnist", resolution=28, channels=1, classes=10)
    np.save(place / "pixels.npy", data.test_images[:64].numpy())
    np.save(place / "prepared.npy", (data.test_images[:64].numpy().astype(np.float32) - 72.9) / 90.0)
    np.save(place / "larger.npy", np.zeros((4, 1, 32, 32), np.uint8))
    (place / "empty").mkdir()
    (place / "labels.txt").write_text("".join(f"{name}\n" for name in data.classes))
    (place / "nine.txt").write_text("".join(f"{name}\n" for name in data.classes[:9]))
    torch.manual_seed(1)
    save_file({"weight": torch.zeros(3)}, place / "foreign.safetensors")
    (place / "pickle.pth").write_bytes(b"\x80\x04.")
    return place


def export(folder: Path, *words: object, model: str = f"{CASES}:other") -> Done:
    with contextlib.chdir(folder):
        return program("export", "--model", model, "--input", "1x28x28", *map(str, words))


PIXELS = ("--test-images", "pixels.npy", "--mean", "72.9", "--std", "90")


def test_a_module_becomes_files_and_a_bundle_and_what_xnnpack_does_not_take_is_named(folder: Path) -> None:
    words = (
        *PIXELS, "--calibration-images", "pixels.npy", "--precision", "fp32,int8", "--runtime", "tflite",
        "--labels", "labels.txt", "--out", "made",
    )  # fmt: skip
    done = export(folder, *words, "--json", model=f"{CASES}:sums")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert [entry["precision"] for entry in printed] == ["fp32", "int8"]
    files = load_exported(folder / "made")
    assert [str(file.artifact.path.relative_to(folder)) for file in files] == [entry["file"] for entry in printed]
    assert files[0].labels == tuple((folder / "labels.txt").read_text().splitlines())
    assert (folder / "made" / "MODEL_CARD.md").exists()
    for file, entry in zip(files, printed, strict=True):
        (outside,) = [one for one in entry["outside_delegate"] if one["operator"].upper() == "CUMSUM"]
        assert outside["count"] == 1
        assert outside["percent_of_time"] > 0
        assert OutsideDelegate(**outside) in (file.outside_delegate or ())
    again = export(folder, *words, model=f"{CASES}:sums")
    share = f"{outside['percent_of_time']:.1f} % of the time here"
    assert f"sums_int8.tflite: 1 x {outside['operator']} outside the delegate, {share}" in again.stdout


@pytest.fixture(scope="module")
def partly(folder: Path) -> Done:
    """An export of which one file passes, and whose runner cannot be built."""
    (folder / "partly" / "kotlin").mkdir(parents=True)
    (folder / "partly" / "kotlin" / "TfliteClassifier.kt").write_text("of an older export")
    strict_ones: list[bool] = []

    def noted(*arguments: Any, strict: bool) -> bytes:
        strict_ones.append(strict)
        return convert_by_onnx2tf(*arguments, strict=strict)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pocketnas.outside_delegate.open_device", without_compiler)
        patched.setattr("deploy.tflite_network.convert_by_onnx2tf", noted)
        done = export(folder, *PIXELS, "--out", "partly", model=f"{CASES}:select_tf")
    assert strict_ones == [False], "a second conversion would need the same operator"
    return done


def without_compiler(_: str) -> object:
    raise MissingDependencyError("a C++ compiler is not installed")


def test_a_file_that_needs_tensorflow_is_rejected_by_the_name_of_its_operator(folder: Path, partly: Done) -> None:
    assert partly.returncode == 1
    assert "select_tf_fp32.tflite needs a select-TF operator, FlexAtan, which" in partly.stderr.splitlines()[-1]
    report = json.loads((folder / "partly" / "select_tf_fp32.tflite.rejected.json").read_text())
    assert report["passed"] is False
    assert "FlexAtan" in report["problems"][0]


def test_the_bundle_of_a_partly_failed_export_is_that_of_the_files_that_passed(folder: Path, partly: Done) -> None:
    assert partly.returncode == 1
    (file,) = load_exported(folder / "partly")
    assert file.artifact.path.name == "select_tf_fp32.pte"
    assert "select_tf_fp32.pte" in (folder / "partly" / "MODEL_CARD.md").read_text()
    kotlin = sorted(path.name for path in (folder / "partly" / "kotlin").iterdir())
    assert kotlin == ["ExecutorchClassifier.kt", "build.gradle.kts"]


def test_a_profile_that_cannot_be_had_costs_no_file(folder: Path, partly: Done) -> None:
    warned = [line for line in partly.stderr.splitlines() if line.startswith("warning: ")]
    assert warned == [
        "warning: select_tf_fp32.pte: what its delegate leaves to slower kernels is not known: "
        "a C++ compiler is not installed"
    ]
    (file,) = load_exported(folder / "partly")
    assert file.outside_delegate is None
    assert "run on slower kernels is not known" in (folder / "partly" / "MODEL_CARD.md").read_text()


def test_an_architecture_of_ours_is_exported_with_its_weights(folder: Path) -> None:
    architecture = assemble(SPACE, [0, 1, 1, 0], "found")
    network = network_sample(architecture, 3)
    architecture.save(folder / "found.json")
    save_weights(network.state_dict(), folder / "found.safetensors", {})
    words = ("export", "-a", "found.json", *PIXELS, "--runtime", "executorch", "--out", "found", "--no-profile")
    with contextlib.chdir(folder):
        done = program(*words, "--weights", "found.safetensors")
        without = refused(*words)
        sized = refused(*words, "--weights", "found.safetensors", "--input", "1x28x28")
        foreign = refused(*words, "--weights", "foreign.safetensors")
    assert done.returncode == 0, done.stderr
    (file,) = load_exported(folder / "found")
    assert (file.name, file.input.shape, file.parity.passed) == ("found", (1, 1, 28, 28), True)
    assert file.architecture_sha256 == architecture_sha256(architecture)
    assert file.weights_sha256 == weights_sha256(network)
    assert file.outside_delegate is None, "nobody looked"
    assert "an architecture is exported with its weights: name them with --weights" in without
    assert "an architecture knows its own input; leave --input out" in sized
    assert "foreign.safetensors do not fit architecture found" in foreign


@pytest.mark.skipif(find_spec("litert_torch") is None, reason="litert-torch is not installed (extra litert-torch)")
def test_the_other_converter_makes_verified_files_too(folder: Path) -> None:
    done = export(
        folder, *PIXELS, "--calibration-images", "pixels.npy", "--precision", "fp32,int8", "--runtime", "tflite",
        "--converter", "litert-torch", "--no-profile", "--out", "by-litert-torch",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    files = load_exported(folder / "by-litert-torch")
    assert [file.artifact.precision for file in files] == ["fp32", "int8"]
    assert all("litert-torch" in file.exporter for file in files)


@pytest.mark.parametrize(
    ("model", "words", "message"),
    [
        ("nowhere:net", PIXELS, "there is no module nowhere"),
        (f"{CASES}:none", PIXELS, "has no none"),
        (f"{CASES}:no_module", PIXELS, "returned a str; it must return a torch.nn.Module"),
        (f"{CASES}:branching", PIXELS, "decides by the numbers that it is given"),
        (f"{CASES}:two_outputs", PIXELS, "gives a tuple of 2; files hold one output, a tensor of [N, ...]"),
        (f"{CASES}:named_outputs", PIXELS, "gives a dict of 1; files hold one output"),
        (f"{CASES}:of_one_image", PIXELS, "gives [1, 10] for two images; files hold one output of [N, ...]"),
        (f"{CASES}:whole_numbers", PIXELS, "gives int64; files hold an output of float32"),
        (f"{CASES}:takes_two", PIXELS, "missing 1 required positional argument: 'input2'"),
        (f"{CASES}:other", ("--test-images", "pixels.npy"), "say with mean and std"),
        (f"{CASES}:other", ("--test-images", "larger.npy"), "holds [4, 1, 32, 32]; the network takes [N, 1, 28, 28]"),
        (f"{CASES}:other", ("--test-images", "empty"), "empty holds no images"),
        (f"{CASES}:other", ("--test-images", "nothing"), "unknown data 'nothing'"),
        (f"{CASES}:other", (), "name some with --test-images"),
        (f"{CASES}:other", (*PIXELS, "--precision", "int8"), "name some with --calibration-images"),
        (f"{CASES}:other", (*PIXELS, "--precision", "int4"), "--precision 'int4': known are fp32, fp16"),
        (f"{CASES}:other", (*PIXELS, "--weights", "foreign.safetensors"), "foreign.safetensors do not fit model"),
        (f"{CASES}:other", (*PIXELS, "--weights", "pickle.pth"), "give a .safetensors file"),
        (f"{CASES}:other", (*PIXELS, "--labels", "nine.txt"), "9 labels were given for a network of 10 outputs"),
        (f"{CASES}:other", (*PIXELS, "--input", "28x28"), "--input 28x28: give CHANNELSxHEIGHTxWIDTH"),
        (f"{CASES}:other", (*PIXELS, "--input", "3x28x28"), "cannot be run on two images, [2, 3, 28, 28]"),
        (f"{CASES}:other", (*PIXELS, "--std", "0"), "must be above 0"),
        (f"{CASES}:other", (*PIXELS[:2], "--mean", "0.286", "--std", "0.353"), "--mean 72.93 --std 90.02"),
        (
            f"{CASES}:other",
            ("--test-images", "prepared.npy", "--uint8-input"),
            "files that take pixels are checked on pixels",
        ),
        (f"{CASES}:other", (*PIXELS, "--converter", "litert"), "--converter 'litert': known are onnx2tf, litert-torch"),
        (f"{CASES}:other", (*PIXELS, "--out", "labels.txt"), "labels.txt cannot be made: File exists"),
        (f"{CASES}:other", (*PIXELS, "-a", "proxyless-mobile"), "name what to export"),
        (f"{CASES}:unsupported", PIXELS, "torch could not write the network as ONNX"),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_no_file(
    folder: Path, model: str, words: tuple[str, ...], message: str
) -> None:
    done = export(folder, *words, *(() if "--out" in words else ("--out", "refused")), model=model)
    # What the user gave was in order; a converter could not do it.
    assert done.returncode == (1 if model.endswith(":unsupported") else 2), done.stderr
    lines = done.stderr.strip().splitlines()
    assert message in lines[-1]
    assert lines[-1].startswith("pocketnas: ")
    assert "Traceback" not in done.stderr
    assert not list((folder / "refused").glob("*_fp32*"))
    if model.endswith(":unsupported"):
        assert "; executorch: " in lines[-1], "the other runtime is tried too"
