"""Activations and squeeze-and-excitation in written .pte files: against ExecuTorch's exporter, torch and integers."""

import pytest
import torch
from block_cases import BLOCKS, MIXED
from pte_cases import exported_int8, run

from deploy.executorch_export import lower, takes_channels_last
from deploy.operators import int8_steps
from deploy.pte_quantisation import quantised, to_floats, to_integers
from deploy.pte_reference import integer_output
from deploy.pte_writer import write_pte
from deploy.samples import network_sample, operator_sample
from latency.opspec import OpSpec


def in_memory(tensor: torch.Tensor, op: OpSpec) -> torch.Tensor:
    return (tensor.permute(0, 2, 3, 1) if takes_channels_last(op) else tensor).contiguous().ravel()


def mixed_modules() -> list[torch.nn.Module]:
    return list(network_sample(MIXED, 0).get_submodule("ops").children())


def image_of_mixed() -> torch.Tensor:
    return torch.randn(1, 3, 9, 9, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("op", BLOCKS, ids=lambda op: op.key)
def test_a_block_computes_in_the_runtime_what_torch_computes(op: OpSpec) -> None:
    sample, last = operator_sample(op, 0), takes_channels_last(op)
    program = write_pte([op], [sample.module], channels_last=last)
    image = sample.input.permute(0, 2, 3, 1).contiguous() if last else sample.input
    output = in_memory(run(program, image.reshape(sample.input.shape)), op)
    expected = in_memory(sample.output, op)
    assert (output - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("op", BLOCKS, ids=lambda op: op.key)
def test_an_int8_block_answers_what_its_integers_say_and_nearly_what_torch_says(op: OpSpec) -> None:
    sample, last = operator_sample(op, 0), takes_channels_last(op)
    numbers = quantised([op], [sample.module], sample.input, integer_surface=True)
    program = write_pte([op], [sample.module], channels_last=last, quantised=numbers)
    integers = to_integers(sample.input, numbers.activations[0])
    reference = integer_output([op], [sample.module], numbers, integers)
    image = integers.permute(0, 2, 3, 1).contiguous() if last else integers
    output = run(program, image.reshape(integers.shape))
    assert output.dtype == torch.int8
    off = (in_memory(output, op).int() - in_memory(reference, op).int()).abs()
    assert off.max() <= int8_steps(op)
    assert len(set(in_memory(reference, op).tolist())) > 5, "a reference of nothing but one number proves nothing"
    found = to_floats(reference, numbers.activations[-1])
    assert (found - sample.output).norm() <= 0.1 * sample.output.norm()


def test_a_network_is_written_byte_for_byte_as_the_exporter_makes_it() -> None:
    written = write_pte(MIXED.ops, mixed_modules(), channels_last=False)
    assert written == lower(network_sample(MIXED, 0), torch.zeros(1, 3, 9, 9))
    image = image_of_mixed()
    expected = network_sample(MIXED, 0)(image).detach()
    assert (run(written, image) - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.slow
def test_an_int8_network_is_written_byte_for_byte_as_the_exporter_makes_it() -> None:
    modules, image = mixed_modules(), image_of_mixed()
    numbers = quantised(MIXED.ops, modules, image, integer_surface=False)
    written = write_pte(MIXED.ops, modules, channels_last=False, quantised=numbers)
    assert written == exported_int8(network_sample(MIXED, 0), image)
    expected = network_sample(MIXED, 0)(image).detach()
    assert (run(written, image) - expected).norm() <= 0.15 * expected.norm()
