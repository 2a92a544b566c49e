"""ExecuTorch operator files: what they compute, and the layout their tensors have."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from android_bench.job import Job
from android_bench.latencies import latencies
from android_bench.protocol import Protocol
from android_bench.session import measure
from android_bench.store import SampleStore
from deploy.executorch_export import takes_channels_last
from deploy.operators import OperatorFile, export_operators
from deploy.workers import ROOT
from latency.opspec import EMPTY, OpSpec
from pocketnas.measuring import open_device
from pocketnas_base.artifact import Precision

OPS = (
    EMPTY,
    OpSpec("conv", 1, 16, 3, 1, 2, 28),
    OpSpec("conv", 3, 8, 3, 1, 2, 9),
    OpSpec("mbconv", 8, 12, 5, 3, 2, 14),
    OpSpec("mbconv", 8, 8, 7, 6, 1, 7, residual=True),
    OpSpec("mbconv", 8, 1, 3, 3, 1, 4),
    OpSpec("mbconv", 8, 8, 3, 3, 1, 1, residual=True),
    OpSpec("mbconv", 8, 12, 3, 3, 2, 2),
    OpSpec("classifier", 16, 10, 1, 1, 1, 7),
)


TYPES: dict[Precision, str] = {"fp32": "<f4", "int8": "i1"}


@pytest.fixture(scope="module", params=["fp32", "int8"])
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[OpSpec, OperatorFile]:
    return export_operators(OPS, "executorch", tmp_path_factory.mktemp("cache"), precision=request.param)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.key)
def test_an_executorch_operator_computes_its_reference_from_its_input(
    op: OpSpec, files: dict[OpSpec, OperatorFile]
) -> None:
    """Bytes in, bytes out, as the runner on the device does it; the bindings copy a tensor's memory as it lies."""
    import torch
    from executorch.runtime import Runtime

    file = files[op]
    numbers = TYPES[file.artifact.precision]
    stored, reference = np.fromfile(file.input_path, numbers), np.fromfile(file.reference_path, numbers)
    method = Runtime.get().load_program(str(file.artifact.path)).load_method("forward")
    image = torch.from_numpy(stored).reshape(1, op.in_channels, op.resolution, op.resolution)
    output = method.execute([image])[0]
    last = takes_channels_last(op) and output.ndim == 4
    in_memory = (output.permute(0, 2, 3, 1) if last else output).contiguous().numpy().ravel()
    found, wanted = in_memory.astype(np.float64), reference.astype(np.float64)
    assert np.abs(wanted).max() > 0
    assert np.abs(found - wanted).max() <= file.max_output_error * np.abs(wanted).max()


def test_our_runner_finds_every_output_right(files: dict[OpSpec, OperatorFile], tmp_path: Path) -> None:
    jobs = [
        Job(op.key, file.artifact, (file.input_path,), (file.reference_path,), file.max_output_error)
        for op, file in files.items()
    ]
    protocol = Protocol(processes=2, warmup_min_runs=1, warmup_min_ns=0, min_runs=5, min_ns=0, max_runs=5)
    with SampleStore.open(tmp_path / "samples.sqlite") as store:
        key = measure(open_device("local"), jobs, protocol, store)
        assert set(latencies(store, key)) == {op.key for op in OPS}


def test_files_from_the_cache_need_no_torch(files: dict[OpSpec, OperatorFile]) -> None:
    code = (
        "import sys, pathlib\n"
        "from deploy.operators import export_operators\n"
        "from latency.opspec import EMPTY\n"
        "export_operators([EMPTY], 'executorch', pathlib.Path(sys.argv[1]), precision=sys.argv[2])\n"
        "print(sorted({'torch', 'executorch', 'tensorflow'} & set(sys.modules)))\n"
    )
    made = files[EMPTY].artifact
    before = made.path.stat().st_mtime_ns
    words = [sys.executable, "-c", code, str(made.path.parents[1]), made.precision]
    result = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert (result.returncode, result.stdout, result.stderr) == (0, "[]\n", "")
    assert made.path.stat().st_mtime_ns == before
