"""Worker process: converts ONNX files with onnx2tf, in its working directory (`deploy.workers`)."""

from typing import Any

from deploy.workers import Job, serve


def prepare() -> None:
    """Import the converter, while the parent still writes the ONNX file."""
    import onnx2tf  # noqa: F401
    import onnxsim  # noqa: F401


def handle(job: Job) -> None:
    """Convert one file; onnx2tf names the results after it."""
    import onnx2tf

    value: Any = job
    _fold_constants(value["onnx"])
    onnx2tf.convert(
        input_onnx_file_path=value["onnx"],
        output_folder_path=value["folder"],
        # onnxsim's command makes every conversion 10 s longer; constants are folded already.
        not_use_onnxsim=True,
        # A SavedModel without Keras' own metadata: for a network of mobile size 5 s instead of 24.
        output_signaturedefs=True,
        disable_strict_mode=not value["strict"],
        non_verbose=True,
    )


def _fold_constants(path: str) -> None:
    """Compute what depends on no input, such as the paddings that torch writes as ten small operators each, which
    onnx2tf takes apart wrongly."""
    import onnx
    import onnxsim

    simplified, _ = onnxsim.simplify(onnx.load(path), check_n=0)
    onnx.save(simplified, path)


if __name__ == "__main__":
    serve(handle, prepare)
