"""Worker process: converts ONNX files with onnx2tf, in its working directory (`deploy.workers`)."""

from typing import Any

from deploy.workers import Job, serve


def handle(job: Job) -> None:
    """Convert one file; onnx2tf names the results after it."""
    import onnx2tf

    value: Any = job
    onnx2tf.convert(
        input_onnx_file_path=value["onnx"],
        output_folder_path=value["folder"],
        # onnxsim's command makes every conversion 10 s longer and leaves these networks as they are.
        not_use_onnxsim=True,
        # A SavedModel without Keras' own metadata: for a network of mobile size 5 s instead of 24.
        output_signaturedefs=True,
        non_verbose=True,
    )


if __name__ == "__main__":
    serve(handle)
