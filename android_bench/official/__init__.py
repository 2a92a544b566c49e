"""Measuring with a user's own build of TensorFlow Lite's benchmark_model or ExecuTorch's executor_runner."""
