"""Batch norm folding against the module it folds."""

import pytest
import torch
from torch import nn

from deploy.folding import folded
from deploy.samples import operator_sample
from latency.opspec import OpSpec
from pocketnas_base.errors import ExportError
from search.operators import HardSigmoid, SqueezeExcite


def test_folding_keeps_the_function_and_leaves_the_original_alone() -> None:
    sample = operator_sample(OpSpec("mbconv", 6, 6, 5, 6, 1, 9, residual=True), 3)
    before = {name: tensor.clone() for name, tensor in sample.module.state_dict().items()}
    plain = folded(sample.module.train())
    assert sample.module.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in sample.module.state_dict().items())
    assert not any(isinstance(part, nn.BatchNorm2d) for part in plain.modules())
    assert torch.allclose(plain(sample.input), sample.output, atol=1e-5)


def test_a_hard_sigmoid_is_folded_into_the_convolutions_around_it() -> None:
    sample = operator_sample(OpSpec("mbconv", 6, 6, 5, 6, 1, 9, True, "hswish", 0.25), 3)
    plain = folded(sample.module)
    assert not any(isinstance(part, HardSigmoid) for part in plain.modules())
    assert any(isinstance(part, HardSigmoid) for part in sample.module.modules())
    assert torch.allclose(plain(sample.input), sample.output, atol=1e-5)
    assert torch.allclose(sample.module(sample.input), sample.output, atol=0)
    assert sum(isinstance(part, SqueezeExcite) for part in plain.modules()) == 1


def test_a_batch_norm_that_follows_no_convolution_is_refused() -> None:
    with pytest.raises(ExportError, match="follows no convolution"):
        folded(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)))


def test_samples_are_neither_dead_nor_saturated() -> None:
    """A network whose activations all stand at 0 or 6 would hide wrong files, and may run faster than a real one."""
    sample = operator_sample(OpSpec("mbconv", 16, 24, 3, 6, 2, 28), 0)
    assert isinstance(sample.module.body, nn.Sequential)
    value = sample.input
    for layer in sample.module.body:
        value = layer(value)
        if isinstance(layer, nn.ReLU6):
            assert 0.3 < (value == 0).float().mean() < 0.7
            assert (value == 6).float().mean() < 0.05
