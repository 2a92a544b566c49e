"""Bundles for tests: entries as an export writes them, whatever their files hold."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.bundle import write_bundle
from deploy.export import export_untrained
from deploy.fingerprint import architecture_sha256
from deploy.manifest import (
    About,
    Bundle,
    DeviceLatency,
    ExportedFile,
    Normalisation,
    Recommendation,
    TensorInfo,
)
from deploy.parity import check_parity
from pocketnas_base.artifact import Artifact
from search.architecture import Architecture, assemble
from search.space import load_space

LABELS = ("cat", "$dog", 'say "hi"', "C:\\new", "Füchse 🦊", "`tick` | <b>bar</b>", "plain")
HEIGHT, WIDTH, CHANNELS = 4, 6, 3
FINGERPRINT = "5e" * 32


def exported(folder: Path, name: str = "net_fp32.tflite", **changes: Any) -> ExportedFile:
    """An entry whose file is its own name. changes: fields of `ExportedFile`."""
    import numpy as np

    content = f"content of {name}".encode()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    runtime = "executorch" if name.endswith(".pte") else "tflite"
    precision: Any = next((one for one in ("int8-dynamic", "int8", "fp16") if f"_{one}." in name), "fp32")
    nhwc = runtime == "tflite"
    shape = (1, HEIGHT, WIDTH, CHANNELS) if nhwc else (1, CHANNELS, HEIGHT, WIDTH)
    outputs = np.eye(8, len(LABELS), dtype=np.float32)
    file = ExportedFile(
        name="net",
        artifact=Artifact(folder / name, hashlib.sha256(content).hexdigest(), runtime, precision),  # type: ignore[arg-type]
        bytes=len(content),
        input=TensorInfo("input", shape, "NHWC" if nhwc else "NCHW"),
        output=TensorInfo("output", (1, len(LABELS)), "NC"),
        parity=check_parity(outputs, outputs, "fp32"),
        top1=91.0,
        torch_top1=91.0,
        weights_sha256="a" * 64,
        architecture_sha256="b" * 64,
        images_sha256="c" * 64,
        runtime_version="ai-edge-litert 2.3.0" if nhwc else "executorch 1.5.1",
        exporter="onnx2tf 1.28.8",
        tool_version="0.1.0",
        normalisation=Normalisation((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
        labels=LABELS,
        top5=99.0,
        torch_top5=99.0,
        labelled_images=1000,
        weights_licence="Apache-2.0",
    )
    return replace(file, **changes)


def latency(ms: float = 2.0, **changes: Any) -> DeviceLatency:
    """What a phone took."""
    one = DeviceLatency(
        device="Pixel 8",
        device_fingerprint=FINGERPRINT,
        model="Pixel 8",
        soc="Tensor G3",
        os_version="Android 14",
        runtime_version="2.3.0",
        threads=1,
        cores=(7,),
        latency_ms=ms,
        high_ms=ms * 1.02,
        median_ms=ms * 1.03,
        ci_low_ms=ms * 1.01,
        ci_high_ms=ms * 1.05,
        cold_load_ms=8.0,
        first_ms=5.0,
        peak_memory_mb=31.5,
        energy_mj=None,
        energy_note="the phone is charged by usb, so its gauge tells nothing of what an inference takes",
        predicted_ms=1.9,
        predicted_low_ms=1.8,
        predicted_high_ms=2.1,
        samples=500,
        processes=10,
        settled=True,
        tolerated=(),
        date_utc="2026-03-01T12:00:00+00:00",
        tool_version="0.1.0",
    )
    return replace(one, **changes)


def bundle(*files: ExportedFile, **changes: Any) -> Bundle:
    """A bundle with something said of it."""
    about = About(title="Pets", summary="Tells pets apart.", data="Photographs.", limits=("Not for people.",))
    return replace(Bundle(files, about), **changes)


def recommended(file: str | None, **passed_over: str) -> Recommendation:
    """What was said after measuring on that phone."""
    return Recommendation("Pixel 8", FINGERPRINT, 1, 1.0, file, "It is the fastest.", passed_over)


def small_architecture() -> Architecture:
    """Every kernel, both expansions, Zero, and strides, of 28 px grey images."""
    return assemble(load_space("demo"), [2, 6, 1, 5, 0, 1, 3, 6], "small")


def real_bundle(folder: Path) -> Bundle:
    """A bundle of a small network whose files run: TFLite and ExecuTorch in fp32, ExecuTorch in int8. Written."""
    architecture = small_architecture()
    classes, side = architecture.classes, architecture.resolution
    shapes = {"tflite": (1, side, side, 1), "executorch": (1, 1, side, side)}
    files = []
    for runtime, precision in (("tflite", "fp32"), ("executorch", "fp32"), ("executorch", "int8")):
        made: Any = export_untrained(architecture, folder / "made", runtime=runtime, precision=precision)  # type: ignore[arg-type]
        name = made.path.name.replace("_untrained", "")
        like = exported(folder, name)
        (folder / name).write_bytes(made.path.read_bytes())
        files.append(
            replace(
                like,
                name="small",
                artifact=replace(made, path=folder / name),
                bytes=(folder / name).stat().st_size,
                input=replace(like.input, shape=shapes[runtime]),
                output=TensorInfo("output", (1, classes), "NC"),
                normalisation=Normalisation((72.9,), (90.0,)),
                labels=tuple(f"class {number}" for number in range(classes)),
                architecture_sha256=architecture_sha256(architecture),
                top1=91.0 if precision == "fp32" else 90.5,
            )
        )
    for leftover in (folder / "made").iterdir():
        leftover.unlink()
    (folder / "made").rmdir()
    one = Bundle(tuple(files), About(title="Small"))
    write_bundle(folder, one)
    return one
