"""Operators and networks of tree cells as files: what they compute, and what ExecuTorch's exporter makes of them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pte_cases import run
from torch import nn

from deploy.executorch_export import lower, takes_channels_last
from deploy.export import export_untrained
from deploy.folding import folded
from deploy.interpreters import run_tflite
from deploy.operators import export_operators
from deploy.pte_writer import write_pte
from deploy.samples import network_sample, operator_sample
from deploy.tflite_schema import read_operators
from deploy.tflite_writer import write_tflite
from latency.opspec import OpSpec
from pocketnas_base.errors import InputError
from search.architecture import Architecture, assemble
from search.tree_space import TreeSpace
from search.zoo import load_zoo

OPS = (
    OpSpec("convbn", 3, 8, 3, 1, 1, 8),
    OpSpec("reduce", 8, 6, 1, 1, 1, 8),
    OpSpec("expand", 6, 24, 1, 1, 1, 8),
    OpSpec("groupconv", 6, 6, 3, 1, 1, 8),
    OpSpec("groupconv", 6, 6, 3, 1, 2, 8),
    OpSpec("groupconv", 2, 2, 3, 1, 1, 8),
    OpSpec("sepconv", 6, 6, 3, 1, 1, 8),
    OpSpec("sepconv", 6, 6, 7, 1, 1, 4),
    OpSpec("dilconv", 6, 6, 3, 1, 1, 8),
    OpSpec("avgpool", 6, 6, 3, 1, 1, 8),
    OpSpec("maxpool", 6, 6, 3, 1, 1, 8),
    OpSpec("norm", 6, 6, 1, 1, 1, 8),
    OpSpec("normrelu", 6, 6, 1, 1, 1, 8),
    OpSpec("add", 6, 6, 1, 1, 1, 8),
    OpSpec("add", 6, 9, 1, 1, 1, 8),
    OpSpec("add", 6, 9, 1, 1, 2, 8),
    OpSpec("add", 6, 6, 1, 1, 2, 8),
)
SPACE = TreeSpace.from_dict(
    {
        "name": "small-tree",
        "resolution": 8,
        "image_channels": 3,
        "classes": 5,
        "pyramid": {"stem": 8, "alpha": 8, "blocks": [1, 1], "bottleneck": 2},
        "tree": {
            "branches": 2,
            "depth": 1,
            "operators": ["sepconv_3x3", "dilconv_3x3", "avgpool_3x3", "maxpool_3x3", "identity"],
        },
    },
    source="small-tree",
)
NETS = tuple(assemble(SPACE, choices, f"net{choices[0]}") for choices in ([0, 1, 2, 3, 4, 0, 1, 2], [4] * 8))


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.key)
def test_files_compute_what_torch_computes(op: OpSpec) -> None:
    sample, last = operator_sample(op, 0), takes_channels_last(op)
    expected = sample.output
    found = run_tflite(write_tflite([op], [sample.module]), sample.input.numpy())
    assert found.shape == tuple(expected.shape)
    assert np.abs(found - expected.numpy()).max() <= 1e-5 * float(expected.abs().max())
    image = sample.input.permute(0, 2, 3, 1).contiguous() if last else sample.input
    program = write_pte([op], [sample.module], channels_last=last)
    output = run(program, image.reshape(sample.input.shape))
    in_memory = output.permute(0, 2, 3, 1).ravel() if last else output.ravel()
    plain = expected.permute(0, 2, 3, 1).ravel() if last else expected.ravel()
    assert (in_memory - plain).abs().max() <= 1e-5 * float(expected.abs().max())


# Where a pooling or a padding comes first, the exporter numbers its output before the input: the same nodes otherwise.
NUMBERED_ALIKE = [
    op for op in OPS if not (op.kind.endswith("pool") or op.key in ("add_s1_6-9_r8", "add_s2_6-9_r8", "add_s2_6-6_r8"))
]


@pytest.mark.slow
@pytest.mark.parametrize("op", NUMBERED_ALIKE, ids=lambda op: op.key)
def test_an_operator_is_written_byte_for_byte_as_the_exporter_makes_it(op: OpSpec) -> None:
    sample, last = operator_sample(op, 0), takes_channels_last(op)
    layout = torch.channels_last if last else torch.contiguous_format
    written = write_pte([op], [sample.module], channels_last=last)
    assert written == lower(sample.module, sample.input.contiguous(memory_format=layout))


def furthest_off(net: Architecture) -> float:
    """How far the files of both runtimes are off torch on one image, as a share of the largest output."""
    network = network_sample(net, 0)
    modules = list(network.get_submodule("ops").children())
    shape = (1, net.image_channels, net.resolution, net.resolution)
    image = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    expected = network(image).detach()
    of_tflite = torch.from_numpy(run_tflite(write_tflite(net.ops, modules, net.connections), image.numpy()))
    of_executorch = run(write_pte(net.ops, modules, net.connections, channels_last=False), image)
    off = max(float((found - expected).abs().max()) for found in (of_tflite, of_executorch))
    return off / float(expected.abs().max())


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_networks_compute_in_both_runtimes_what_torch_computes(net: Architecture) -> None:
    assert furthest_off(net) <= 1e-4


@pytest.mark.slow
def test_the_published_net_computes_in_both_runtimes_what_torch_computes() -> None:
    assert furthest_off(load_zoo("proxyless-cifar10").architecture) <= 1e-3


def test_a_batch_norm_before_a_convolution_costs_no_operator_where_nothing_is_padded() -> None:
    def kinds(op: OpSpec) -> list[str]:
        return [found.name for found in read_operators(write_tflite([op], [operator_sample(op, 0).module]))]

    assert kinds(OpSpec("reduce", 8, 6, 1, 1, 1, 8)) == ["CONV_2D"]
    assert kinds(OpSpec("expand", 6, 24, 1, 1, 1, 8)) == ["DEPTHWISE_CONV_2D", "CONV_2D"]
    assert kinds(OpSpec("sepconv", 6, 6, 3, 1, 1, 8)) == ["DEPTHWISE_CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D"]
    assert kinds(OpSpec("add", 6, 9, 1, 1, 2, 8)) == ["AVERAGE_POOL_2D", "PAD", "ADD"]


@pytest.mark.parametrize("padding", [0, 1])
def test_a_batch_norm_at_the_head_keeps_its_function_at_the_border(padding: int) -> None:
    layers = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3, padding=padding), nn.BatchNorm2d(4)).train()
    layers(torch.randn(64, 3, 6, 6) * 3 + 1)
    x = torch.randn(2, 3, 6, 6)
    plain = folded(layers.eval())
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in plain.modules())
    assert torch.allclose(plain(x), layers(x), atol=1e-5)


@pytest.mark.parametrize("runtime", ["tflite", "executorch"])
def test_int8_is_refused_in_one_line(runtime: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tree cells are exported in fp32, not in int8"):
        export_operators([OPS[0]], runtime, tmp_path, precision="int8")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="tree cells are exported in fp32, not in int8"):
        export_untrained(NETS[0], tmp_path, runtime=runtime, precision="int8")  # type: ignore[arg-type]
