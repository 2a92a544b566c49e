"""Small real models for both runtimes, made here, with inputs and the outputs that numpy or torch expects of them."""

import numpy as np
import pytest
from lookalike.fixtures import adb_key, adb_server, start_phone
from tiny_models import Model
from tiny_tflite import conv_model, write_model

from android_bench.device import Device
from android_bench.local import open_local
from android_bench.protocol import Protocol
from android_bench.runner.build import Runner, build_runner

__all__ = ["adb_key", "adb_server", "start_phone"]


@pytest.fixture(scope="session")
def tflite_runner() -> Runner:
    return build_runner("tflite")


@pytest.fixture(scope="session")
def executorch_runner() -> Runner:
    return build_runner("executorch")


@pytest.fixture(scope="session")
def tflite_models(tmp_path_factory: pytest.TempPathFactory) -> list[Model]:
    """Six 1x1 convolutions of growing width, ReLU6 after each."""
    directory = tmp_path_factory.mktemp("tflite")
    models = []
    for index in range(6):
        channels = 4 * (index + 1)
        generator = np.random.default_rng(index)
        weights = generator.standard_normal((channels, 3), dtype=np.float32)
        image = generator.standard_normal((1, 8, 8, 3), dtype=np.float32)
        path = directory / f"conv{index}.tflite"
        write_model(path, conv_model(weights, image.shape))
        image.tofile(directory / f"conv{index}.in")
        np.clip(image @ weights.T, 0, 6).tofile(directory / f"conv{index}.out")
        models.append(Model(path, directory / f"conv{index}.in", directory / f"conv{index}.out"))
    return models


@pytest.fixture(scope="session")
def executorch_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A 3x3 convolution and ReLU6, lowered to XNNPACK."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    directory = tmp_path_factory.mktemp("executorch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU6()).eval()
    image = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        module(image).numpy().tofile(directory / "tiny.out")
    image.numpy().tofile(directory / "tiny.in")
    program = to_edge_transform_and_lower(
        torch.export.export(module, (image,)), partitioner=[XnnpackPartitioner()]
    ).to_executorch()
    (directory / "tiny.pte").write_bytes(program.buffer)
    return Model(directory / "tiny.pte", directory / "tiny.in", directory / "tiny.out")


@pytest.fixture(params=["tflite", "executorch"])
def case(request: pytest.FixtureRequest) -> tuple[Runner, Model]:
    """Either runner with a model of its runtime."""
    runner = build_runner(request.param)
    if request.param == "tflite":
        return runner, request.getfixturevalue("tflite_models")[0]
    return runner, request.getfixturevalue("executorch_model")


@pytest.fixture(scope="session")
def device() -> Device:
    return open_local()


@pytest.fixture
def quick() -> Protocol:
    """As short as a measurement can be."""
    return Protocol(
        processes=2, warmup_min_runs=1, warmup_min_ns=0, min_runs=5, min_ns=0, max_runs=50, sentinel_every=3
    )
