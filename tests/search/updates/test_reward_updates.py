"""REINFORCE: what it expects to do, its baseline's direction, the rewards."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from toy_search import COSTS, LATENCY_WEIGHT, NETWORKS, TARGET_MS, Toy, make_toy

from latency.predict import CostModel
from pocketnas_base.errors import InputError
from search.rewards import absolute_reward, mnas_reward
from search.seeds import seeded
from search.state import State
from search.updates.choose import make_update
from search.updates.reinforce import Reinforce, Reward, RewardBaseline

REWARDS: dict[str, Reward] = {
    "reinforce": partial(mnas_reward, target_ms=TARGET_MS, exponent=0.5),
    "tunas": partial(absolute_reward, target_ms=TARGET_MS, beta=-0.3),
}
OPTIONS = {"samples": 2, "baseline_decay": 0.95, "reward_exponent": 0.5, "reward_beta": -0.3}

positive = st.floats(0.01, 1000)
share = st.floats(0, 1)


@pytest.fixture
def toy() -> Toy:
    return make_toy()


def gradient(toy: Toy, update: Reinforce, seed: int = 0) -> Tensor:
    toy.parts.parameters.zero_grad()
    with toy.parts.supernet.weights_frozen():
        update.backward(toy.images, toy.labels, LATENCY_WEIGHT, seeded(seed, "draw"))
    assert toy.alpha.grad is not None
    return toy.alpha.grad.clone()


def reward_gradient(toy: Toy, reward: Reward) -> Tensor:
    """d(-E[R])/dalpha by autograd, the expectation written out over every network."""
    p = toy.parts.parameters.probabilities()
    expected = torch.zeros((), dtype=torch.float64)
    for network in NETWORKS:
        with torch.no_grad():
            logits = toy.parts.supernet(toy.images, network)
        accuracy = float((logits.argmax(1) == toy.labels).double().mean())
        expected = expected + p[0, network[0]] * p[1, network[1]] * reward(accuracy, COSTS.latency_ms(network))
    (found,) = torch.autograd.grad(-expected, toy.alpha)
    return found


@pytest.mark.parametrize("baseline", [None, 0.0, 0.37], ids=str)
@pytest.mark.parametrize("mode", REWARDS)
def test_the_expected_update_is_the_gradient_of_the_expected_reward_zero_included(
    toy: Toy, mode: str, baseline: float | None
) -> None:
    expected = torch.zeros_like(toy.p)
    for drawn in itertools.product(NETWORKS, repeat=2):
        update = make_update(mode, toy.parts, **OPTIONS)
        assert isinstance(update, Reinforce)
        update.baseline.value = baseline
        paths = iter(drawn)
        with patch("search.updates.reinforce.sample_path", lambda *_, paths=paths: list(next(paths))):
            expected += toy.probability_of(drawn[0]) * toy.probability_of(drawn[1]) * gradient(toy, update)
    formula = reward_gradient(toy, REWARDS[mode])
    torch.testing.assert_close(expected, formula, rtol=1e-9, atol=1e-13)
    assert formula[:, 2].abs().min() > 1e-4, "Zero must be moved like any other operator"


def learn(toy: Toy, reward: Callable[[float, float], float], steps: int) -> Tensor:
    update = Reinforce(toy.parts, reward, samples=8, baseline_decay=0.9)
    optimizer = torch.optim.Adam([toy.alpha], lr=0.1, betas=(0.0, 0.999))
    for step in range(steps):
        gradient(toy, update, seed=step)
        optimizer.step()
    return toy.p


def test_it_learns_what_pays(toy: Toy) -> None:
    """A reward of which latency is all: the cheapest network, Zero at both edges, comes out; with its sign turned, the
    dearest."""
    assert learn(toy, lambda _, ms: -ms, 80)[:, 2].min() > 0.9
    assert learn(make_toy(), lambda _, ms: ms, 80)[:, 1].min() > 0.9


def test_the_absolute_reward_ends_at_the_target_whatever_its_strength() -> None:
    target_ms = COSTS.latency_ms((0, 1))
    assert [network for network in NETWORKS if COSTS.latency_ms(network) == pytest.approx(target_ms)] == [(0, 1)]
    for beta in (-0.05, -5.0):
        p = learn(make_toy(), lambda _, ms, beta=beta: absolute_reward(0.5, ms, target_ms, beta), 150)
        assert p.argmax(1).tolist() == [0, 1]


@given(st.floats(-10, 10), st.lists(st.floats(-10, 10), min_size=1, max_size=8), st.floats(0, 0.999))
def test_the_baseline_moves_towards_the_new_rewards_by_its_share(
    before: float, rewards: list[float], decay: float
) -> None:
    baseline = RewardBaseline(decay)
    baseline.value = before
    advantages = baseline.advantages(rewards)
    mean = sum(rewards) / len(rewards)
    assert advantages == [reward - before for reward in rewards], "held against what came before, not against itself"
    assert baseline.value == pytest.approx(decay * before + (1 - decay) * mean, abs=1e-9)


def test_the_baseline_is_a_long_memory_not_the_last_batch() -> None:
    """The released code has the two shares exchanged, so that its baseline is the last batch's mean."""
    baseline = RewardBaseline(0.95)
    baseline.advantages([0.0, 0.0])
    baseline.advantages([1.0, 1.0])
    assert baseline.value == pytest.approx(0.05)
    for _ in range(200):
        baseline.advantages([1.0, 1.0])
    assert baseline.value == pytest.approx(1.0, abs=1e-3)


def test_the_first_update_holds_each_reward_against_the_others() -> None:
    baseline = RewardBaseline(0.9)
    assert baseline.advantages([1.0, 2.0, 6.0]) == pytest.approx([1 - 4, 2 - 3.5, 6 - 1.5])
    assert baseline.value == pytest.approx(3.0)
    assert RewardBaseline(0.9).advantages([5.0]) == [0.0]


def test_the_baseline_comes_back_from_a_checkpoint(toy: Toy) -> None:
    for value in (None, 1 / 3):
        state = State()
        update = Reinforce(toy.parts, REWARDS["tunas"], samples=2, baseline_decay=0.9)
        update.baseline.value = value
        update.add_to(state)
        other = Reinforce(toy.parts, REWARDS["tunas"], samples=2, baseline_decay=0.9)
        other.baseline.value = 7.0
        other.restore(state)
        assert other.baseline.value == value


def test_no_weight_is_asked_for_a_gradient(toy: Toy) -> None:
    update = Reinforce(toy.parts, REWARDS["tunas"], samples=3, baseline_decay=0.9)
    point = update.backward(toy.images, toy.labels, LATENCY_WEIGHT, seeded(0, "draw"))
    assert all(parameter.grad is None for parameter in toy.parts.supernet.parameters())
    assert set(point) == {"arch_loss", "arch_accuracy", "reward", "reward_baseline"}


def test_the_loss_told_is_the_mean_over_the_networks_sampled(toy: Toy) -> None:
    update = Reinforce(toy.parts, REWARDS["tunas"], samples=2, baseline_decay=0.9)
    drawn = iter([[0, 2], [1, 1]])
    with patch("search.updates.reinforce.sample_path", lambda *_: next(drawn)):
        point = update.backward(toy.images, toy.labels, LATENCY_WEIGHT, seeded(0, "draw"))
    with torch.no_grad():
        logits = [toy.parts.supernet(toy.images, path) for path in ([0, 2], [1, 1])]
    each = [float(functional.cross_entropy(found, toy.labels)) for found in logits]
    assert point["arch_loss"] == pytest.approx(sum(each) / 2)


@given(share, positive, positive, st.floats(0, 2))
def test_mnas_reward_falls_with_latency_and_is_accuracy_at_the_target(
    accuracy: float, latency_ms: float, target_ms: float, exponent: float
) -> None:
    reward = mnas_reward(accuracy, latency_ms, target_ms, exponent)
    assert mnas_reward(accuracy, target_ms, target_ms, exponent) == pytest.approx(accuracy)
    assert mnas_reward(accuracy, 1.1 * latency_ms, target_ms, exponent) <= reward
    assert reward == pytest.approx(accuracy * (latency_ms / target_ms) ** -exponent)


@given(share, positive, positive, st.floats(-2, -0.001))
def test_absolute_reward_is_greatest_at_the_target(
    accuracy: float, latency_ms: float, target_ms: float, beta: float
) -> None:
    reward = absolute_reward(accuracy, latency_ms, target_ms, beta)
    assert reward <= absolute_reward(accuracy, target_ms, target_ms, beta) == accuracy


def test_a_reward_that_divides_by_latency_refuses_networks_that_take_none(toy: Toy) -> None:
    parts = replace(toy.parts, costs=CostModel(-0.1, ((0.1, 0.2, 0.0), (0.1, 0.2, 0.0))))
    with pytest.raises(InputError, match=r"predicted to take -0\.1000 ms; use mode tunas"):
        make_update("reinforce", parts, **OPTIONS)
    assert make_update("tunas", parts, **OPTIONS)


def test_an_unknown_mode_is_refused_by_name(toy: Toy) -> None:
    with pytest.raises(InputError, match="unknown search mode 'three-path'; known: two-path, one-path"):
        make_update("three-path", toy.parts, **OPTIONS)  # type: ignore[arg-type]
