"""A whole network through both real exporters, verified on real images."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from deploy import export_model
from deploy.accuracy import outputs_of, torch_model
from deploy.export import export_network, export_untrained, load_exported
from deploy.interpreters import load_interpreter
from deploy.manifest import ExportedFile
from deploy.samples import network_sample
from deploy.tflite_schema import read_operators
from pocketnas_base.errors import ExportError, InputError
from search.architecture import Architecture, assemble
from search.data.batches import normalisation_of
from search.data.load import load_data
from search.space import load_space


@pytest.fixture(scope="module")
def architecture() -> Architecture:
    # Every kernel, both expansions, Zero, and strides.
    return assemble(load_space("demo"), [2, 6, 1, 5, 0, 1, 3, 6], "small")


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    data = load_data("fashion-mnist", resolution=28, channels=1, classes=10)
    return normalisation_of(data)(data.test_images[:200])


@pytest.fixture(scope="module")
def exported(
    architecture: Architecture, images: torch.Tensor, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[ExportedFile]]:
    folder = tmp_path_factory.mktemp("deploy")
    network = network_sample(architecture, 0)
    labels = torch.arange(len(images)) % 10
    return folder, export_network(network, architecture, folder, images=images, labels=labels)


def test_both_files_agree_with_torch_on_every_image(exported: tuple[Path, list[ExportedFile]]) -> None:
    folder, files = exported
    assert [file.artifact.runtime for file in files] == ["tflite", "executorch"]
    for file in files:
        assert file.parity.images == 200
        assert file.parity.relative_error is not None
        assert file.parity.relative_error < 1e-4
        assert file.top1 == pytest.approx(file.torch_top1, abs=0.1)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {entry["file"] for entry in manifest["files"]} == {"small_fp32.tflite", "small_fp32.pte"}
    assert [path.name for path in folder.iterdir() if "rejected" in path.name or path.name.startswith(".")] == []


def test_the_converter_and_the_schema_writer_make_the_same_model(
    architecture: Architecture, images: torch.Tensor, exported: tuple[Path, list[ExportedFile]], tmp_path: Path
) -> None:
    """Tables are made of schema-written operators, the final net comes from onnx2tf: both must run the same kernels."""
    converted = exported[1][0].artifact
    written = export_untrained(architecture, tmp_path, runtime="tflite", seed=0)
    assert read_operators(written.path.read_bytes()) == read_operators(converted.path.read_bytes())
    batch = images[:50].contiguous().numpy()
    ours, theirs = load_interpreter(written)(batch), load_interpreter(converted)(batch)
    assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()


def test_an_untrained_pte_is_the_exporters_own_file(
    architecture: Architecture, exported: tuple[Path, list[ExportedFile]], tmp_path: Path
) -> None:
    written = export_untrained(architecture, tmp_path, runtime="executorch", seed=0)
    assert written.path.read_bytes() == exported[1][1].artifact.path.read_bytes()


def test_a_second_export_leaves_valid_files_alone(
    architecture: Architecture, images: torch.Tensor, exported: tuple[Path, list[ExportedFile]]
) -> None:
    folder, files = exported
    before = {file.artifact.path: file.artifact.path.stat().st_mtime_ns for file in files}
    labels = torch.arange(len(images)) % 10
    again = export_network(network_sample(architecture, 0), architecture, folder, images=images, labels=labels)
    assert again == files
    assert {file.artifact.path: file.artifact.path.stat().st_mtime_ns for file in again} == before


def test_a_changed_file_is_not_taken_for_the_exported_one(
    exported: tuple[Path, list[ExportedFile]], tmp_path: Path
) -> None:
    folder, _ = exported
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert len(load_exported(tmp_path)) == 2
    (tmp_path / "small_fp32.pte").write_bytes(b"something else")
    with pytest.raises(InputError, match="export again"):
        load_exported(tmp_path)


def test_a_file_that_computes_otherwise_is_rejected_and_kept_with_its_report(
    architecture: Architecture,
    images: torch.Tensor,
    exported: tuple[Path, list[ExportedFile]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of_another = (exported[0] / "small_fp32.pte").read_bytes()

    def convert(_subject: object, paths: dict[str, Path], _log: Path, finished: Callable[[str], None]) -> None:
        paths["fp32"].write_bytes(of_another)
        finished("fp32")

    monkeypatch.setattr(export_model, "convert_to_pte", convert)
    with pytest.raises(ExportError, match="computes otherwise than torch"):
        export_network(network_sample(architecture, 1), architecture, tmp_path, images=images, runtimes=["executorch"])
    assert not (tmp_path / "small_fp32.pte").exists()
    assert (tmp_path / "small_fp32.pte.rejected").exists()
    assert json.loads((tmp_path / "small_fp32.pte.rejected.json").read_text())["passed"] is False


@pytest.mark.slow
def test_a_damaged_manifest_is_reported_and_written_anew_by_the_next_export(
    architecture: Architecture, images: torch.Tensor, tmp_path: Path
) -> None:
    (tmp_path / "manifest.json").write_text('{"schema_version": 1, "files": [{}]}')
    with pytest.raises(InputError, match="export again to rewrite it"):
        load_exported(tmp_path)
    files = export_network(network_sample(architecture, 0), architecture, tmp_path, images=images, runtimes=["tflite"])
    assert load_exported(tmp_path) == files


def test_images_of_another_size_are_refused(architecture: Architecture, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"takes images of \[1, 28, 28\]"):
        export_network(network_sample(architecture, 0), architecture, tmp_path, images=torch.zeros(4, 3, 32, 32))


def test_outputs_of_a_network_do_not_depend_on_how_many_images_are_asked_at_once(
    architecture: Architecture, images: torch.Tensor
) -> None:
    model = torch_model(network_sample(architecture, 0))
    array = images.contiguous().numpy()
    together = outputs_of(model, array, what="torch")
    one_by_one = np.concatenate([model(array[index : index + 1]) for index in range(20)])
    assert np.allclose(together[:20], one_by_one, atol=1e-5)
