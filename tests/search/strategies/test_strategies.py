"""What every strategy keeps: the latency limit, its books, and its course through kills."""

from dataclasses import replace
from pathlib import Path

import pytest
from problems import (
    COSTS,
    EACH,
    EVOLUTION,
    ONE_SHOT,
    STRATEGIES,
    TARGET_MS,
    new_strategy,
    outcome,
    problem,
    run_killed_at,
    same,
)

from pocketnas_base.errors import InputError
from pocketnas_base.progress import silent
from search.data.dataset import ImageData
from search.loop import run_steps
from search.strategies.ledger import Ledger
from search.strategies.one_shot import OneShotTraining
from search.strategies.strategy import Strategy, run_strategy
from search.strategies.train_each import TrainEach


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_killed_after_every_step_ends_as_one_that_was_not(
    fashion: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def make() -> Strategy:
        return new_strategy(name, problem(fashion))

    straight, straight_curve = run_killed_at(make, tmp_path / "straight", [])
    monkeypatch.setattr("search.loop.CHECKPOINT_EVERY_S", -1.0)
    killed, killed_curve = run_killed_at(make, tmp_path / "killed", range(1, straight.total_steps))
    assert same(outcome(killed), outcome(straight))
    assert killed.winner() == straight.winner()
    assert killed_curve == straight_curve


def test_a_supernets_training_is_the_same_for_all_targets_and_after_kills(
    fashion: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, _ = run_killed_at(lambda: OneShotTraining(problem(fashion), ONE_SHOT), tmp_path / "straight", [])
    monkeypatch.setattr("search.loop.CHECKPOINT_EVERY_S", -1.0)
    other = problem(fashion, target_ms=1.6, costs=replace(COSTS, fixed_ms=0.1))
    killed, _ = run_killed_at(lambda: OneShotTraining(other, ONE_SHOT), tmp_path / "killed", range(1, ONE_SHOT.steps))
    assert same(outcome(killed), outcome(straight))
    assert killed.fingerprint == straight.fingerprint
    for changed in (problem(fashion, seed=4), problem(fashion, batch_size=8), problem(fashion, holdout=90)):
        assert OneShotTraining(changed, ONE_SHOT).fingerprint != straight.fingerprint


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_seed_decides(fashion: ImageData, tmp_path: Path, name: str) -> None:
    one, _ = run_killed_at(lambda: new_strategy(name, problem(fashion)), tmp_path / "one", [])
    again, _ = run_killed_at(lambda: new_strategy(name, problem(fashion)), tmp_path / "again", [])
    other, _ = run_killed_at(lambda: new_strategy(name, problem(fashion, seed=4)), tmp_path / "other", [])
    assert same(outcome(again), outcome(one))
    assert not same(outcome(other), outcome(one))


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("target_ms", [0.75, TARGET_MS, 2.0])
def test_no_winner_is_predicted_above_the_target(
    fashion: ImageData, tmp_path: Path, name: str, target_ms: float
) -> None:
    found = run_strategy(new_strategy(name, problem(fashion, target_ms=target_ms)), tmp_path / "checkpoint", silent)
    assert len(found.choices) == len(COSTS.candidate_ms)
    assert COSTS.latency_ms(found.choices) <= target_ms


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_target_that_nothing_meets_is_refused_before_the_search(fashion: ImageData, name: str) -> None:
    with pytest.raises(InputError, match=r"no architecture of space tiny is predicted to take 0.4000 ms or less"):
        new_strategy(name, problem(fashion, target_ms=0.4))


SCORES = ONE_SHOT.recalibration_images + ONE_SHOT.scoring_images
SPENT = {
    # Three warm-up steps, five of the search, two of them followed by an architecture step.
    "proxyless": Ledger(images_trained=(3 + 5 + 2) * 16),
    "evolution": Ledger(
        images_trained=ONE_SHOT.steps * 16,
        images_scored=EVOLUTION.evaluations * SCORES,
        candidates_evaluated=EVOLUTION.evaluations,
    ),
    "random": Ledger(images_trained=ONE_SHOT.steps * 16, images_scored=8 * SCORES, candidates_evaluated=8),
    "train-each": Ledger(
        images_trained=EACH.candidates * 3 * 8,
        images_scored=EACH.candidates * 100,
        candidates_trained=EACH.candidates,
        candidates_evaluated=EACH.candidates,
    ),
}


@pytest.mark.parametrize("name", SPENT)
def test_the_ledger_adds_up(fashion: ImageData, tmp_path: Path, name: str) -> None:
    found = run_strategy(new_strategy(name, problem(fashion)), tmp_path / "checkpoint", silent)
    assert found.ledger.seconds > 0
    assert found.ledger == SPENT[name].after(found.ledger.seconds)
    seconds = [point["seconds"] for point in found.curve]
    assert seconds == sorted(seconds)
    assert found.ledger.seconds >= seconds[-1]


def test_images_that_recalibrate_a_candidate_are_counted(fashion: ImageData, tmp_path: Path) -> None:
    settings = replace(EACH, recipe=replace(EACH.recipe, ema_decay=0.9, recalibration_images=20))
    found = run_strategy(TrainEach(problem(fashion), settings), tmp_path / "checkpoint", silent)
    # Two whole batches of eight, and the held-out images.
    assert found.ledger.images_scored == EACH.candidates * (16 + 100)
    assert found.ledger.images_trained == EACH.candidates * 3 * 8


def test_a_finished_search_called_again_costs_nothing_more(fashion: ImageData, tmp_path: Path) -> None:
    first = run_strategy(new_strategy("random", problem(fashion)), tmp_path / "checkpoint", silent)
    again = run_strategy(new_strategy("random", problem(fashion)), tmp_path / "checkpoint", silent)
    assert again == first


def test_the_checkpoint_of_another_target_or_method_is_refused(fashion: ImageData, tmp_path: Path) -> None:
    run_steps(new_strategy("random", problem(fashion)), tmp_path / "checkpoint", silent, "steps")
    for other in (new_strategy("random", problem(fashion, target_ms=1.4)), new_strategy("evolution", problem(fashion))):
        with pytest.raises(InputError, match="written with other settings"):
            run_steps(other, tmp_path / "checkpoint", silent, "steps")


@pytest.mark.parametrize(
    "value",
    [{}, {**Ledger().to_dict(), "seconds": -1.0}, {**Ledger().to_dict(), "images_trained": 1.5},
     {**Ledger().to_dict(), "seconds": float("nan")}, {**Ledger().to_dict(), "more": 1}, [1], None],
    ids=str,
)  # fmt: skip
def test_a_ledger_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="ledger"):
        Ledger.from_dict(value, source="here")


def test_a_ledger_survives_its_file() -> None:
    ledger = Ledger().plus(images_trained=3, images_scored=4, candidates_trained=1, evaluated=2).after(1.5)
    assert Ledger.from_dict(ledger.to_dict(), source="here") == ledger
