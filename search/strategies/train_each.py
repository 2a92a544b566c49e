"""Every candidate trained from scratch: the way of NASNet and MnasNet (Tan et al., CVPR 2019).

A controller draws candidates; each is trained for a short while and rewarded by its held-out accuracy, weighed with its
latency: accuracy * (target / latency) ^ 0.07 (MnasNet, equation 2, soft).
"""

from dataclasses import asdict, dataclass, field, replace

from pocketnas_base.errors import InputError
from search.architecture import assemble
from search.augment import Augmentation
from search.data.batches import TrainingBatches
from search.derive import latency_range, most_probable_within
from search.rewards import mnas_reward
from search.seeds import derive_seed
from search.start import at_target
from search.state import State
from search.strategies.controller import Controller
from search.strategies.ledger import Ledger
from search.strategies.problem import Problem, job_fingerprint
from search.training import Training, TrainingSettings, logits_of, top1

EXPONENT = 0.07


@dataclass(frozen=True, slots=True)
class TrainEachSettings:
    """candidates: how many networks are trained, one after another. recipe: how each is trained; its steps are the
    short budget, its seed is not used. augmentation: of their batches. per_update: candidates between two updates of
    the controller, whose Adam has `controller_learning_rate`. exponent: of target / latency in the reward."""

    candidates: int
    recipe: TrainingSettings
    augmentation: Augmentation = field(default_factory=Augmentation)
    per_update: int = 4
    controller_learning_rate: float = 0.1
    exponent: float = EXPONENT

    def __post_init__(self) -> None:
        for name in ("candidates", "per_update"):
            if getattr(self, name) < 1:
                raise InputError(f"train-each: {name} must be at least 1, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Tried:
    """A candidate after its training. accuracy: held-out top-1 in percent."""

    choices: tuple[int, ...]
    accuracy: float
    latency_ms: float
    reward: float


class TrainEach:
    """One training step of one candidate a step, so that a kill loses seconds and not a candidate."""

    name = "train-each"

    def __init__(self, problem: Problem, settings: TrainEachSettings) -> None:
        cheapest_ms, _ = latency_range(problem.costs)
        if cheapest_ms <= 0:
            raise InputError(
                f"train-each divides by latency, and a network of this space is predicted to take {cheapest_ms:.4f} "
                "ms; leave it out"
            )
        self.problem, self.settings, self.ledger = problem, settings, Ledger()
        self.controller = Controller(at_target(problem.costs, problem.target_ms), settings.controller_learning_rate)
        self.tried: list[Tried] = []
        self._batches = problem.batches(settings.recipe.batch_size, settings.augmentation)
        self._choices: tuple[int, ...] = ()
        self._training: Training | None = None
        self.total_steps = settings.candidates * settings.recipe.steps
        self.fingerprint = job_fingerprint(problem.fingerprint, self.name, asdict(settings))

    def step(self, number: int) -> dict[str, float] | None:
        """A training step of the candidate at hand; after its last, its reward."""
        candidate, inner = divmod(number, self.settings.recipe.steps)
        if inner == 0 or self._training is None:
            self._choices = self.drawn(candidate)
            self._training = new_training(self.problem, self.settings, candidate, self._choices, self._batches)
            # Those of a candidate that was under way on another machine.
            for missed in range(inner):
                self._training.step(missed)
        training = self._training
        training.step(inner)
        self.ledger = self.ledger.plus(images_trained=self.settings.recipe.batch_size)
        if inner + 1 < self.settings.recipe.steps:
            return None
        self._training = None
        return self.judge(self._choices, held_out_top1(self.problem, training))

    def drawn(self, candidate: int) -> tuple[int, ...]:
        """The choices of a candidate before the controller's next update."""
        return self.controller.draw(derive_seed(self.problem.seed, f"candidate {candidate}"))

    def judge(self, choices: tuple[int, ...], accuracy: float) -> dict[str, float]:
        """Reward the next candidate for its held-out top-1 in percent, and in its turn update the controller."""
        latency_ms = self.problem.costs.latency_ms(choices)
        reward = mnas_reward(accuracy / 100, latency_ms, self.problem.target_ms, self.settings.exponent)
        self.tried.append(Tried(choices, accuracy, latency_ms, reward))
        scored = len(self.problem.held_out[1])
        if asked := self.settings.recipe.recalibrated:
            scored += self._batches.unaugmented_count(asked)
        self.ledger = self.ledger.plus(images_scored=scored, candidates_trained=1, evaluated=1)
        if len(self.tried) % self.settings.per_update == 0:
            latest = self.tried[-self.settings.per_update :]
            self.controller.update([each.choices for each in latest], [each.reward for each in latest])
        return {"held_out_percent": accuracy, "latency_ms": latency_ms, "reward": reward}

    def winner(self) -> list[int]:
        """The most accurate candidate within the limit; where none is, the controller's most probable network there."""
        incumbents = self.incumbents()
        if incumbents:
            return list(incumbents[-1][1])
        return most_probable_within(
            self.controller.probabilities(), self.problem.costs, self.problem.low_ms, self.problem.target_ms
        )

    def incumbents(self) -> list[tuple[int, tuple[int, ...]]]:
        """Who was the winner when: (candidates trained by then, choices), one entry for each change."""
        found: list[tuple[int, tuple[int, ...]]] = []
        best = -1.0
        for number, each in enumerate(self.tried, start=1):
            if each.latency_ms <= self.problem.target_ms and each.accuracy > best:
                best = each.accuracy
                found.append((number, each.choices))
        return found

    def add_to(self, state: State) -> None:
        self.controller.add_to(state)
        if self._training is not None:
            self._training.add_to(state)
        state.numbers["ledger"] = self.ledger.to_dict()
        state.numbers["tried"] = [[*asdict(each).values()] for each in self.tried]
        state.numbers["at_hand"] = None if self._training is None else list(self._choices)

    def restore(self, state: State) -> None:
        self.controller.restore(state)
        self.ledger = Ledger.from_dict(state.numbers["ledger"], source="checkpoint")
        self.tried = [Tried(tuple(choices), *numbers) for choices, *numbers in state.numbers["tried"]]
        if state.numbers["at_hand"] is not None:
            self._choices = tuple(state.numbers["at_hand"])
            candidate = len(self.tried)
            self._training = new_training(self.problem, self.settings, candidate, self._choices, self._batches)
            self._training.restore(state)


def new_training(
    problem: Problem,
    settings: TrainEachSettings,
    candidate: int,
    choices: tuple[int, ...],
    batches: TrainingBatches,
) -> Training:
    """The training of a candidate, not begun: a function of the problem, the settings, its number and its choices."""
    seed = derive_seed(problem.seed, f"training of candidate {candidate}") % 2**31
    architecture = assemble(problem.space, choices, f"candidate-{candidate:05d}")
    return Training(architecture, replace(settings.recipe, seed=seed), batches)


def held_out_top1(problem: Problem, training: Training) -> float:
    """In percent, of what a training has made."""
    images, labels = problem.held_out
    return top1(logits_of(training.finished(), images, training.batches.normalisation), labels)
