"""How long it takes from weights to verified files, beside a bare call of the converter without any check.

One network of the zoo with made-up weights (times do not depend on them). Each figure is a fresh process, from its
start to its end, imports included. Ours: fold, convert, quantise with 32 images, run the file on as many and hold it
against torch, write manifest and metadata. Bare: the shortest program that a user would write: torch.onnx.export and
onnx2tf.convert at its defaults (int8: with its own int8 option), or torch.export, to_edge_transform_and_lower and
to_executorch (int8: with prepare_pt2e, 32 images and convert_pt2e).

    python benchmarks/verified_files.py
    python benchmarks/verified_files.py --precision fp32 --runtime tflite --json out.json
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import write_figures

from deploy.evidence import PRECISIONS_OF
from deploy.export import export_network
from deploy.fingerprint import weights_sha256
from deploy.samples import network_sample
from pocketnas_base.artifact import RUNTIMES, Precision, Runtime
from search.zoo import load_architecture

IMAGES = 32
TARGET = 1.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="proxyless-mobile")
    parser.add_argument("--runtime", choices=RUNTIMES, action="append")
    parser.add_argument("--precision", choices=PRECISIONS_OF["tflite"], action="append")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--child", choices=("ours", "bare"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        work = ours if arguments.child == "ours" else bare
        work(arguments.architecture, arguments.runtime[0], arguments.precision[0], arguments.folder)
        return
    bare_s: dict[tuple[Runtime, Precision], float] = {}
    rows = [
        measured(arguments.architecture, runtime, precision, bare_s)
        for runtime in arguments.runtime or RUNTIMES
        for precision in arguments.precision or PRECISIONS_OF["tflite"]
        if precision in PRECISIONS_OF[runtime]
    ]
    print(f"{arguments.architecture}: seconds from weights to files; at most {TARGET} x the bare call is the target")
    print(f"{'runtime':<12}{'precision':<14}{'verified':>10}{'bare':>10}{'ratio':>8}")
    for row in rows:
        named = f"{row['runtime']:<12}{row['precision']:<14}"
        print(f"{named}{row['ours_s']:>10.1f}{row['bare_s']:>10.1f}{row['ratio']:>8.2f}")
    if arguments.json:
        write_figures(arguments.json, {"architecture": arguments.architecture, "files": rows})


def measured(
    architecture: str, runtime: Runtime, precision: Precision, bare_s: dict[tuple[Runtime, Precision], float]
) -> dict[str, Any]:
    """One runtime and precision, ours and bare, each in a process of its own. bare_s: bare calls that are known."""
    # onnx2tf writes fp16 with every conversion.
    asked: tuple[Runtime, Precision] = (runtime, precision if (runtime, precision) != ("tflite", "fp16") else "fp32")
    if asked not in bare_s:
        bare_s[asked] = seconds_of("bare", architecture, *asked)
    ours_s = seconds_of("ours", architecture, runtime, precision)
    row = {"ours_s": ours_s, "bare_s": bare_s[asked], "ratio": ours_s / bare_s[asked]}
    return {"runtime": runtime, "precision": precision, **row}


def seconds_of(child: str, architecture: str, runtime: Runtime, precision: Precision) -> float:
    """A fresh process from its start to its end."""
    with tempfile.TemporaryDirectory(prefix="pocketnas-verified-") as folder:
        words = ["--architecture", architecture, "--runtime", runtime, "--precision", precision]
        started = time.perf_counter()
        command = [sys.executable, __file__, *words, "--child", child, "--folder", folder]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
        seconds = time.perf_counter() - started
        if done.returncode:
            sys.exit(f"{done.stdout}\n{done.stderr}\n{child} {runtime} {precision} failed")
    return seconds


def ours(name: str, runtime: Runtime, precision: Precision, folder: Path) -> None:
    """What the product does; raises where a file does not pass."""
    import torch

    architecture = load_architecture(name)
    images = torch.from_numpy(images_for(name))
    network = network_sample(architecture, 0)
    (file,) = export_network(
        network,
        architecture,
        folder / "deploy",
        images=images,
        calibration=images,
        runtimes=[runtime],
        precisions=[precision],
    )
    assert file.parity.passed
    assert file.weights_sha256 == weights_sha256(network)


def bare(name: str, runtime: Runtime, precision: Precision, folder: Path) -> None:
    """The converter as its own documentation has it called."""
    architecture = load_architecture(name)
    network, images = network_sample(architecture, 0), images_for(name)
    if runtime == "tflite":
        bare_onnx2tf(network, images, precision, folder)
    else:
        bare_executorch(network, images, precision, folder)


def bare_onnx2tf(network: Any, images: Any, precision: Precision, folder: Path) -> None:
    """torch.onnx.export, then onnx2tf; fp16 comes with every conversion of its. Its sample file is put where it looks
    for it, or it would fetch one."""
    import onnx2tf
    import torch

    torch.onnx.export(network, (torch.from_numpy(images[:1]),), str(folder / "model.onnx"), dynamo=False)
    sample = np.random.default_rng(0).random((20, 128, 128, 3), np.float32)
    np.save(folder / "calibration_image_sample_data_20x128x128x3_float32.npy", sample)
    more: dict[str, Any] = {}
    if precision == "int8":
        np.save(folder / "images.npy", images.transpose(0, 2, 3, 1))
        given = [network_input(folder), str(folder / "images.npy"), [[[[0.0] * 3]]], [[[[1.0] * 3]]]]
        more = {"output_integer_quantized_tflite": True, "custom_input_op_name_np_data_path": [given]}
    elif precision == "int8-dynamic":
        more = {"output_dynamic_range_quantized_tflite": True}
    onnx2tf.convert(input_onnx_file_path=str(folder / "model.onnx"), output_folder_path=str(folder / "made"), **more)


def network_input(folder: Path) -> str:
    """What torch called the network's input in the ONNX file."""
    import onnx

    name: str = onnx.load(str(folder / "model.onnx")).graph.input[0].name
    return name


def bare_executorch(network: Any, images: Any, precision: Precision, folder: Path) -> None:
    """torch.export and lowering with XNNPACK."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    example = torch.from_numpy(images[:1])
    if precision == "fp16":
        network, example = network.half(), example.half()
    program = torch.export.export(network, (example,))
    if precision == "int8":
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
            XNNPACKQuantizer,
            get_symmetric_quantization_config,
        )
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
        prepared = prepare_pt2e(program.module(), quantizer)
        with torch.no_grad():
            for index in range(len(images)):
                prepared(torch.from_numpy(images[index : index + 1]))
        program = torch.export.export(convert_pt2e(prepared), (example,))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    (folder / "model.pte").write_bytes(bytes(lowered.to_executorch().buffer))


def images_for(name: str) -> Any:
    """float32 [IMAGES, C, H, W]: noise, which takes as long as photographs do."""
    architecture = load_architecture(name)
    size = architecture.resolution
    shape = (IMAGES, architecture.image_channels, size, size)
    return np.random.default_rng(0).standard_normal(shape, np.float32)


if __name__ == "__main__":
    main()
