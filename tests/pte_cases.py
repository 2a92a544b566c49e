"""Operators and a network on which the written .pte files are held against ExecuTorch's exporter."""

import warnings

import torch
from hypothesis import strategies as st

from deploy.folding import folded
from latency.opspec import EMPTY, OpSpec, zero
from search.architecture import Architecture


def conv(channels: tuple[int, int], kernel: int, stride: int, resolution: int) -> OpSpec:
    return OpSpec("conv", *channels, kernel, 1, stride, resolution)


def mbconv(
    channels: tuple[int, int], kernel: int, expansion: int, stride: int, resolution: int, residual: bool = False
) -> OpSpec:
    return OpSpec("mbconv", *channels, kernel, expansion, stride, resolution, residual)


def classifier(channels: tuple[int, int], resolution: int) -> OpSpec:
    return OpSpec("classifier", *channels, 1, 1, 1, resolution)


SMALL = Architecture(
    "small",
    (
        conv((3, 8), 3, 2, 9),
        mbconv((8, 8), 3, 1, 1, 5),
        mbconv((8, 8), 5, 3, 1, 5, residual=True),
        zero(8, 5),
        classifier((8, 5), 5),
    ),
)

# Every kind, both layouts, strides, kernels, expansion 1, residuals; one channel and one pixel on each side.
SPREAD = (
    EMPTY,
    conv((1, 16), 3, 2, 28),
    conv((3, 8), 3, 2, 9),
    conv((3, 32), 3, 2, 32),
    conv((40, 128), 1, 1, 7),
    conv((8, 8), 1, 2, 8),
    conv((4, 6), 5, 3, 11),
    conv((8, 1), 1, 1, 4),
    conv((1, 1), 3, 1, 6),
    conv((8, 12), 1, 1, 1),
    conv((8, 12), 3, 2, 2),
    mbconv((8, 12), 3, 1, 1, 14),
    mbconv((8, 8), 3, 1, 1, 14, residual=True),
    mbconv((8, 12), 5, 3, 2, 14),
    mbconv((8, 12), 3, 3, 2, 7),
    mbconv((8, 8), 7, 6, 1, 7, residual=True),
    mbconv((8, 12), 1, 3, 1, 7),
    mbconv((8, 12), 9, 2, 3, 13),
    mbconv((2, 2), 3, 2, 1, 2, residual=True),
    mbconv((1, 8), 3, 6, 1, 6),
    mbconv((8, 1), 3, 3, 1, 4),
    mbconv((1, 1), 3, 6, 1, 6, residual=True),
    mbconv((8, 8), 3, 3, 1, 1, residual=True),
    mbconv((8, 12), 3, 3, 2, 2),
    classifier((16, 10), 7),
    classifier((16, 10), 1),
    classifier((1, 10), 4),
)


@st.composite
def operators(draw: st.DrawFn) -> OpSpec:
    kind = draw(st.sampled_from(["conv", "mbconv", "classifier"]))
    channels, resolution = (draw(st.integers(1, 9)), draw(st.integers(1, 9))), draw(st.integers(1, 9))
    if kind == "classifier":
        return classifier(channels, resolution)
    kernel, stride = draw(st.sampled_from([1, 3, 5, 7])), draw(st.integers(1, 3))
    if kind == "conv":
        return conv(channels, kernel, stride, resolution)
    residual = draw(st.booleans())
    if residual:
        channels, stride = (channels[0], channels[0]), 1
    return mbconv(channels, kernel, draw(st.integers(1, 6)), stride, resolution, residual)


def run(program: bytes, image: torch.Tensor) -> torch.Tensor:
    from executorch.runtime import Runtime

    output: torch.Tensor = Runtime.get().load_program(program).load_method("forward").execute([image])[0]
    return output.clone()


def exported_int8(module: torch.nn.Module, image: torch.Tensor) -> bytes:
    """What PyTorch's and ExecuTorch's tools make of a module, ranges being the least and the largest number seen."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import QuantizationConfig
    from executorch.exir import to_edge_transform_and_lower
    from torchao.quantization.pt2e import MinMaxObserver
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import QuantizationSpec

    usual = get_symmetric_quantization_config(is_per_channel=True)
    activation = QuantizationSpec(
        dtype=torch.int8,
        quant_min=-128,
        quant_max=127,
        qscheme=torch.per_tensor_affine,
        is_dynamic=False,
        observer_or_fake_quant_ctr=MinMaxObserver.with_args(eps=2**-12),
    )
    config = QuantizationConfig(activation, activation, usual.weight, usual.bias, usual.is_qat)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        prepared = prepare_pt2e(
            torch.export.export(folded(module), (image,)).module(), XNNPACKQuantizer().set_global(config)
        )
        prepared(image)
        program = torch.export.export(convert_pt2e(prepared), (image,))
        lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
        return bytes(lowered.to_executorch().buffer)
