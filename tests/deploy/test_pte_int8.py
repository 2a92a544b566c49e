"""The written int8 .pte against ExecuTorch's quantised export of the same weights, against exact integers and torch."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from pte_cases import SMALL, SPREAD, operators, run

from deploy.executorch_export import takes_channels_last
from deploy.export import export_untrained
from deploy.folding import folded
from deploy.pte_quantisation import Quantised, quantised, to_floats, to_integers
from deploy.pte_reference import integer_output
from deploy.pte_writer import write_pte
from deploy.samples import network_sample, operator_sample
from latency.opspec import EMPTY, OpSpec

# The exporter leaves a lone classifier's pooling in float32, which no network does, and transposes the contiguous
# input of a residual block once for each of its two uses.
AS_EXPORTED = [op for op in SPREAD if op.kind != "classifier" and (not op.residual or takes_channels_last(op))]


def exported(module: torch.nn.Module, image: torch.Tensor) -> bytes:
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


def of_operator(op: OpSpec, *, integer_surface: bool) -> tuple[torch.nn.Module, torch.Tensor, Quantised, bytes]:
    sample, last = operator_sample(op, 0), takes_channels_last(op)
    image = sample.input.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
    numbers = quantised([op], [sample.module], image, integer_surface=integer_surface)
    return sample.module, image, numbers, write_pte([op], [sample.module], channels_last=last, quantised=numbers)


def small_network() -> tuple[torch.nn.Module, list[torch.nn.Module], torch.Tensor]:
    network = network_sample(SMALL, 0)
    image = torch.randn(1, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    return network, list(network.get_submodule("ops").children()), image


def test_an_int8_network_is_written_byte_for_byte_as_the_exporter_makes_it() -> None:
    """Whoever installs an ExecuTorch or a torchao that quantises otherwise learns it here."""
    network, modules, image = small_network()
    numbers = quantised(SMALL.ops, modules, image, integer_surface=False)
    assert write_pte(SMALL.ops, modules, channels_last=False, quantised=numbers) == exported(network, image)


@pytest.mark.slow
@pytest.mark.parametrize("op", AS_EXPORTED, ids=lambda op: op.key)
def test_an_int8_operator_is_written_byte_for_byte_as_the_exporter_makes_it(op: OpSpec) -> None:
    module, image, _, program = of_operator(op, integer_surface=False)
    assert program == exported(module, image)


@given(op=operators())
@example(op=OpSpec("classifier", 8, 4, 1, 1, 1, 4))  # a mean of 16 integers often lies half-way between two
@example(op=OpSpec("classifier", 8, 10, 1, 1, 1, 2))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_every_int8_operator_computes_in_the_runtime_what_exact_integers_say(op: OpSpec) -> None:
    module, image, numbers, program = of_operator(op, integer_surface=True)
    integers, last = to_integers(image, numbers.activations[0]).contiguous(), takes_channels_last(op)
    expected = integer_output([op], [module], numbers, integers)
    # The bindings copy a tensor's memory as it lies.
    given_bytes = integers.permute(0, 2, 3, 1).contiguous() if last else integers
    output = run(program, given_bytes.reshape(integers.shape))
    assert output.dtype == torch.int8
    assert output.shape == expected.shape
    found, wanted = (value.permute(0, 2, 3, 1) if last else value for value in (output, expected))
    assert (found.ravel().int() - wanted.ravel().int()).abs().max() <= 1


@pytest.mark.parametrize("op", [op for op in SPREAD if op != EMPTY and op.out_resolution > 2], ids=lambda op: op.key)
def test_an_int8_operator_stays_close_to_float32(op: OpSpec) -> None:
    module, image, numbers, _ = of_operator(op, integer_surface=True)
    integers = to_integers(image, numbers.activations[0])
    output = to_floats(integer_output([op], [module], numbers, integers), numbers.activations[-1])
    expected = module(image).detach()
    assert (output - expected).norm() <= 0.1 * expected.norm()


def test_an_int8_network_stays_close_to_float32(tmp_path: Path) -> None:
    network, modules, image = small_network()
    numbers = quantised(SMALL.ops, modules, image, integer_surface=False)
    output = run(write_pte(SMALL.ops, modules, channels_last=False, quantised=numbers), image)
    expected = network(image).detach()
    assert output.dtype == torch.float32
    assert (output - expected).norm() <= 0.1 * expected.norm()
    untrained = export_untrained(SMALL, tmp_path, runtime="executorch", precision="int8")
    assert np.isfinite(run(untrained.path.read_bytes(), image).numpy()).all()
    assert untrained.precision == "int8"
