"""A small search that every strategy can finish within a test."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import tiny_search
import torch
from torch import Tensor

from latency.predict import CostModel
from search.data.batches import TrainingBatches
from search.data.dataset import ImageData, split
from search.derive import most_probable_within
from search.loop import Curve, SteppedJob, run_steps
from search.proxyless import ProxylessSearch, SearchSettings
from search.space import SearchSpace
from search.state import State
from search.strategies.evolution import Evolution, EvolutionSettings
from search.strategies.fronts import Fronts
from search.strategies.one_shot import OneShot, OneShotSettings
from search.strategies.problem import Problem
from search.strategies.proxyless import Proxyless
from search.strategies.random_choice import RandomChoice
from search.strategies.strategy import Strategy
from search.strategies.train_each import TrainEach, TrainEachSettings
from search.training import TrainingSettings

SPACE = SearchSpace.from_dict(tiny_search.SPACE.to_dict() | {"expansions": [1, 2]}, source="tiny")
COSTS = CostModel(0.5, tuple((0.1, 0.2, 0.3, 0.5, 0.0)[: len(edge.candidates)] for edge in SPACE.edges))
TARGET_MS = 1.3
ONE_SHOT = OneShotSettings(steps=6, recalibration_images=32, scoring_images=40)
EVOLUTION = EvolutionSettings(evaluations=8, population=3, tournament=2)
RECIPE = TrainingSettings(steps=3, batch_size=8)
EACH = TrainEachSettings(candidates=4, recipe=RECIPE, per_update=2)


def problem(data: ImageData, **changes: Any) -> Problem:
    given = Problem(space=SPACE, costs=COSTS, target_ms=TARGET_MS, data=data, holdout=100, batch_size=16, seed=3)
    return replace(given, **changes)


def new_proxyless(asked: Problem) -> Proxyless:
    settings = SearchSettings(
        target_ms=asked.target_ms, warmup_steps=3, steps=5, batch_size=16, arch_every=2, seed=asked.seed
    )
    parts = split(asked.data.train_labels, asked.holdout, asked.seed)
    batches = [TrainingBatches.of(asked.data, part, batch_size=16, seed=asked.seed + n) for n, part in enumerate(parts)]

    def derive(job: ProxylessSearch) -> list[int]:
        return most_probable_within(job.probabilities(), asked.costs, asked.low_ms, asked.target_ms)

    return Proxyless(asked, ProxylessSearch(SPACE, asked.costs, settings, *batches), derive)


def new_strategy(name: str, asked: Problem) -> Strategy:
    match name:
        case "proxyless":
            return new_proxyless(asked)
        case "evolution":
            return Evolution(asked, ONE_SHOT, EVOLUTION)
        case "random":
            return RandomChoice(asked, ONE_SHOT, 8)
        case "train-each":
            return TrainEach(asked, EACH)
        case "targets":
            return Fronts([asked, replace(asked, target_ms=1.6)], OneShot(asked, ONE_SHOT), EVOLUTION)
    raise AssertionError(name)


Job = TypeVar("Job", bound=SteppedJob)
STRATEGIES = ("proxyless", "evolution", "random", "train-each", "targets")


def outcome(job: SteppedJob) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Everything that steps change."""
    state = State()
    job.add_to(state)
    return {name: value.detach().clone() for name, value in state.tensors.items()}, state.numbers


def same(one: tuple[dict[str, Tensor], dict[str, Any]], other: tuple[dict[str, Tensor], dict[str, Any]]) -> bool:
    (tensors, numbers), (others, other_numbers) = one, other
    alike = tensors.keys() == others.keys() and all(torch.equal(tensors[name], others[name]) for name in tensors)
    return alike and numbers == other_numbers


class Killed(BaseException):
    """What no handler in the product catches."""


def run_killed_at(make: Callable[[], Job], checkpoint: Path, kills: Iterable[int]) -> tuple[Job, Curve]:
    """Run to the end; at each of the steps in `kills` everything but the checkpoint is lost, once."""
    for kill in kills:
        job = make()

        def watch(done: int, _total: int, _what: str, kill: int = kill) -> None:
            if done == kill:
                raise Killed

        with pytest.raises(Killed):
            run_steps(job, checkpoint, watch, "steps")
        torch.manual_seed(kill)
        torch.rand(kill + 1)
    job = make()
    return job, run_steps(job, checkpoint, lambda *_: None, "steps")
