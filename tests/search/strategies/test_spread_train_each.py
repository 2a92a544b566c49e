"""Candidates trained elsewhere are the candidates trained here, wherever and whenever the search is interrupted."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from problems import EACH, Killed, outcome, problem, same

from search.data.dataset import ImageData
from search.loop import run_steps
from search.strategies.problem import Problem
from search.strategies.spread_train_each import SpreadTrainEach, Trained
from search.strategies.strategy import Strategy, run_strategy
from search.strategies.train_each import TrainEach, held_out_top1, new_training


class Elsewhere:
    """Trains when it is asked for the answer, the last candidate first: what the order of a cluster may be."""

    def __init__(self, asked: Problem) -> None:
        self.asked = asked
        self.begun: list[int] = []
        self._done: dict[int, Trained] = {}
        self._choices: dict[int, tuple[int, ...]] = {}

    def train(self, candidate: int, choices: Sequence[int]) -> "Waiting":
        self.begun.append(candidate)
        self._choices[candidate] = tuple(choices)
        return Waiting(self, candidate)

    def finish(self, candidate: int) -> Trained:
        for each in sorted(self._choices, reverse=True):
            torch.manual_seed(each)  # another process has a generator of its own
            batches = self.asked.batches(EACH.recipe.batch_size, EACH.augmentation)
            training = new_training(self.asked, EACH, each, self._choices.pop(each), batches)
            for number in range(EACH.recipe.steps):
                training.step(number)
            self._done[each] = Trained(held_out_top1(self.asked, training), 10.0)
        return self._done[candidate]


class Waiting:
    def __init__(self, crew: Elsewhere, candidate: int) -> None:
        self.crew, self.candidate = crew, candidate

    def result(self) -> Trained:
        return self.crew.finish(self.candidate)


def new(asked: Problem, *, elsewhere: bool) -> TrainEach:
    return SpreadTrainEach(asked, EACH, Elsewhere(asked)) if elsewhere else TrainEach(asked, EACH)


@pytest.fixture(scope="module")
def at_home(fashion: ImageData, tmp_path_factory: pytest.TempPathFactory) -> TrainEach:
    job = TrainEach(problem(fashion), EACH)
    run_steps(job, tmp_path_factory.mktemp("home") / "checkpoint", lambda *_: None, "steps")
    return job


def without_seconds(job: Strategy) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    tensors, numbers = outcome(job)
    return tensors, {**numbers, "ledger": {**numbers["ledger"], "seconds": 0.0}}


def test_the_search_is_the_same_and_asks_for_whole_updates_at_once(
    fashion: ImageData, at_home: TrainEach, tmp_path: Path
) -> None:
    asked = problem(fashion)
    crew = Elsewhere(asked)
    job = SpreadTrainEach(asked, EACH, crew)
    assert job.fingerprint == at_home.fingerprint
    job.step(0)
    assert crew.begun == [0, 1]
    job = SpreadTrainEach(asked, EACH, Elsewhere(asked))
    found = run_strategy(job, tmp_path / "checkpoint", lambda *_: None)
    assert same(without_seconds(job), without_seconds(at_home))
    assert job.winner() == at_home.winner()
    assert 10.0 * EACH.candidates <= found.ledger.seconds < 10.0 * EACH.candidates + 5, "what was worked, not the wait"
    assert found.curve[-1]["seconds"] == pytest.approx(found.ledger.seconds)


@pytest.mark.parametrize("first", [True, False], ids=["elsewhere first", "here first"])
@pytest.mark.parametrize("kill", range(1, 12))
def test_interrupted_in_one_place_it_goes_on_in_the_other(
    fashion: ImageData,
    at_home: TrainEach,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kill: int,
    first: bool,
) -> None:
    monkeypatch.setattr("search.loop.CHECKPOINT_EVERY_S", -1.0)

    def watch(done: int, _total: int, _what: str) -> None:
        if done == kill:
            raise Killed

    with pytest.raises(Killed):
        run_steps(new(problem(fashion), elsewhere=first), tmp_path / "checkpoint", watch, "steps")
    job = new(problem(fashion), elsewhere=not first)
    run_steps(job, tmp_path / "checkpoint", lambda *_: None, "steps")
    assert same(without_seconds(job), without_seconds(at_home))
