"""The candidates of train-each, trained by the machines of a Ray cluster."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pocketnas.ray_cluster import answer_of, check_room
from search.strategies.problem import Problem
from search.strategies.spread_train_each import Trained
from search.strategies.train_each import TrainEachSettings, held_out_top1, new_training

_DEFAULT_THREADS = 1


class RayCrew:
    """See search.strategies.spread_train_each.Crew. One task a candidate, with `threads` cores of the cluster (left
    out, one), and a GPU where the problem lies on one. What is lost with a machine is trained again on another.

    Raises InputError where no machine of the cluster could take a candidate.
    """

    def __init__(self, problem: Problem, settings: TrainEachSettings, threads: int | None) -> None:
        import ray

        self._settings, self._threads = settings, threads or _DEFAULT_THREADS
        gpus = 1 if problem.device.type == "cuda" else 0
        check_room(self._threads, gpus)
        # Images go to each machine once, and stay there in Ray's memory; what the problem has cached is not wanted.
        self._problem = ray.put(replace(problem))
        self._task: Any = ray.remote(num_cpus=self._threads, num_gpus=gpus)(_train)

    def train(self, candidate: int, choices: Sequence[int]) -> "_OnRay":
        """Begin with a candidate."""
        return _OnRay(self._task.remote(self._problem, self._settings, candidate, tuple(choices), self._threads))


@dataclass(frozen=True, slots=True)
class _OnRay:
    reference: object

    def result(self) -> Trained:
        found = answer_of(self.reference)
        assert isinstance(found, Trained)
        return found


def _train(
    problem: Problem, settings: TrainEachSettings, candidate: int, choices: tuple[int, ...], threads: int
) -> Trained:
    """A whole candidate, on the machine that takes it."""
    import torch

    torch.set_num_threads(threads)
    started = time.monotonic()
    batches = problem.batches(settings.recipe.batch_size, settings.augmentation)
    training = new_training(problem, settings, candidate, choices, batches)
    for number in range(settings.recipe.steps):
        training.step(number)
    return Trained(held_out_top1(problem, training), time.monotonic() - started)
