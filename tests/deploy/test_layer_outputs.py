"""The layers of a network of every activation and gate, in files that are written without a converter."""

from pathlib import Path

import pytest
import torch
from block_cases import MIXED

from deploy.export import export_untrained
from deploy.layer_outputs import LayerComparison
from deploy.samples import network_sample
from deploy.subject import Subject
from deploy.tflite_network import finished_model
from deploy.tflite_schema import read_operators
from pocketnas_base.artifact import Artifact, Precision


@pytest.fixture(scope="module")
def subject() -> Subject:
    images = torch.randn(8, 3, MIXED.resolution, MIXED.resolution, generator=torch.Generator().manual_seed(0))
    return Subject(
        name="mixed",
        network=network_sample(MIXED, 0),
        input_shape=(3, MIXED.resolution, MIXED.resolution),
        images=images,
        calibration=images,
        architecture=MIXED,
    )


@pytest.mark.parametrize(("precision", "least_db"), [("fp32", 100), ("int8", 18)])
def test_whatever_torch_computes_that_has_a_tensor_is_compared(
    subject: Subject, tmp_path: Path, precision: Precision, least_db: float
) -> None:
    float32 = export_untrained(MIXED, tmp_path, runtime="tflite", seed=0).path.read_bytes()
    path = tmp_path / f"finished_{precision}.tflite"
    path.write_bytes(finished_model(subject, float32, precision))
    report = LayerComparison(subject, float32).of_file(Artifact.of_file(path, precision))
    assert report.problem is None
    assert report.images == 4
    assert all(output.parity.snr_db is None or output.parity.snr_db > least_db for output in report.compared)
    # All but the second half of a swish, and of paddings, which torch has inside one operation.
    torch_has_none = sum(operator.name in ("PAD", "LOGISTIC") for operator in read_operators(float32))
    assert len(read_operators(float32)) - torch_has_none <= len(report.compared) < report.operations
    names = [name for output in report.compared for name in output.computes]
    assert len(names) == len(set(names)) == report.operations
    gate = next(output for output in report.compared if output.layer == "ops.1.body.2.gate")
    assert gate.computes == ("ops.1.body.2.expand", "ops.1.body.2.gate")
