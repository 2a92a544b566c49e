"""A one-shot supernet: every path trained alike, so that paths can be ranked by their inherited weights.

Guo et al., Single Path One-Shot NAS, ECCV 2020: weights first, every path alike; the search comes after.
"""

import math
from dataclasses import asdict, dataclass

import torch

from pocketnas_base.errors import InputError, PocketNASError
from search.network import channels_last
from search.path_order import FairPaths, uniform_probabilities
from search.schedule import cosine
from search.seeds import derive_seed
from search.spread import spread
from search.state import State
from search.strategies.ledger import Ledger
from search.strategies.problem import Problem, WeightsProblem, job_fingerprint
from search.strategies.scoring import Scorer
from search.supernet import Supernet
from search.weight_step import WeightStep, share_correct

POINTS_PER_CURVE = 200


@dataclass(frozen=True, slots=True)
class OneShotSettings:
    """How a supernet is trained and its paths are scored.

    steps: weight steps. learning_rate: SGD's, half cosine to 0; momentum Nesterov. label_smoothing, clip_norm,
    mixed_precision: see WeightStep. recalibration_images, scoring_images: what one score takes.
    """

    steps: int
    learning_rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 4e-5
    label_smoothing: float = 0.1
    clip_norm: float | None = None
    mixed_precision: bool = False
    recalibration_images: int = 2048
    scoring_images: int = 2000

    def __post_init__(self) -> None:
        for name in ("steps", "recalibration_images", "scoring_images"):
            if getattr(self, name) < 1:
                raise InputError(f"one-shot supernet: {name} must be at least 1, not {getattr(self, name)}")


class OneShotTraining:
    """The supernet's weight steps, by themselves a job: what they come to serves every target and device. Where the
    problem's batches are divided among ranks, all of them take every step together."""

    def __init__(self, problem: WeightsProblem, settings: OneShotSettings) -> None:
        torch.manual_seed(derive_seed(problem.seed, "one-shot supernet"))
        self.problem, self.settings = problem, settings
        self.supernet = spread(channels_last(Supernet(problem.space)).to(problem.device), problem.ranks)
        self._weights = WeightStep.of_supernet(self.supernet, settings, problem.ranks)
        # Every candidate equally often: none falls behind by chance before it is judged.
        self._paths = FairPaths(problem.space, problem.seed, zero=True)
        self._uniform = uniform_probabilities(problem.space)
        self.total_steps = settings.steps
        self.fingerprint = job_fingerprint(problem.weights_fingerprint, "one-shot", asdict(settings))

    def step(self, number: int) -> dict[str, float] | None:
        """Train one path on one batch; a point of the curve now and then. Raises PocketNASError when the loss is no
        number."""
        images, labels = self.problem.weight_batches.at(number)
        rate = cosine(self.settings.learning_rate, number, self.settings.steps)
        path = self._paths.path(number, self._uniform)
        result = self._weights.step(lambda x: self.supernet(x, path), images, labels, rate)
        if number % max(1, self.settings.steps // POINTS_PER_CURVE):
            return None
        loss = float(self.problem.ranks.mean(result.loss))
        if not math.isfinite(loss):
            raise PocketNASError(
                f"one-shot supernet: the loss is no number any more at step {number}; give a lower "
                "warmup_learning_rate, or a clip_norm"
            )
        accuracy = share_correct(result.logits, labels, self.problem.ranks)
        return {"loss": loss, "accuracy": accuracy, "learning_rate": rate}

    def add_to(self, state: State) -> None:
        state.add_module("supernet", self.supernet)
        state.add_optimizer("optimizer", self._weights.optimizer)

    def restore(self, state: State) -> None:
        state.restore_module("supernet", self.supernet)
        state.restore_optimizer("optimizer", self._weights.optimizer)


class OneShot:
    """The supernet's training, its scorer, and what both cost. Steps are functions of the state and their number
    alone."""

    def __init__(self, problem: Problem, settings: OneShotSettings) -> None:
        self.problem, self.settings = problem, settings
        self.training = OneShotTraining(problem, settings)
        self.scorer = Scorer(
            problem,
            recalibration_images=settings.recalibration_images,
            scoring_images=settings.scoring_images,
        )

    @property
    def supernet(self) -> Supernet:
        """As far as it has been trained."""
        return self.training.supernet

    def train_step(self, number: int, ledger: Ledger) -> tuple[Ledger, dict[str, float] | None]:
        """See OneShotTraining.step."""
        point = self.training.step(number)
        return ledger.plus(images_trained=self.problem.batch_size), point

    def score(self, choices: tuple[int, ...], ledger: Ledger) -> tuple[Ledger, float]:
        """Held-out top-1 of a path in percent, with inherited weights."""
        accuracy = self.scorer.score(self.supernet, choices)
        return ledger.plus(images_scored=self.scorer.images_each, evaluated=1), accuracy

    def add_to(self, state: State) -> None:
        self.training.add_to(state)

    def restore(self, state: State) -> None:
        self.training.restore(state)


def checked_history(value: object) -> list[tuple[tuple[int, ...], float]]:
    """Scored architectures as a checkpoint keeps them: choices and accuracy, in the order of scoring."""
    assert isinstance(value, list)
    return [(tuple(int(index) for index in choices), float(accuracy)) for choices, accuracy in value]
