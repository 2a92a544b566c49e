"""Tensors of a file are found by what they hold; those behind a mistake, by their order."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from deploy.layer_match import Match, Sample, arranged, matched, sample_of
from deploy.torch_layers import TorchLayer, run_layers

Array = NDArray[np.float32]


def forms(values: list[Array]) -> list[tuple[Sample, Sample]]:
    return [(sample_of(value), sample_of(arranged(value, channels_last=True))) for value in values]


def samples(values: list[Array]) -> list[Sample]:
    return [sample_of(value) for value in values]


@pytest.fixture
def outputs() -> list[Array]:
    """Of five operations, the third a ReLU of the second."""
    random = np.random.default_rng(0)
    first, second, fourth = (random.standard_normal((1, 8, 9, 10), np.float32) for _ in range(3))
    return [first, second, np.maximum(second, 0), fourth, random.standard_normal((1, 8), np.float32)]


def channels_last(value: Array) -> Array:
    return arranged(value, channels_last=True)


def test_outputs_are_found_by_their_values_in_either_layout(outputs: list[Array]) -> None:
    file = [channels_last(outputs[0]), channels_last(outputs[2]), outputs[3], outputs[4][:, None, None, :]]
    found = matched(forms(outputs), samples(file))
    assert [(match.place, match.tensor) for match in found] == [(0, 0), (2, 1), (3, 2), (4, 3)]
    assert [match.channels_last for match in found[:3]] == [True, True, False]


def test_branches_may_be_computed_in_another_order(outputs: list[Array]) -> None:
    file = [channels_last(outputs[3]), channels_last(outputs[0]), outputs[4]]
    assert [(match.place, match.tensor) for match in matched(forms(outputs), samples(file))] == [(0, 1), (3, 0), (4, 2)]


def test_a_tensor_that_torch_does_not_compute_belongs_to_no_operation(outputs: list[Array]) -> None:
    between = np.random.default_rng(1).standard_normal((1, 9, 10, 8), np.float32)
    file = [channels_last(outputs[0]), between, channels_last(outputs[2]), outputs[4]]
    assert [match.tensor for match in matched(forms(outputs), samples(file))] == [0, 2, 3]


def test_behind_a_mistake_tensors_are_paired_by_order_and_likeness(outputs: list[Array]) -> None:
    noise = np.random.default_rng(1)
    off = [value + 0.5 * noise.standard_normal(value.shape, np.float32) for value in outputs]
    file = [channels_last(outputs[0]), channels_last(np.maximum(off[1], 0)), channels_last(off[3]), off[4]]
    found = matched(forms(outputs), samples(file))
    assert found[0] == Match(0, 0, channels_last=True)
    assert [(match.place, match.tensor) for match in found] == [(0, 0), (2, 1), (3, 2), (4, 3)]


def test_values_that_are_no_numbers_are_paired_too(outputs: list[Array]) -> None:
    broken = np.full_like(outputs[4], np.nan)
    found = matched(forms(outputs), samples([channels_last(outputs[0]), broken]))
    assert [(match.place, match.tensor) for match in found] == [(0, 0), (4, 1)]


class Blocks(nn.Module):
    """A module of torch's inside one of its own, used twice, and functions without modules."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Block()

    def forward(self, images: Tensor) -> Tensor:
        value: Tensor = self.block(self.block(images))
        return functional.relu(value).mean((2, 3))


class Block(nn.Module):
    """Writes over the output of its convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU6(inplace=True))

    def forward(self, images: Tensor) -> Tensor:
        value: Tensor = self.body(images)
        return images + value


def test_operations_are_named_by_their_modules_and_seen_before_they_are_written_over() -> None:
    torch.manual_seed(0)
    module, images = Blocks().eval(), torch.randn(1, 3, 4, 4)
    layers: list[TorchLayer] = []
    values: list[Tensor] = []
    run_layers(module, images, lambda _place, layer, value: (layers.append(layer), values.append(value.clone())))
    one = ["block.body.0", "block.body.1", "block:add"]
    assert [layer.name for layer in layers] == [*one, *(f"{name}#2" for name in one), "relu", "mean"]
    assert [layer.operation for layer in layers[:3]] == ["conv2d", "hardtanh", "add"]
    assert layers[-1].shape == (3,)
    assert torch.equal(values[0], module.block.body[0](images))
    assert values[0].min() < 0
    assert torch.equal(values[-1], module(images))
    assert not module._forward_hooks
