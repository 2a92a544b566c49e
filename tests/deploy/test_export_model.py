"""A network of somebody else's through every converter and precision, on real images, and what is wrong with some."""

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from android_labels import read_labels
from export_cases import Branching, HoldsFloat32, Other, TwoOutputs, Unsupported, other
from torch import nn

from deploy import evidence
from deploy.export_model import export_model
from deploy.interpreters import load_interpreter
from deploy.kinds import kinds_of
from deploy.layer_outputs import LayerComparison, layers_path
from deploy.manifest import ExportedFile, Normalisation, read_manifest
from deploy.subject import Subject
from deploy.tflite_network import float32_model
from deploy.tflite_schema import pack, read_operators, unpack
from deploy.tflite_tensors import ObservedFile
from pocketnas_base.artifact import PRECISIONS, RUNTIMES, Artifact, Precision, Runtime
from pocketnas_base.errors import ExportError, InputError
from search.data.dataset import ImageData
from search.data.load import load_data

MEAN_STD = Normalisation((72.9,), (90.0,))
NOBODY = 65534


@pytest.fixture(scope="module")
def data() -> ImageData:
    return load_data("fashion-mnist", resolution=28, channels=1, classes=10)


@pytest.fixture(scope="module")
def subject(data: ImageData) -> Subject:
    return Subject(
        name="other",
        network=other(),
        input_shape=(1, 28, 28),
        images=data.test_images[:200],
        labels=data.test_labels[:200],
        calibration=data.train_images[:32],
        normalisation=MEAN_STD,
        class_names=data.classes,
        weights_licence="Apache-2.0",
    )


@pytest.fixture(scope="module")
def in_training_mode(subject: Subject) -> Subject:
    """The subject, its network as one would leave it after training."""
    network = Other()
    network.load_state_dict(subject.network.state_dict())
    return replace(subject, network=network.train())


@pytest.fixture(scope="module")
def convert_once() -> Callable[..., bytes]:
    """The converter, for exports of the subject alone: it is asked once, and gives what it made then."""
    made: list[bytes] = []

    def convert(*arguments: Any) -> bytes:
        if not made:
            made.append(float32_model(*arguments))
        return made[0]

    return convert


@pytest.fixture(scope="module")
def exported(
    in_training_mode: Subject, convert_once: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[ExportedFile]]:
    folder = tmp_path_factory.mktemp("deploy")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("deploy.export_model.float32_model", convert_once)
        return folder, export_model(in_training_mode, folder, precisions=PRECISIONS)


@pytest.fixture
def converted_before(convert_once: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """An export takes the conversion that was made of the subject; the rest of it is as it is."""
    monkeypatch.setattr("deploy.export_model.float32_model", convert_once)


@pytest.fixture(scope="module")
def of_pixels(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[ExportedFile]]:
    folder = tmp_path_factory.mktemp("pixels")
    wanted = replace(subject, softmax=True, uint8_input=True)
    return folder, export_model(wanted, folder, precisions=("fp32", "fp16", "int8"))


def test_every_precision_of_both_runtimes_computes_what_torch_computes(
    exported: tuple[Path, list[ExportedFile]],
) -> None:
    folder, files = exported
    assert [(file.artifact.runtime, file.artifact.precision) for file in files] == kinds_of(RUNTIMES, PRECISIONS)
    snr = {(file.artifact.runtime, file.artifact.precision): file.parity.snr_db or np.inf for file in files}
    for runtime in RUNTIMES:
        assert snr[runtime, "fp32"] > 90
        assert snr[runtime, "fp16"] > 45
        assert 15 < snr[runtime, "int8"] < snr[runtime, "fp16"]
    assert 20 < snr["tflite", "int8-dynamic"] < snr["tflite", "fp16"]
    assert all(file.top5 is not None and file.labelled_images == 200 for file in files)
    assert read_manifest(folder) == files
    names = {file.artifact.path.name for file in files}
    layers = {f"{name}.layers.json" for name in names if name.endswith(".tflite")}
    assert {path.name for path in folder.iterdir()} == {"manifest.json", *names, *layers}


def test_int8_is_integer_from_end_to_end_and_fp16_half_as_large(exported: tuple[Path, list[ExportedFile]]) -> None:
    files = {(file.artifact.runtime, file.artifact.precision): file for file in exported[1]}
    operators = read_operators(files["tflite", "int8"].artifact.path.read_bytes())
    assert [operators[0].name, operators[-1].name] == ["QUANTIZE", "DEQUANTIZE"]
    model = unpack(files["tflite", "int8"].artifact.path.read_bytes())
    graph = model.subgraphs[0]
    floats = [tensor for tensor in graph.tensors if tensor.type == 0]
    assert len(floats) == 2  # the two ends
    convolution = next(o for o in graph.operators if graph.tensors[o.outputs[0]].shape.tolist() == [1, 14, 14, 16])
    assert len(graph.tensors[convolution.inputs[1]].quantization.scale) == 16


@pytest.mark.slow
def test_int8_ranges_are_those_that_relu6_leaves(subject: Subject, tmp_path: Path) -> None:
    """What a ReLU6 clips would otherwise take most of the 256 steps."""
    network = other()
    with torch.no_grad():
        for norm in (network.stem_norm, network.depthwise_norm):
            assert isinstance(norm, nn.BatchNorm2d)
            norm.weight.mul_(20)
    wide = replace(subject, network=network, labels=None)
    files = export_model(wide, tmp_path, precisions=("int8",))
    tflite, executorch = (file.parity.snr_db or 0.0 for file in files)
    assert executorch > tflite - 6


def test_labels_and_normalisation_are_inside_the_tflite_file(exported: tuple[Path, list[ExportedFile]]) -> None:
    for file in exported[1]:
        if file.artifact.runtime == "tflite":
            content = file.artifact.path.read_bytes()
            assert read_labels(content) == file.labels
            model = unpack(content)
            (entry,) = [entry for entry in model.metadata if entry.name == b"TFLITE_METADATA"]
            metadata = bytes(np.asarray(model.buffers[entry.buffer].data, np.uint8))
            assert metadata[4:8] == b"M001"
            assert np.float32(72.9).tobytes() in metadata
            assert b"Apache-2.0" in metadata


@pytest.mark.slow
def test_files_of_pixels_normalise_by_themselves_and_give_probabilities(
    subject: Subject, of_pixels: tuple[Path, list[ExportedFile]]
) -> None:
    pixels = subject.images[:20].numpy()
    with torch.inference_mode():
        expected = torch.softmax(subject.network(subject.prepared(subject.images[:20])), 1).numpy()
    for file in of_pixels[1]:
        assert file.input.dtype == "uint8"
        assert file.softmax
        found = load_interpreter(file.artifact)(pixels)
        assert found.sum(1) == pytest.approx(np.ones(20), abs=0.02)
        assert np.abs(found - expected).max() < {"fp32": 1e-5, "fp16": 1e-2, "int8": 0.05}[file.artifact.precision]
        with pytest.raises(ExportError, match="takes uint8 images"):
            load_interpreter(file.artifact)(pixels.astype(np.float32))


@pytest.mark.usefixtures("converted_before")
def test_a_second_export_makes_only_what_is_missing_or_different(
    subject: Subject, exported: tuple[Path, list[ExportedFile]], tmp_path: Path
) -> None:
    folder, files = exported
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "other_fp32.tflite").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("other_*")}
    export_model(subject, tmp_path, runtimes=["tflite"], precisions=("fp32",))
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("other_*")}
    assert after.pop("other_fp32.tflite")
    assert after.pop("other_fp32.tflite.layers.json") > before.pop("other_fp32.tflite.layers.json")
    assert after == before
    assert len(read_manifest(tmp_path)) == len(files)


class Doubled(Other):
    """The same weights in other code."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(images)


@pytest.mark.slow
def test_a_module_whose_code_changed_is_exported_again(
    subject: Subject, exported: tuple[Path, list[ExportedFile]], tmp_path: Path
) -> None:
    changed = Doubled()
    changed.load_state_dict(subject.network.state_dict())
    (before,) = [file for file in exported[1] if file.artifact.path.name == "other_fp32.pte"]
    for path in exported[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (made,) = export_model(
        replace(subject, network=changed.eval()), tmp_path, runtimes=["executorch"], precisions=("fp32",)
    )
    assert made.weights_sha256 == before.weights_sha256
    assert made.artifact.sha256 != before.artifact.sha256
    assert made.parity.passed


@pytest.mark.slow
def test_int8_of_ranges_that_do_not_fit_is_rejected_and_the_others_are_kept(subject: Subject, tmp_path: Path) -> None:
    dark = replace(subject, calibration=torch.zeros(4, 1, 28, 28, dtype=torch.uint8))
    (tmp_path / "other_int8.tflite").write_bytes(b"of an export whose manifest was lost")
    message = r"other_int8.tflite computes otherwise than torch.*dB asked for.*, first in .*stem \+ .*over 4 images\)"
    with pytest.raises(ExportError, match=message) as caught:
        export_model(dark, tmp_path, runtimes=["tflite"], precisions=("fp32", "int8"))
    assert "\n" not in str(caught.value)
    assert [file.artifact.path.name for file in read_manifest(tmp_path)] == ["other_fp32.tflite"]
    assert not (tmp_path / "other_int8.tflite").exists()
    assert (tmp_path / "other_int8.tflite.rejected").exists()
    assert json.loads((tmp_path / "other_int8.tflite.rejected.json").read_text())["passed"] is False
    assert not (tmp_path / "other_int8.tflite.layers.json").exists()
    layers = json.loads((tmp_path / "other_int8.tflite.rejected.layers.json").read_text())
    assert next(layer["layer"] for layer in layers["layers"] if not layer["passed"]) == layers["first_off"]


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Branching(), "decides by the numbers that it is given"),
        (TwoOutputs(), "gives 2 outputs where files hold one"),
    ],
    ids=["control flow", "two outputs"],
)
def test_what_a_file_cannot_hold_is_refused_before_anything_is_converted(
    subject: Subject, network: nn.Module, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        export_model(replace(subject, network=network.eval(), labels=None), tmp_path / "made")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "made").exists()


def test_a_refused_export_leaves_the_bundle_of_before_as_it_was(
    subject: Subject, exported: tuple[Path, list[ExportedFile]], tmp_path: Path
) -> None:
    for path in exported[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for refused in (
        replace(subject, network=Branching(), labels=None),
        replace(subject, labels=torch.full_like(subject.labels, 10)),
    ):
        with pytest.raises(InputError):
            export_model(refused, tmp_path, precisions=("fp32", "int8"))
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_is_stale_goes_with_its_entry_where_nothing_else_is_to_be_made(
    subject: Subject, exported: tuple[Path, list[ExportedFile]], tmp_path: Path
) -> None:
    for path in exported[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "other_fp16.pte").write_bytes(b"cut off")
    export_model(subject, tmp_path, precisions=("fp32",))
    assert not (tmp_path / "other_fp16.pte").exists()
    assert "other_fp16.pte" not in [file.artifact.path.name for file in read_manifest(tmp_path)]


@pytest.mark.parametrize(
    ("runtime", "message"),
    [
        ("tflite", "could not write the network as ONNX.*svd.*not supported"),
        pytest.param("executorch", "svd.*other.executorch.log", marks=pytest.mark.slow),
    ],
)
def test_an_operator_that_the_runtime_lacks_is_one_line(
    subject: Subject, runtime: Runtime, message: str, tmp_path: Path
) -> None:
    wanted = replace(subject, network=Unsupported(), labels=None, class_names=None)
    with pytest.raises(ExportError, match=message) as caught:
        export_model(wanted, tmp_path, runtimes=[runtime])
    assert "\n" not in str(caught.value)
    assert not [path.name for path in tmp_path.iterdir() if path.suffix not in (".json", ".log")]


@pytest.mark.slow
def test_where_one_converter_fails_the_other_runtime_s_files_are_made(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> bytes:
        raise ExportError("the converter does not know it")

    monkeypatch.setattr("deploy.export_model.float32_model", fails)
    asked = []
    with pytest.raises(ExportError, match=r"^tflite: the converter does not know it$"):
        export_model(subject, tmp_path, profiler=asked.append)
    (file,) = read_manifest(tmp_path)
    assert file.artifact.path.name == "other_fp32.pte"
    assert [artifact.path for artifact in asked] == [file.artifact.path], "it has its final name by then"
    assert file.outside_delegate is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before_stem", "message"),
    [
        (True, r"^executorch: fp16: torch.export cannot take the network: [^;]*$"),
        (False, r"^executorch: fp16: .*mismatched dtypes.*other.executorch.log$"),
    ],
    ids=["in torch.export", "in the lowering"],
)
def test_where_one_precision_cannot_be_converted_the_others_are(
    subject: Subject, before_stem: bool, message: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    wanted = replace(subject, network=HoldsFloat32(before_stem=before_stem).eval(), labels=None, class_names=None)
    with pytest.raises(ExportError, match=message) as caught:
        export_model(wanted, tmp_path, runtimes=["executorch"], precisions=("fp32", "fp16"))
    assert "\n" not in str(caught.value)
    (file,) = read_manifest(tmp_path)
    assert file.artifact.path.name == "other_fp32.pte"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(3, 1, 32, 32)}, r"takes images of \[1, 28, 28\], not \[3, 1, 32, 32\]"),
        ({"calibration": torch.zeros(3, 3, 28, 28)}, r"takes calibration images of \[1, 28, 28\]"),
        ({"calibration": torch.zeros(0, 1, 28, 28)}, "takes calibration images of"),
        ({"normalisation": None}, "say with mean and std"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, "cannot be checked with labels"),
        ({"normalisation": Normalisation((0.0,) * 3, (1.0,) * 3)}, "3 numbers for 1 channels"),
        ({"images": torch.zeros(3, 1, 28, 28), "labels": None, "uint8_input": True}, "checked on pixels"),
        ({"weights_licence": "MIT License\n\nCopyright"}, r"licence of the weights .* must be one line .*'MIT License"),
        ({"class_names": ("cat", "dog" * 2000)}, r"a label must be one line of at most 4096 .*\.\.\."),
        ({"name": "n" * 200}, "the network's name must be one line of at most 160 characters"),
    ],
)
def test_what_does_not_fit_the_network_or_its_manifest_is_one_line(
    subject: Subject, change: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        replace(subject, **change)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_int8_without_images_to_calibrate_with_is_refused(subject: Subject, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name some to calibrate with"):
        export_model(replace(subject, calibration=None), tmp_path, precisions=("int8",))
    with pytest.raises(InputError, match="executorch files are not exported in int8-dynamic"):
        export_model(subject, tmp_path, runtimes=["executorch"], precisions=("int8-dynamic",))
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("converted_before")
def test_an_export_that_is_interrupted_leaves_no_half_written_file(subject: Subject, tmp_path: Path) -> None:
    def interrupt(done: int, total: int, what: str) -> None:  # noqa: ARG001
        if what == "tflite in fp16":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_model(subject, tmp_path, runtimes=["tflite"], precisions=("fp32", "fp16"), progress=interrupt)
    made = {"manifest.json", "other_fp32.tflite", "other_fp32.tflite.layers.json"}
    assert {path.name for path in tmp_path.iterdir()} == made
    assert [file.artifact.precision for file in read_manifest(tmp_path)] == ["fp32"]


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to write everywhere, where the tests run as root. Not in a process of its own: Python itself
    may lie where nobody else can read it."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_converted(
    subject: Subject, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file cannot be made: File exists"):
        export_model(subject, tmp_path / "file", runtimes=["tflite"])  # has everything imported, too
    # Not under tmp_path, into which nobody else can look.
    with tempfile.TemporaryDirectory() as place:
        locked, free = Path(place) / "locked", Path(place) / "free"
        Path(place).chmod(0o755)
        locked.mkdir(mode=0o555)
        free.mkdir()
        free.chmod(0o777)
        with as_nobody():
            assert os.access(free, os.W_OK | os.X_OK), "what is refused is not just out of reach"
            with pytest.raises(InputError, match=r"locked cannot be written; name another folder"):
                export_model(subject, locked, runtimes=["tflite"])
            with pytest.raises(InputError, match=r"deeper cannot be made: Permission denied"):
                export_model(subject, locked / "deeper", runtimes=["tflite"])
        assert not list(locked.iterdir())


@pytest.mark.usefixtures("converted_before")
def test_an_accuracy_that_is_lost_rejects_a_file_whose_outputs_are_close(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    percents = iter([80.0, 50.0])  # torch's, then the file's
    monkeypatch.setattr(evidence, "top1_percent", lambda _outputs, _labels: next(percents))
    message = r"is right on 50.00 % of 200 images, torch on 80.00 %, though .* none of the \d+ layers compared is off;"
    with pytest.raises(ExportError, match=message):
        export_model(subject, tmp_path, runtimes=["tflite"])
    assert (tmp_path / "other_fp32.tflite.rejected").exists()


def test_a_module_in_training_mode_is_exported_as_it_evaluates_and_left_in_it(
    subject: Subject, in_training_mode: Subject, exported: tuple[Path, list[ExportedFile]]
) -> None:
    assert in_training_mode.network.training
    images = subject.images[:20]
    with torch.inference_mode():
        expected = subject.network(subject.prepared(images)).numpy()
    for file in exported[1]:
        if file.artifact.precision == "fp32":
            found = load_interpreter(file.artifact)(subject.prepared(images).numpy())
            assert np.abs(found - expected).max() < 1e-4


def test_layers_of_every_tflite_precision_are_held_against_torch(
    subject: Subject, exported: tuple[Path, list[ExportedFile]]
) -> None:
    least = {"fp32": 90, "fp16": 45, "int8": 15, "int8-dynamic": 20}
    for file in exported[1]:
        path = layers_path(file.artifact.path)
        assert path.exists() == (file.artifact.runtime == "tflite")
        if not path.exists():
            continue
        report = json.loads(path.read_text())
        layers = {layer["layer"]: layer for layer in report["layers"]}
        assert report["sha256"] == file.artifact.sha256
        assert report["first_off"] is report["problem"] is None
        assert report["compared"] == len(layers)
        assert layers["relu6"]["computes"][-3:] == ["stem", "stem_norm", "relu6"]
        assert layers["relu6"]["shape"] == [16, 14, 14]
        assert {"relu6#2", "gate", "sigmoid", "pointwise", "add", "head"} <= set(layers)
        assert all(layer["snr_db"] is None or layer["snr_db"] > least[report["precision"]] for layer in layers.values())
    with torch.inference_mode():
        expected = subject.network(subject.prepared(subject.images[:4])).abs().max()
    assert layers["head"]["output_scale"] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("known", [True, False], ids=["a sound conversion", "a conversion with the same mistake"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "int8-dynamic"])
@pytest.mark.parametrize(("broken", "named"), [(0, "relu6"), (1, "relu6#2"), (-1, "head")], ids=str)
def test_the_first_layer_whose_weights_are_wrong_is_named(
    subject: Subject,
    exported: tuple[Path, list[ExportedFile]],
    tmp_path: Path,
    broken: int,
    named: str,
    precision: Precision,
    known: bool,
) -> None:
    contents = {
        file.artifact.precision: file.artifact.path.read_bytes()
        for file in exported[1]
        if file.artifact.runtime == "tflite"
    }
    path = tmp_path / "broken.tflite"
    path.write_bytes(with_wrong_weights(contents[precision], broken))
    float32 = contents["fp32"] if known else with_wrong_weights(contents["fp32"], broken)
    report = LayerComparison(subject, float32).of_file(Artifact.of_file(path, precision))
    assert report.first_off is not None
    assert report.first_off.layer == named
    assert named in report.describe()
    before = report.compared[: report.compared.index(report.first_off)]
    assert all(output.parity.snr_db is None or output.parity.snr_db > 15 for output in before)


def with_wrong_weights(content: bytes, which: int) -> bytes:
    """A model, one of its convolutions and linear layers with its weights in reverse order."""
    model = unpack(content)
    graph = model.subgraphs[0]
    kinds = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    numbers = [number for number, operator in enumerate(read_operators(content)) if operator.name in kinds]
    widened = int(graph.operators[numbers[which]].inputs[1])
    weight = graph.tensors[widened]
    if model.buffers[weight.buffer].data is None:  # float16, which an operator widens
        (source,) = next(operator.inputs for operator in graph.operators if widened in operator.outputs.tolist())
        weight = graph.tensors[source]
    buffer = model.buffers[weight.buffer]
    size = {0: 4, 1: 2, 9: 1}[weight.type]
    buffer.data = np.asarray(buffer.data, np.uint8).reshape(-1, size)[::-1].reshape(-1)
    return pack(model)


def test_a_file_that_only_a_delegate_can_run_is_not_compared(
    subject: Subject, exported: tuple[Path, list[ExportedFile]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(_self: ObservedFile, _image: object) -> None:
        raise ExportError("an operator without a kernel")

    monkeypatch.setattr(ObservedFile, "run", cannot)
    artifact = exported[1][0].artifact
    report = LayerComparison(subject, artifact.path.read_bytes()).of_file(artifact)
    assert (report.compared, report.problem, report.describe()) == ((), "an operator without a kernel", "")
