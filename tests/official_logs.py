"""What benchmark_model printed on phones: whole logs from the samples of the parsers, with the lines of other delegates
and other moments put in."""

from device_samples import BENCHMARK_MODEL

_DELEGATED = (
    "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"
    "VERBOSE: Replacing 2136 out of 2168 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 65 partitions for"
    " subgraph 0.\n"
)
_MEASURED = "count=24 first=42142 curr=42232 min=42142 max=42763 avg=42435.4 std=147 p5=42232 median=42405 p95=42729"

GPU_WHOLE = """\
INFO: Created TensorFlow Lite delegate for GPU.
VERBOSE: Replacing 58 out of 58 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 1 partitions for the whole graph.
INFO: Initialized OpenCL-based API.
INFO: Created 1 GPU delegate kernels.
INFO: Explicitly applied GPU delegate, and the model graph will be completely executed by the delegate.
"""  # noqa: E501
GPU_PART = """\
INFO: Created TensorFlow Lite delegate for GPU.
ERROR: Following operations are not supported by GPU delegate:
UNPACK: Operation is not supported.
VERBOSE: Replacing 29 out of 31 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 2 partitions for the whole graph.
INFO: Explicitly applied GPU delegate, and the model graph will be partially executed by the delegate w/ 2 delegate kernels.
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
VERBOSE: Replacing 2 out of 4 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 1 partitions for the whole graph.
"""  # noqa: E501
GPU_VENDOR = """\
VERBOSE: Replacing 395 out of 395 node(s) with delegate (LITERT_CL) node, yielding 1 partitions for subgraph 0 (main).
"""
GPU_2020 = """\
INFO: Created TensorFlow Lite delegate for GPU.
INFO: Replacing 3 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 2 partitions.
Explicitly applied GPU delegate, and the model graph will be partially executed by the delegate w/ 2 delegate kernels.
"""
GPU_EARLY_2020 = """\
INFO: Created TensorFlow Lite delegate for GPU.
INFO: Created 1 GPU delegate kernels.
Explicitly applied GPU delegate, and the model graph will be completely executed by the delegate.
"""
NNAPI_WHOLE = """\
INFO: NNAPI accelerators available: [synap-npu,nnapi-reference]
INFO: Created TensorFlow Lite delegate for NNAPI.
INFO: NNAPI delegate created.
WARNING: NNAPI SL driver did not implement SL_ANeuralNetworksDiagnostic_registerCallbacks!
VERBOSE: Replacing 31 out of 31 node(s) with delegate (TfLiteNnapiDelegate) node, yielding 1 partitions for the whole graph.
INFO: Explicitly applied NNAPI delegate, and the model graph will be completely executed by the delegate.
"""  # noqa: E501
NNAPI_PART = """\
VERBOSE: Replacing 5 out of 64 node(s) with delegate (TfLiteNnapiDelegate) node, yielding 5 partitions for the whole graph.
VERBOSE: Replacing 59 out of 62 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 5 partitions for the whole graph.
"""  # noqa: E501
NNAPI_NOTHING = """\
INFO: NNAPI delegate created.
INFO: Though NNAPI delegate is explicitly applied, the model graph will not be executed by the delegate.
"""
NNAPI_UNDONE = """\
VERBOSE: Replacing 5 out of 5 node(s) with delegate (TfLiteNnapiDelegate) node, yielding 1 partitions for the whole graph.
ERROR: NN API returned error ANEURALNETWORKS_OP_FAILED at line 4650 while completing NNAPI compilation.
ERROR: Node number 5 (TfLiteNnapiDelegate) failed to prepare.
ERROR: Restored original execution plan after delegate application failure.
"""  # noqa: E501
NO_GPU = """\
INFO: Loaded OpenCL library with dlopen.
VERBOSE: Replacing 0 out of 31 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 0 partitions for subgraph 0.
"""


def log(delegates: str = _DELEGATED, measured: str = _MEASURED) -> str:
    """A whole log, with these lines about delegates and these statistics of the timed runs."""
    return BENCHMARK_MODEL.replace(_DELEGATED, delegates).replace(_MEASURED, measured)


def log_taking(us: int) -> str:
    """A whole log of a model of which every run took as long."""
    statistics = f"count=24 first={us} curr={us} min={us} max={us} avg={us} std=0 p5={us} median={us} p95={us}"
    return log(measured=statistics).replace("Inference (avg): 42435.4", f"Inference (avg): {us}")


def cut_before(text: str) -> str:
    """The log of a tool that was killed, or of a cable that was pulled, at this text."""
    return log()[: log().index(text)]
