"""The written .pte against what ExecuTorch's exporter makes of the same weights, and against torch in its runtime."""

import pytest
import torch
from hypothesis import given, settings
from pte_cases import SMALL, SPREAD, mbconv, operators, run

from deploy.executorch_export import lower, takes_channels_last
from deploy.pte_writer import write_pte
from deploy.samples import network_sample, operator_sample
from latency.opspec import OpSpec, zero
from pocketnas_base.errors import InputError
from search.architecture import Architecture, assemble
from search.space import load_space


def exported_operator(op: OpSpec) -> bytes:
    layout = torch.channels_last if takes_channels_last(op) else torch.contiguous_format
    sample = operator_sample(op, 0)
    return lower(sample.module, sample.input.contiguous(memory_format=layout))


def written_operator(op: OpSpec) -> bytes:
    return write_pte([op], [operator_sample(op, 0).module], channels_last=takes_channels_last(op))


def exported_network(architecture: Architecture) -> bytes:
    size = architecture.resolution
    return lower(network_sample(architecture, 0), torch.zeros(1, architecture.image_channels, size, size))


def written_network(architecture: Architecture) -> bytes:
    modules = list(network_sample(architecture, 0).get_submodule("ops").children())
    return write_pte(architecture.ops, modules, channels_last=False)


def test_a_network_is_written_byte_for_byte_as_the_exporter_makes_it() -> None:
    """Whoever installs an ExecuTorch whose exporter writes something else learns it here."""
    assert written_network(SMALL) == exported_network(SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("op", SPREAD, ids=lambda op: op.key)
def test_an_operator_is_written_byte_for_byte_as_the_exporter_makes_it(op: OpSpec) -> None:
    assert written_operator(op) == exported_operator(op)


@pytest.mark.slow
@pytest.mark.parametrize(("space", "choices"), [("demo", [2, 6, 1, 5, 0, 1, 3, 6]), ("mobile", [5, 0, 6, 1] * 5 + [4])])
def test_a_network_of_a_space_is_written_byte_for_byte_as_the_exporter_makes_it(space: str, choices: list[int]) -> None:
    architecture = assemble(load_space(space), choices, "net")
    assert written_network(architecture) == exported_network(architecture)


@given(op=operators())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_every_operator_computes_in_the_runtime_what_torch_computes(op: OpSpec) -> None:
    sample, last = operator_sample(op, 0), takes_channels_last(op)
    image = sample.input.permute(0, 2, 3, 1).contiguous() if last else sample.input
    # The bindings copy a tensor's memory as it lies.
    output = run(written_operator(op), image.reshape(sample.input.shape))
    in_memory = output.permute(0, 2, 3, 1).ravel() if last else output.ravel()
    expected = sample.output.permute(0, 2, 3, 1).ravel() if last else sample.output.ravel()
    assert in_memory.shape == expected.shape
    assert (in_memory - expected).abs().max() <= 1e-5 * max(float(expected.abs().max()), 1.0)


def test_a_network_computes_in_the_runtime_what_torch_computes() -> None:
    image = torch.randn(1, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    expected = network_sample(SMALL, 0)(image).detach()
    assert (run(written_network(SMALL), image) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_chain_of_equal_operators_is_written_byte_for_byte_as_the_exporter_makes_it() -> None:
    op = mbconv((8, 8), 3, 3, 1, 5, residual=True)
    modules = [operator_sample(op, seed).module for seed in (0, 1)]
    image = torch.zeros(1, 8, 5, 5).contiguous(memory_format=torch.channels_last)
    assert write_pte([op, op], modules, channels_last=True) == lower(torch.nn.Sequential(*modules), image)


def test_zero_adds_nothing_and_alone_is_no_program() -> None:
    op = mbconv((8, 12), 3, 1, 1, 7)
    module = operator_sample(op, 0).module
    alone = write_pte([op], [module], channels_last=True)
    with_zeros = [zero(8, 7), op, zero(12, 7)]
    assert write_pte(with_zeros, [torch.nn.Identity(), module, torch.nn.Identity()], channels_last=True) == alone
    with pytest.raises(InputError, match="nothing but Zero"):
        write_pte([zero(8, 7)], [torch.nn.Identity()], channels_last=True)
