"""A bundle: what its manifest says, what is written from it, and a manifest that nobody should believe."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deploy_bundles import LABELS, bundle, exported, latency, recommended
from hypothesis import given
from hypothesis import strategies as st

from deploy.bundle import finish_bundle, finishing, write_bundle
from deploy.card import model_card
from deploy.intervals import wilson_percent
from deploy.manifest import (
    About,
    Calibration,
    ExportedFile,
    OutsideDelegate,
    read_bundle,
    read_manifest,
    write_manifest,
)
from pocketnas_base.errors import ExportError, InputError


def test_a_manifest_gives_back_what_was_written(tmp_path: Path) -> None:
    one = bundle(
        exported(
            tmp_path,
            latency=(latency(), latency(1.0, threads=2, energy_mj=12.5, energy_note="of the whole device")),
            calibration=Calibration(256, "d" * 64),
            outside_delegate=(OutsideDelegate("PAD", 2, 1.5), OutsideDelegate("CUMSUM", 1, None)),
        ),
        exported(tmp_path, "net_int8.pte", normalisation=None, labels=None, top1=None, weights_licence=None),
        recommendations=(recommended("net_fp32.tflite", net_int8="It is slower."),),
    )
    write_bundle(tmp_path, one)
    assert read_bundle(tmp_path) == one
    plain = json.loads((tmp_path / "manifest.json").read_text())
    assert plain["schema_version"] == 2
    entry = plain["files"][0]
    assert (entry["file"], entry["runtime"], entry["precision"]) == ("net_fp32.tflite", "tflite", "fp32")
    assert entry["inputs"][0]["layout"] == "NHWC"
    assert entry["labels"] == list(LABELS)
    assert entry["latency"][0]["high_ms"] > entry["latency"][0]["latency_ms"]


def test_an_export_into_the_folder_is_described_anew(tmp_path: Path) -> None:
    write_bundle(tmp_path, bundle(exported(tmp_path), exported(tmp_path, "net_fp32.pte")))
    assert (tmp_path / "kotlin" / "ExecutorchClassifier.kt").exists()
    write_manifest(tmp_path, [exported(tmp_path, labels=None)])
    finish_bundle(tmp_path, About(title="Another"))
    assert sorted(path.name for path in (tmp_path / "kotlin").iterdir()) == ["TfliteClassifier.kt", "build.gradle.kts"]
    assert not (tmp_path / "labels.txt").exists()
    assert (tmp_path / "MODEL_CARD.md").read_text().startswith("# Another\n")
    assert len(read_manifest(tmp_path)) == 1


def test_what_is_not_of_an_export_stays(tmp_path: Path) -> None:
    one = bundle(exported(tmp_path))
    write_bundle(tmp_path, one)
    (tmp_path / "kotlin" / "MainActivity.kt").write_text("of the user's own")
    write_bundle(tmp_path, one)
    assert (tmp_path / "kotlin" / "MainActivity.kt").read_text() == "of the user's own"
    for name in ("labels.txt", "MODEL_CARD.md"):
        folder = tmp_path / f"with {name}"
        folder.mkdir()
        (folder / name).write_text("of the user's own")
        with (
            pytest.raises(InputError, match=rf"{name} is not of an export and would be written over"),
            finishing(folder, About(title="Another")),
        ):
            pytest.fail("nothing is exported")
        assert (folder / name).read_text() == "of the user's own"


def fail_after(folder: Path, *passed: ExportedFile) -> None:
    """What an export leaves of which only these files passed."""
    write_manifest(folder, passed)
    raise ExportError("another file computes otherwise")


def test_the_bundle_of_a_failed_export_is_that_of_the_files_that_passed(tmp_path: Path) -> None:
    write_bundle(tmp_path, bundle(exported(tmp_path), exported(tmp_path, "net_fp32.pte")))
    with pytest.raises(ExportError), finishing(tmp_path, About(title="Another")):
        fail_after(tmp_path, exported(tmp_path, labels=None))
    assert sorted(path.name for path in (tmp_path / "kotlin").iterdir()) == ["TfliteClassifier.kt", "build.gradle.kts"]
    assert not (tmp_path / "labels.txt").exists()
    assert (tmp_path / "MODEL_CARD.md").read_text().startswith("# Another\n")
    with pytest.raises(ExportError), finishing(tmp_path, About(title="A third")):
        fail_after(tmp_path)
    assert not (tmp_path / "MODEL_CARD.md").exists()
    assert not list((tmp_path / "kotlin").iterdir())


def test_an_export_that_fails_before_it_touches_anything_leaves_the_bundle_as_it_was(tmp_path: Path) -> None:
    one = bundle(exported(tmp_path))
    write_bundle(tmp_path, one)
    with pytest.raises(ExportError), finishing(tmp_path, About(title="Another")):
        raise ExportError("torch.export cannot take the network")
    assert read_bundle(tmp_path) == one
    with pytest.raises(ExportError), finishing(tmp_path / "none", About(title="Another")):
        raise ExportError("torch.export cannot take the network")


def test_labels_are_a_file_of_lines(tmp_path: Path) -> None:
    write_bundle(tmp_path, bundle(exported(tmp_path)))
    assert (tmp_path / "labels.txt").read_text().split("\n") == [*LABELS, ""]


Change = Callable[[dict[str, Any]], object]
NAN = float("nan")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(schema_version=1), "is of schema 1, this version reads 2; export again"),
        (lambda m: m.update(schema_version="2\n2"), "is of schema '2\\n2', this version reads 2"),
        (lambda m: m.pop("schema_version"), "it has no schema_version"),
        (lambda m: m.update(more=1), "more: Extra inputs are not permitted"),
        (lambda m: m["files"][0].pop("parity"), "files.0.parity: Field required"),
        (lambda m: m["files"][0].update(file="../net.tflite"), "'../net.tflite' is not the plain name of a"),
        (lambda m: m["files"][0].update(file="/etc/net.pte"), "'/etc/net.pte' is not the plain name of a"),
        (lambda m: m["files"][0].update(file="a\\b.pte"), "is not the plain name of a"),
        (lambda m: m["files"][0].update(file=".hidden.pte"), "is not the plain name of a"),
        (lambda m: m["files"][0].update(file="net.tflite\n"), "is not the plain name of a"),
        (lambda m: m["files"][0].update(file="net.pte"), "net.pte is no file of the runtime tflite"),
        (lambda m: m["files"].append(m["files"][0]), "net_fp32.tflite is listed twice"),
        (lambda m: m["files"][0].update(top1=NAN), "files.0.top1: a number that is none"),
        (lambda m: m["files"][0]["parity"].update(cosine=float("inf")), "files.0.parity.cosine: a number that is none"),
        (lambda m: m["files"][0]["latency"][0].update(latency_ms=0), "latency.0.latency_ms: Input should be greater"),
        (lambda m: m["files"][0]["latency"][0].update(high_ms=-NAN), "latency.0.high_ms: a number that is none"),
        (lambda m: m["files"][0].update(sha256="0" * 63), "files.0.sha256: String should match"),
        (lambda m: m["files"][0].update(bytes=-1), "files.0.bytes: Input should be greater"),
        (lambda m: m["files"][0]["labels"].pop(), "there are 6 labels for 7 classes"),
        (lambda m: m["files"][0]["labels"].append("\x1b[2J"), "it holds characters that cannot be printed"),
        (lambda m: m["files"][0]["normalisation"]["mean"].pop(), "mean and std must have one number a channel"),
        (lambda m: m["files"][0].update(normalisation={"mean": [1], "std": [1]}), "of 1 channels, the input of 3"),
        (lambda m: m["files"][0]["normalisation"].update(std=[1, 0, 1]), "std.1: Input should be greater than 0"),
        (lambda m: m["files"][0]["inputs"][0].update(shape=[1, 0, 6, 3]), "inputs.0.shape.1: Input should be greater"),
        (
            lambda m: m["files"][0]["inputs"][0].update(shape=[5], layout="NCHW"),
            "a shape of [5] is none of the layout NCHW",
        ),
        (lambda m: m["files"][0].update(runtime_version="another 1.0"), "files.0.runtime_version: String should match"),
        (
            lambda m: m["files"][0].update(runtime_version='ai-edge-litert 2.3.0") } */ object Mine'),
            "files.0.runtime_version: String should match",
        ),
        (lambda m: m["files"][0].update(inputs=[]), "files.0.inputs.0: Field required"),
        (lambda m: m["files"][0].update(precision="int3"), "files.0.precision: Input should be"),
        (lambda m: m["recommendations"][0].update(file="other.pte"), "other.pte is recommended and not listed"),
        (lambda m: m.update(files={}), "files: Input should be a valid"),
    ],
)
def test_a_manifest_that_says_nonsense_is_one_line(tmp_path: Path, change: Change, message: str) -> None:
    one = bundle(exported(tmp_path, latency=(latency(),)), recommendations=(recommended("net_fp32.tflite"),))
    write_bundle(tmp_path, one)
    plain = json.loads((tmp_path / "manifest.json").read_text())
    change(plain)
    (tmp_path / "manifest.json").write_text(json.dumps(plain))
    with pytest.raises(InputError) as caught:
        read_bundle(tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "export again" in str(caught.value)
    assert str(tmp_path / "manifest.json") in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b"null", b"\xff", b"[" * 100_000, b'{"schema_version": 2}'])
def test_what_is_no_manifest_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_bundle(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_card_has_every_figure_and_no_markup_of_a_stranger(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script> | [x](http://y) `z` **b**"
    one = bundle(
        exported(tmp_path, latency=(latency(),), weights_licence=hostile),
        exported(tmp_path, "net_int8.pte", latency=(latency(1.0, energy_mj=12.5),), top1=90.5, top5=None),
        recommendations=(recommended("net_int8.pte", **{"net_fp32.tflite": "It is slower."}),),
        about=About(title=hostile, summary=hostile, limits=(hostile,)),
    )
    card = model_card(one)
    assert "<script>" not in card
    assert "[x](" not in card
    assert "91.00 % (89.07 to 92.62, n = 1000)" in card
    assert "2.000 (at most 2.040)" in card
    assert "12.50" in card
    assert "the phone is charged by usb" in card
    assert "take `net_int8.pte`" in card
    assert "`net_fp32.tflite`: It is slower." in card
    assert card.count("Not stated.") == 3, "data, training and search"
    tables = [line for line in card.splitlines() if line.startswith("|")]
    assert {line.count("|") - line.count("\\|") for line in tables[:4]} == {7}
    assert "value = (pixel - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]" in card


def test_a_card_of_little_says_that_little_is_known(tmp_path: Path) -> None:
    file = exported(tmp_path, top1=None, torch_top1=None, top5=None, labels=None, normalisation=None, labelled_images=0)
    card = model_card(replace(bundle(replace(file, weights_licence=None)), about=None))
    assert card.startswith("# net\n")
    assert "Not measured." in card
    assert "nobody said what becomes of pixels" in card
    assert "was compared with torch alone" in card
    assert card.endswith("Not stated.\n")


@given(st.integers(1, 100_000), st.data())
def test_an_interval_holds_its_share_and_narrows_with_more_images(images: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, images))
    low, high = wilson_percent(100 * right / images, images)
    assert 0 <= low <= 100 * right / images + 1e-9
    assert 100 * right / images - 1e-9 <= high <= 100
    wider = wilson_percent(100 * right / images, 4 * images)
    assert wider[1] - wider[0] < high - low


def test_the_interval_is_wilson_s() -> None:
    # Newcombe 1998, table I: 81 of 263 and 15 of 148, method 3.
    assert wilson_percent(100 * 81 / 263, 263) == pytest.approx((25.53, 36.62), abs=0.005)
    assert wilson_percent(100 * 15 / 148, 148) == pytest.approx((6.24, 16.05), abs=0.005)
    with pytest.raises(ValueError, match="no share"):
        wilson_percent(101, 10)
