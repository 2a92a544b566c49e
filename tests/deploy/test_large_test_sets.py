"""A test set need not fit into memory: it is read, hashed and compared a part at a time."""

import subprocess
import sys
from pathlib import Path

import pytest

# In a process of its own, whose most memory is its own. One image seen 3000 times: 452 MB of pixels, 1.8 GB as floats,
# and none of it in memory until somebody copies it.
PROGRAM = """
import resource, sys
from dataclasses import replace
from pathlib import Path

import torch

from deploy.evidence import described, expected_of
from deploy.manifest import Normalisation
from deploy.subject import Subject
from deploy.tflite_writer import write_tflite
from latency.opspec import OpSpec
from pocketnas_base.artifact import Artifact
from pocketnas_base.progress import silent
from search.operators import build_operator

op = OpSpec("classifier", 3, 10, 1, 1, 1, 224)
network = build_operator(op).eval()
path = Path(sys.argv[1]) / "mean.tflite"
path.write_bytes(write_tflite([op], [network]))
images = torch.full((1, 3, 224, 224), 7, dtype=torch.uint8).expand(3000, -1, -1, -1)
large = Subject(
    name="mean", network=network, input_shape=(3, 224, 224), images=images,
    labels=torch.zeros(3000, dtype=torch.int64), normalisation=Normalisation((0.0,) * 3, (255.0,) * 3),
)

def check(subject):
    return described(subject, "onnx2tf", Artifact.of_file(path), expected_of(subject, silent), silent)

def most_memory_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

check(replace(large, images=images[:100], labels=large.labels[:100]))
before = most_memory_mb()
file = check(large)
assert file.parity.images == 3000 and file.parity.relative_error < 1e-2
print(most_memory_mb() - before)
"""


@pytest.mark.slow
def test_a_large_test_set_is_never_whole_in_memory(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, cwd=root, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 300
