"""Worker process: one file of a bundle, read, then run once in its stock interpreter (`deploy.bundle_check`).

In a process of its own, because an interpreter that crashes on a file is a finding about that file.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.manifest import ExportedFile, read_bundle
from deploy.sanity import pte_problems, tflite_problems

INPUT, OUTPUT = "input.bin", "output.bin"


def main(folder: Path, name: str, workshop: Path) -> None:
    """Print what is wrong with the file, as a JSON list; where nothing is, its input and output lie in `workshop`."""
    (file,) = [file for file in read_bundle(folder).files if file.artifact.path.name == name]
    content = file.artifact.path.read_bytes()
    if file.artifact.runtime == "tflite":
        problems = tflite_problems(content, file) or _run(file, workshop, _tflite)
    else:
        problems = _executorch_problems(content, file) or _run(file, workshop, _executorch)
    print(json.dumps(problems), flush=True)


def _executorch_problems(content: bytes, file: ExportedFile) -> list[str]:
    import executorch.kernels.quantized  # noqa: F401
    from executorch.runtime import Runtime

    return pte_problems(content, file, set(Runtime.get().operator_registry.operator_names))


def _run(file: ExportedFile, workshop: Path, run: Any) -> list[str]:
    try:
        value = _some_input(file)
        found: NDArray[Any] = run(file.artifact.path, value)
    except (RuntimeError, ValueError) as error:
        return [f"does not run in the stock interpreter: {_first_line(error)}"]
    if (found.shape, found.dtype.name) != (file.output.shape, file.output.dtype):
        wanted = f"{file.output.dtype} {list(file.output.shape)}"
        return [f"answers {found.dtype.name} {list(found.shape)} in the stock interpreter, its manifest says {wanted}"]
    if not np.isfinite(found).all():
        return ["answers numbers that are none in the stock interpreter"]
    (workshop / INPUT).write_bytes(value.tobytes())
    (workshop / OUTPUT).write_bytes(found.tobytes())
    return []


def _some_input(file: ExportedFile) -> NDArray[Any]:
    random = np.random.default_rng(0)
    if file.input.dtype == "uint8":
        return random.integers(0, 256, file.input.shape, np.uint8)
    return random.standard_normal(file.input.shape, np.float32)


def _tflite(path: Path, value: NDArray[Any]) -> NDArray[Any]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value)
    interpreter.invoke()
    found: NDArray[Any] = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return found


def _executorch(path: Path, value: NDArray[Any]) -> NDArray[Any]:
    import torch
    from executorch.runtime import Runtime

    method = Runtime.get().load_program(str(path)).load_method("forward")
    assert method is not None
    found: NDArray[Any] = method.execute([torch.from_numpy(value)])[0].clone().contiguous().numpy()
    return found


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return "".join(character if character.isprintable() else " " for character in text.splitlines()[0][:300])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
