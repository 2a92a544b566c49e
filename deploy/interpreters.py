"""Exported files run on this machine: images in, logits out, whatever the file's runtime and layout."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.chatter import captured
from pocketnas_base.artifact import Artifact, Runtime
from pocketnas_base.errors import ExportError, MissingDependencyError

Images = NDArray[np.float32] | NDArray[np.uint8]
Interpreter = Callable[[Images], NDArray[np.float32]]

_TFLITE_PACKAGES = {"ai_edge_litert": "ai-edge-litert", "tflite_runtime": "tflite-runtime"}
_MAX_INTERPRETERS = 8
# c10's ScalarType: Byte is 0, Float 6.
_BYTE = 0
# Below so many images a call is over before another thread has begun.
_IMAGES_PER_INTERPRETER = 16


def load_interpreter(artifact: Artifact) -> Interpreter:
    """A function from images [N, C, H, W] (of the file's type, float32 or uint8) to float32 outputs [N, ...], one
    invocation per image.

    The file is run as it will be deployed, at batch 1; an output of four dimensions comes back as [N, C, H, W] too.
    A .pte is taken to have contiguous inputs and outputs, as exported networks have (its Python bindings do not tell).
    Raises ExportError when the file cannot be loaded, MissingDependencyError when its runtime is not installed.
    """
    if artifact.runtime == "tflite":
        return _load_tflite(str(artifact.path), {"model_path": str(artifact.path)})
    return _load_executorch(artifact)


def run_tflite(model: bytes, images: Images) -> NDArray[np.float32]:
    """The outputs of a model that is in memory; see `load_interpreter`."""
    return _load_tflite("the model", {"model_content": model})(images)


def runtime_version(runtime: Runtime) -> str:
    """Name and version of the library that runs such files here, `ai-edge-litert 2.3.0`.

    Raises MissingDependencyError when there is none.
    """
    names = tuple(_TFLITE_PACKAGES.values()) if runtime == "tflite" else ("executorch",)
    for name in names:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    raise MissingDependencyError(f"no runtime for .{runtime} files is installed: pip install {names[0]}")


def _load_tflite(what: str, model: dict[str, Any]) -> Interpreter:
    module = tflite_module()
    count = min(_MAX_INTERPRETERS, os.cpu_count() or 1)
    with captured(f"{what} cannot be run by TFLite"):
        # One single-threaded interpreter per core: an invocation lets go of the interpreter lock, and small networks
        # gain nothing from threads of their own.
        sessions = [module.Interpreter(**model, num_threads=1) for _ in range(count)]
        for session in sessions:
            session.allocate_tensors()
    inputs, outputs = sessions[0].get_input_details(), sessions[0].get_output_details()
    if len(inputs) != 1 or len(outputs) != 1:
        raise ExportError(f"{what} has {len(inputs)} inputs and {len(outputs)} outputs; one of each is needed")
    source, target = inputs[0]["index"], outputs[0]["index"]
    kind = np.dtype(inputs[0]["dtype"])

    def one_session(session: Any, images: Images) -> NDArray[np.float32]:
        results = []
        for image in images:
            session.set_tensor(source, image[None])
            session.invoke()
            results.append(session.get_tensor(target))
        return np.concatenate(results)

    def run(images: Images) -> NDArray[np.float32]:
        _check(images, tuple(inputs[0]["shape"]), kind, what, order=(0, 3, 1, 2))
        channels_last = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        used = sessions[: max(1, min(count, len(images) // _IMAGES_PER_INTERPRETER))]
        with ThreadPoolExecutor(len(used)) as pool:
            parts = list(pool.map(one_session, used, np.array_split(channels_last, len(used))))
        result = np.concatenate(parts)
        return np.ascontiguousarray(result.transpose(0, 3, 1, 2)) if result.ndim == 4 else result

    return run


def _load_executorch(artifact: Artifact) -> Interpreter:
    try:
        import torch

        with captured("ExecuTorch cannot be started"):
            from executorch.runtime import Runtime as ExecuTorch
    except ImportError as error:
        raise MissingDependencyError("running .pte files needs ExecuTorch: pip install executorch") from error
    with captured(f"{artifact.path} cannot be run by ExecuTorch"):
        method = ExecuTorch.get().load_program(str(artifact.path)).load_method("forward")
        if method is None or method.metadata.num_inputs() != 1 or method.metadata.num_outputs() != 1:
            raise ExportError(f"{artifact.path} has no method `forward` of one input and one output")
        shape = tuple(method.metadata.input_tensor_meta(0).sizes())
        pixels = method.metadata.input_tensor_meta(0).dtype() == _BYTE
        method.execute([torch.zeros(shape, dtype=torch.uint8 if pixels else torch.float32)])

    def run(images: Images) -> NDArray[np.float32]:
        _check(images, shape, np.dtype(np.uint8 if pixels else np.float32), str(artifact.path), order=(0, 1, 2, 3))
        results = []
        batch = torch.from_numpy(np.ascontiguousarray(images))
        for index in range(len(batch)):
            # The output lies in memory that the next invocation writes over.
            results.append(method.execute([batch[index : index + 1]])[0].clone())
        joined: NDArray[np.float32] = torch.cat(results).contiguous().numpy()
        return joined

    return run


def tflite_module() -> Any:
    """The module that runs .tflite files. Raises MissingDependencyError where none is installed."""
    for name in _TFLITE_PACKAGES:
        try:
            return import_module(f"{name}.interpreter")
        except ModuleNotFoundError:
            continue
    raise MissingDependencyError("running .tflite files needs a TFLite interpreter: pip install ai-edge-litert")


def _check(images: Images, shape: tuple[int, ...], kind: "np.dtype[Any]", what: str, order: tuple[int, ...]) -> None:
    wanted = tuple(int(shape[axis]) for axis in order) if len(shape) == len(order) else tuple(shape)
    if images.dtype != kind or images.ndim != 4 or len(images) == 0 or images.shape[1:] != wanted[1:]:
        raise ExportError(
            f"{what} takes {kind} images of {list(wanted[1:])}, not {images.dtype} of {list(images.shape[1:])}"
        )
