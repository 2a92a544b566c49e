"""The controller learns what is rewarded, and train-each's books of who was the winner when."""

import math
from pathlib import Path

import pytest
import torch
from problems import COSTS, EACH, TARGET_MS, new_strategy, problem

from latency.predict import CostModel
from pocketnas_base.errors import InputError
from pocketnas_base.progress import silent
from search.data.dataset import ImageData
from search.loop import run_steps
from search.strategies.controller import Controller
from search.strategies.train_each import TrainEach, Tried


def test_the_controller_learns_a_toy() -> None:
    """Two of three edges matter; the reward is noisy by the third."""
    controller = Controller([[0.25] * 4, [1 / 3] * 3, [0.5, 0.5]], learning_rate=0.1)
    for update in range(120):
        drawn = [controller.draw(1000 * update + number) for number in range(4)]
        controller.update(drawn, [0.5 * (c[0] == 2) + 0.3 * (c[1] == 0) + 0.05 * c[2] for c in drawn])
    p = controller.probabilities()
    assert p[0][2] > 0.9
    assert p[1][0] > 0.9


def test_an_update_is_the_gradient_of_the_advantage() -> None:
    controller = Controller([[0.5, 0.3, 0.2]], learning_rate=1.0)
    controller.baseline.value = 0.4
    controller._optimizer = torch.optim.SGD([controller.logits], lr=1.0)  # type: ignore[assignment]
    before = controller.logits.detach().clone()
    controller.update([(1,), (2,)], [0.9, 0.1])
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    one, two = torch.eye(3, dtype=torch.float64)[1], torch.eye(3, dtype=torch.float64)[2]
    expected = (0.5 * (one - p) + -0.3 * (two - p)) / 2
    torch.testing.assert_close(controller.logits.detach() - before, expected[None])
    assert controller.baseline.value == pytest.approx(0.9 * 0.4 + 0.1 * 0.5)


def test_edges_with_fewer_candidates_never_draw_one_that_is_not_there() -> None:
    controller = Controller([[0.1] * 10, [1.0], [0.5, 0.5]], learning_rate=0.5)
    for update in range(30):
        drawn = [controller.draw(update)]
        assert drawn[0][1] == 0
        assert drawn[0][2] < 2
        controller.update(drawn, [float(update % 2)])
    assert all(math.isclose(sum(row), 1) for row in controller.probabilities())
    assert [len(row) for row in controller.probabilities()] == [10, 1, 2]


def test_incumbents_are_the_best_within_the_limit_so_far(fashion: ImageData) -> None:
    job = TrainEach(problem(fashion), EACH)
    rows = [(50.0, 1.2), (70.0, 1.31), (40.0, 1.0), (60.0, 1.3), (60.0, 1.1)]
    job.tried = [Tried((n, 0, 0, 0), accuracy, ms, 0.5) for n, (accuracy, ms) in enumerate(rows)]
    assert job.incumbents() == [(1, (0, 0, 0, 0)), (4, (3, 0, 0, 0))]
    assert job.winner() == [3, 0, 0, 0]


def test_where_no_candidate_met_the_limit_the_controller_says_who_wins(fashion: ImageData) -> None:
    job = TrainEach(problem(fashion), EACH)
    job.tried = [Tried((3, 3, 3, 3), 80.0, 2.5, 0.5)]
    winner = job.winner()
    assert job.problem.costs.latency_ms(winner) <= TARGET_MS


def test_a_reward_that_divides_by_latency_refuses_networks_that_take_none(fashion: ImageData) -> None:
    costs = CostModel(-0.1, tuple(tuple(ms / 10 for ms in row) for row in COSTS.candidate_ms))
    with pytest.raises(InputError, match=r"train-each divides by latency, .* take -0\.\d+ ms; leave it out"):
        TrainEach(problem(fashion, costs=costs), EACH)


def test_the_reward_weighs_accuracy_with_latency(fashion: ImageData, tmp_path: Path) -> None:
    job = new_strategy("train-each", problem(fashion))
    assert isinstance(job, TrainEach)
    run_steps(job, tmp_path / "checkpoint", silent, "steps")
    assert len(job.tried) == EACH.candidates
    for each in job.tried:
        assert each.latency_ms == job.problem.costs.latency_ms(each.choices)
        assert each.reward == pytest.approx(each.accuracy / 100 * (each.latency_ms / TARGET_MS) ** -0.07)
    assert job.controller.baseline.value is not None
