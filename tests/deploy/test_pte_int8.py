"""The written int8 .pte against ExecuTorch's quantised export of the same weights, against exact integers and torch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from pte_cases import SMALL, SPREAD, exported_int8, operators, run

from deploy.executorch_export import takes_channels_last
from deploy.export import export_untrained
from deploy.pte_quantisation import Quantised, quantised, to_floats, to_integers
from deploy.pte_reference import integer_output
from deploy.pte_writer import write_pte
from deploy.samples import network_sample, operator_sample
from latency.opspec import EMPTY, OpSpec

# The exporter leaves a lone classifier's pooling in float32, which no network does, and transposes the contiguous
# input of a residual block once for each of its two uses.
AS_EXPORTED = [op for op in SPREAD if op.kind != "classifier" and (not op.residual or takes_channels_last(op))]


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
    assert write_pte(SMALL.ops, modules, channels_last=False, quantised=numbers) == exported_int8(network, image)


@pytest.mark.slow
@pytest.mark.parametrize("op", AS_EXPORTED, ids=lambda op: op.key)
def test_an_int8_operator_is_written_byte_for_byte_as_the_exporter_makes_it(op: OpSpec) -> None:
    module, image, _, program = of_operator(op, integer_surface=False)
    assert program == exported_int8(module, image)


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
