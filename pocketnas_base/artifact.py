"""An artifact: one exported file, and what it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, get_args

from pocketnas_base.errors import InputError
from pocketnas_base.files import sha256_file

Runtime = Literal["tflite", "executorch"]
Precision = Literal["fp32", "fp16", "int8", "int8-dynamic"]
"""`int8`: weights and activations, ranges known beforehand. `int8-dynamic`: int8 weights, activations as they come."""
Delegate = Literal["cpu", "gpu", "nnapi"]
"""What a model is asked to run on; `nnapi` is Android's way to a phone's NPU."""

RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
DELEGATES: tuple[Delegate, ...] = get_args(Delegate)
RUNTIME_BY_SUFFIX: dict[str, Runtime] = {".tflite": "tflite", ".pte": "executorch"}


@dataclass(frozen=True, slots=True)
class Artifact:
    """One exported file on this host, addressed by the sha256 of its content."""

    path: Path
    sha256: str
    runtime: Runtime
    precision: Precision

    @classmethod
    def of_file(cls, path: Path, precision: Precision = "fp32") -> Self:
        """Describe a file. Raises InputError when it is missing or is neither a .tflite nor a .pte file."""
        if path.suffix not in RUNTIME_BY_SUFFIX:
            raise InputError(f"{path} is neither a .tflite nor a .pte file")
        if not path.is_file():
            raise InputError(f"{path} does not exist")
        return cls(path, sha256_file(path), RUNTIME_BY_SUFFIX[path.suffix], precision)
