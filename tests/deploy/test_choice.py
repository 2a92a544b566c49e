"""Which file to ship, and why."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deploy_bundles import exported, latency
from hypothesis import given
from hypothesis import strategies as st

from deploy.choice import loss_points, recommend
from deploy.manifest import ExportedFile
from pocketnas_base.errors import InputError


def measured(folder: Path, name: str, ms: float | None, top1: float | None, **changes: Any) -> ExportedFile:
    taken = () if ms is None else (latency(ms),)
    return exported(folder, name, latency=taken, top1=top1, **changes)


def test_the_fastest_that_keeps_its_accuracy_is_named_and_why_the_others_are_not(tmp_path: Path) -> None:
    files = [
        measured(tmp_path, "net_fp32.tflite", 4.0, 91.0),
        measured(tmp_path, "net_fp16.tflite", 4.05, 91.1),
        measured(tmp_path, "net_int8.tflite", 1.5, 90.2),
        measured(tmp_path, "net_int8.pte", 1.0, 88.0),
        measured(tmp_path, "net_fp32.pte", None, 91.0),
        measured(tmp_path, "net_fp16.pte", 0.5, 91.0, parity=replace(exported(tmp_path).parity, images=0)),
    ]
    files[5] = replace(files[5], top1=None)
    choice = recommend(files, latency(), 1.0)
    assert choice.file == "net_int8.tflite"
    assert choice.reason == (
        "It takes 1.500 ms (at most 1.530) and loses 0.80 points of top-1 of 1.00 allowed. net_fp32.tflite takes 2.67 "
        "times as long."
    )
    assert choice.passed_over == {
        "net_int8.pte": "It loses 3.00 points of top-1, 1.00 allowed.",
        "net_fp32.pte": "It was not measured there.",
        "net_fp16.pte": "Nobody knows its accuracy.",
        "net_fp32.tflite": "It takes 4.000 ms: slower.",
        "net_fp16.tflite": "It takes 4.050 ms: slower.",
    }
    assert (choice.device, choice.threads, choice.most_loss_points) == ("Pixel 8", 1, 1.0)
    assert recommend(files, latency(), 5.0).file == "net_int8.pte"
    assert recommend(files, latency(), 0.0).file == "net_fp32.tflite"


def test_files_that_the_measurement_does_not_tell_apart_are_said_to_be(tmp_path: Path) -> None:
    files = [measured(tmp_path, "net_fp32.tflite", 2.00, 91.0), measured(tmp_path, "net_fp32.pte", 2.03, 91.0)]
    choice = recommend(files, latency(), 1.0)
    assert "does not tell it from net_fp32.pte" in choice.reason
    assert choice.passed_over["net_fp32.pte"] == "It takes 2.030 ms: no slower, as far as the measurement tells."


def test_a_file_is_held_against_its_own_runtime_s_fp32_where_there_is_one(tmp_path: Path) -> None:
    files = [
        measured(tmp_path, "net_fp32.tflite", 4.0, 92.0),
        measured(tmp_path, "net_fp32.pte", 4.0, 91.0),
        measured(tmp_path, "net_int8.pte", 1.0, 90.5),
    ]
    assert loss_points(files[2], files) == pytest.approx(0.5)
    assert loss_points(files[2], [files[0], files[2]]) == pytest.approx(1.5)
    assert loss_points(files[2], [files[2]]) == pytest.approx(0.5), "torch's own, 91.0"


def test_without_labels_answers_that_differ_from_torch_s_stand_for_the_loss(tmp_path: Path) -> None:
    agreeing = exported(tmp_path).parity
    files = [
        measured(tmp_path, "net_fp32.tflite", 4.0, None),
        measured(tmp_path, "net_int8.tflite", 1.0, None, parity=replace(agreeing, top1_agreement_percent=96.5)),
    ]
    choice = recommend(files, latency(), 1.0)
    assert choice.file == "net_fp32.tflite"
    assert "answers otherwise than torch on 3.50 % of 8 images" in choice.passed_over["net_int8.tflite"]


def test_none_is_named_where_none_qualifies(tmp_path: Path) -> None:
    choice = recommend([measured(tmp_path, "net_int8.pte", 1.0, 80.0)], latency(), 1.0)
    assert choice.file is None
    assert choice.reason == "No measured file keeps its accuracy within 1.00 points."
    with pytest.raises(InputError, match="makes no sense"):
        recommend([], latency(), float("nan"))


PERCENT = st.integers(8000, 9500).map(lambda hundredths: hundredths / 100)
POINTS = st.integers(0, 2000).map(lambda hundredths: hundredths / 100)
FIGURES = st.lists(st.tuples(st.floats(0.1, 100), PERCENT), min_size=1, max_size=6)


@given(FIGURES, POINTS)
def test_nothing_faster_keeps_the_accuracy(tmp_path: Path, figures: list[tuple[float, float]], allowed: float) -> None:
    exact = exported(tmp_path, "net_fp32.tflite", top1=95.0)
    others = [measured(tmp_path, f"net{n}_int8.tflite", ms, top1) for n, (ms, top1) in enumerate(figures)]
    choice = recommend([exact, *others], latency(), allowed)
    within = {
        file.artifact.path.name: file.latency[0].latency_ms
        for file in others
        if round(95 - (file.top1 or 0), 2) <= allowed
    }
    if within:
        assert choice.file is not None
        assert within[choice.file] == min(within.values())
    assert set(choice.passed_over) | ({choice.file} - {None}) == {f.artifact.path.name for f in (exact, *others)}
