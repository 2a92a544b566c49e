"""Averaged weights: the formula, step by step in float64."""

import pytest
import torch
from torch import nn

from search.averaging import WeightAverage, decay_at


def test_the_average_follows_its_formula() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5))
    average = WeightAverage.of(module, 0.9)
    expected = [parameter.detach().double().clone() for parameter in module.parameters()]
    for update in range(200):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += torch.randn_like(parameter)
        average.update(update)
        decay = min(0.9, (1 + update) / (10 + update))
        expected = [
            decay * held + (1 - decay) * parameter.detach().double()
            for held, parameter in zip(expected, module.parameters(), strict=True)
        ]
    for ours, theirs in zip(average.averages, expected, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-4)
    other = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5))
    average.copy_to(other.parameters())
    assert all(torch.equal(*both) for both in zip(other.parameters(), average.averages, strict=True))


def test_the_decay_rises_from_a_tenth_to_what_was_asked() -> None:
    decays = [decay_at(0.99, update) for update in range(2000)]
    assert decays[0] == 0.1
    assert decays == sorted(decays)
    assert decays[-1] == 0.99
    assert decay_at(0.999, 90) == pytest.approx(0.91)


def test_averaging_leaves_the_weights_alone() -> None:
    module = nn.Linear(2, 2)
    before = [parameter.detach().clone() for parameter in module.parameters()]
    average = WeightAverage.of(module, 0.5)
    average.update(0)
    assert all(torch.equal(*both) for both in zip(module.parameters(), before, strict=True))
    assert all(not value.requires_grad for value in average.averages)
