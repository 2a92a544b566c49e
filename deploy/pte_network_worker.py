"""Worker process: lowers exported programs to .pte files, one job a line (`deploy.workers`)."""

import gc
import warnings
from pathlib import Path
from typing import Any

from deploy.program import exported_program, load_program
from deploy.workers import Job, serve
from pocketnas_base.errors import ExportError


def prepare() -> None:
    """Import the exporter, while the parent still writes the programs."""
    import executorch.backends.xnnpack.partition.xnnpack_partitioner  # noqa: F401
    import torch._dynamo  # noqa: F401

    # Lowering makes graphs of many small objects, for which the collector would walk the libraries' own again and
    # again: half of the time.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def handle(job: Job) -> None:
    """Lower one program, in int8 where the job names images to calibrate with. The parent looks at the file before it
    gives it its name."""
    import executorch.exir
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    value: Any = job
    program = load_program(Path(value["program"]))
    if value["calibration"] is not None:
        program = _quantised(program, Path(value["calibration"]))
    lowered = executorch.exir.to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    try:
        content = bytes(lowered.to_executorch().buffer)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ExportError(f"ExecuTorch has no kernel for an operator of the network: {reason:.300}") from error
    Path(value["path"]).write_bytes(content)


def _quantised(program: Any, calibration: Path) -> Any:
    import numpy as np
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    images = torch.from_numpy(np.load(calibration, allow_pickle=False))
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(program.module(), quantizer)
    with torch.no_grad():
        for index in range(len(images)):
            prepared(images[index : index + 1])
    _see_what_relu6_leaves(prepared)
    return exported_program(convert_pt2e(prepared), images[:1])


def _see_what_relu6_leaves(prepared: Any) -> None:
    """Give a convolution that a ReLU6 follows the range that the ReLU6 leaves.

    The quantizer observes the convolution before it and lets the ReLU6 keep that range; what lies outside of 0 to 6 is
    clipped a moment later all the same, but would take most of the 256 steps.
    """
    import torch
    from torchao.quantization.pt2e import MinMaxObserver

    relu6 = (torch.ops.aten.hardtanh.default, torch.ops.aten.hardtanh_.default)
    # An observer stands under one name before the ReLU6 and under another behind it.
    modules = dict(prepared.named_modules(remove_duplicate=False))
    seen = {}
    for node in prepared.graph.nodes:
        if node.op == "call_function" and node.target in relu6 and node.args[1:] == (0.0, 6.0):
            source = node.args[0]
            if source.op == "call_module" and list(source.users) == [node]:
                seen[id(modules[source.target])] = modules[source.target]
    for name, module in modules.items():
        if id(module) in seen:
            observer = MinMaxObserver(
                dtype=torch.int8,
                qscheme=torch.per_tensor_affine,
                quant_min=module.quant_min,
                quant_max=module.quant_max,
                eps=float(module.eps),
            )
            observer(torch.stack([module.min_val, module.max_val]).clamp(0.0, 6.0).flatten())
            prepared.set_submodule(name, observer)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    serve(handle, prepare)
