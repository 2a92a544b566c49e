"""ProxylessNAS search: weight steps along one path, and in their turn steps of the architecture parameters.

Cai et al., ICLR 2019, section 3 and appendix; the schedule follows the released code: warm-up of the weights alone,
then alternation, each phase with its own half-cosine learning rate. How the architecture parameters learn is a matter
of search.updates.
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from latency.predict import CostModel
from pocketnas_base.errors import InputError, PocketNASError
from search.accelerator import check_mixed_precision
from search.choices import REWARD_MODES, LossKind, Start, UpdateMode, WarmupPaths
from search.data.batches import TrainingBatches
from search.latency_loss import ExpectedLatency, LatencyLoss
from search.layout import Space
from search.network import channels_last
from search.path_order import SampledPaths, warmup_order
from search.paths import ArchitectureParameters
from search.schedule import cosine
from search.seeds import derive_seed, seeded
from search.spread import spread
from search.start import start_at_target
from search.state import State
from search.supernet import Supernet
from search.updates.choose import make_update
from search.updates.update import SearchParts
from search.weight_step import StepResult, WeightStep, share_correct

POINTS_PER_CURVE = 200
UPDATES_PER_CURVE = 2000
"""The curve has every architecture step of a search that makes fewer than twice so many, else every n-th to the last:
it stands in each checkpoint, and a search of ImageNet's length makes a hundred thousand."""

HOLD_LEAD = 50
"""A held weight answers at once to how far E is from the target, as if that had lasted for so many steps already: alpha
follows the weight late, and a weight that only adds up swings around the target."""
HOLD_MOST = 0.2
"""No more than this share of the target counts at one step in what adds up: far from the target alpha needs time to
follow, and a weight that had added up by then would drown the cross entropy."""


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How to search. Defaults in brackets are the paper's for ImageNet.

    warmup_steps, steps: weight steps before and during alternation [40 and 120 epochs]. batch_size [256].
    warmup_learning_rate [0.05], learning_rate [0.025], momentum (0.9, Nesterov), weight_decay [4e-5],
    label_smoothing [0.1], clip_norm [none], mixed_precision [no]: of the weights' SGD; see WeightStep. The last is of
    architecture steps too. warmup_paths: which path a warm-up step trains; see search.path_order [sampled].
    start: of the probabilities: even but for a breath of noise [even], or tilted so that E is the target from the first
    step on (search.start), as a search too short to move that far needs it.
    arch_learning_rate [1e-3]: Adam's, with betas 0 and 0.999. arch_every: an architecture step follows every n-th
    weight step [5]. mode: how it is made, see search.updates [two-path].
    Of two-path, one-path and all-paths: loss, weight, beta, target_ms: see LatencyLoss. hold_target: a proportional and
    integral control of add#linear's weight, so that E settles at the target: to `weight` comes hold_rate times the sum
    of (E - T) / T over the architecture steps (HOLD_MOST) and of HOLD_LEAD times its latest value; never below 0.
    Of reinforce and tunas: samples: networks per update [10, the released code's]; baseline_decay [0.95, TuNAS's];
    reward_exponent of mnas_reward [0.1, the released code's]; reward_beta of absolute_reward [-0.1, TuNAS's code's].
    """

    target_ms: float
    warmup_steps: int
    steps: int
    batch_size: int = 256
    warmup_learning_rate: float = 0.05
    learning_rate: float = 0.025
    momentum: float = 0.9
    weight_decay: float = 4e-5
    label_smoothing: float = 0.1
    clip_norm: float | None = None
    mixed_precision: bool = False
    warmup_paths: WarmupPaths = "sampled"
    start: Start = "even"
    arch_learning_rate: float = 1e-3
    arch_every: int = 5
    mode: UpdateMode = "two-path"
    loss: LossKind = "add#linear"
    weight: float = 0.1
    beta: float = 0.6
    hold_target: bool = False
    hold_rate: float = 0.1
    samples: int = 10
    baseline_decay: float = 0.95
    reward_exponent: float = 0.1
    reward_beta: float = -0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "arch_every"):
            if getattr(self, name) < 1:
                raise InputError(f"search: {name} must be at least 1, not {getattr(self, name)}")
        if self.warmup_steps < 0:
            raise InputError(f"search: warmup_steps must be at least 0, not {self.warmup_steps}")
        if self.samples < 2:
            raise InputError(f"search: samples must be at least 2, not {self.samples}: a reward is held against others")
        if self.reward_exponent < 0 or self.reward_beta >= 0:
            raise InputError("search: reward_exponent must be at least 0, and reward_beta below 0")
        if self.hold_target and self.mode in REWARD_MODES:
            raise InputError(f"search: hold_target moves the weight of a loss; mode {self.mode} has a reward instead")
        if self.hold_target and self.loss != "add#linear":
            raise InputError(f"search: hold_target moves the weight of add#linear; it says nothing to {self.loss}")


class ProxylessSearch:
    """A search in steps (see loop.SteppedJob). Everything that changes is in the supernet, alpha, two optimisers, the
    latency weight and what the update remembers; batches and what is sampled are functions of the seed and the step's
    number. Supernet and alpha are on the batches' device; what is sampled is the same on every one. Where the batches
    are divided among ranks, all of them take every step together.

    Raises InputError for settings, costs and a device that do not go together.
    """

    def __init__(
        self,
        space: Space,
        costs: CostModel,
        settings: SearchSettings,
        weight_batches: TrainingBatches,
        arch_batches: TrainingBatches,
    ) -> None:
        device, self.ranks = weight_batches.device, weight_batches.ranks
        if settings.mixed_precision:
            check_mixed_precision(device)
        if space.size == 1 and settings.loss == "none":
            raise InputError(
                f"search: nothing to search: space {space.name} has one network only, and loss none asks nothing of "
                "its latency; give the space more candidates"
            )
        torch.manual_seed(derive_seed(settings.seed, "supernet"))
        self.space, self.settings = space, settings
        self.supernet = spread(channels_last(Supernet(space)).to(device), self.ranks)
        self.architecture_parameters = ArchitectureParameters(
            [len(edge.candidates) for edge in space.edges], seeded(settings.seed, "alpha")
        ).to(device)
        if settings.start == "target":
            start_at_target(self.alpha, costs, settings.target_ms)
        self.expected = ExpectedLatency(costs)
        self.loss = LatencyLoss(settings.loss, settings.target_ms, settings.beta)
        self.latency_weight = settings.weight
        self.update = make_update(
            settings.mode,
            SearchParts(
                self.supernet,
                self.architecture_parameters,
                costs,
                self.expected,
                self.loss,
                self.ranks,
                settings.mixed_precision,
            ),
            samples=settings.samples,
            baseline_decay=settings.baseline_decay,
            reward_exponent=settings.reward_exponent,
            reward_beta=settings.reward_beta,
        )
        self._training = WeightStep.of_supernet(self.supernet, settings, self.ranks)
        self.weight_optimizer = self._training.optimizer
        # With beta1 = 0 an alpha whose gradient is 0 does not move: what was not sampled stays where it was.
        self.arch_optimizer = torch.optim.Adam(
            self.architecture_parameters.parameters(), lr=settings.arch_learning_rate, betas=(0.0, 0.999)
        )
        self.warmup_paths = warmup_order(settings.warmup_paths, space, settings.seed)
        self.paths = SampledPaths(settings.seed)
        self._drawn_from = self._on_cpu()
        self.weight_batches, self.arch_batches = weight_batches, arch_batches
        self.total_steps = settings.warmup_steps + settings.steps
        asked = {
            "settings": asdict(settings),
            "space": space.fingerprint,
            "costs": asdict(costs),
            "data": [weight_batches.fingerprint, arch_batches.fingerprint],
        }
        self.fingerprint = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    @property
    def alpha(self) -> Tensor:
        """[edges, candidates]"""
        return self.architecture_parameters.alpha

    def probabilities(self) -> list[list[float]]:
        """One row an edge, as long as the edge has candidates."""
        rows = self.architecture_parameters.probabilities().tolist()
        return [row[: len(edge.candidates)] for row, edge in zip(rows, self.space.edges, strict=True)]

    def step(self, number: int) -> dict[str, float] | None:
        """One weight step, and in its turn an architecture step. Raises PocketNASError when the loss is no number."""
        settings, warmup = self.settings, self.settings.warmup_steps
        warming = number < warmup
        rate = (
            cosine(settings.warmup_learning_rate, number, warmup)
            if warming
            else cosine(settings.learning_rate, number - warmup, settings.steps)
        )
        result, labels = self.weight_step(number, rate)
        told = number % max(1, self.total_steps // POINTS_PER_CURVE) == 0
        updates, rest = divmod(number - warmup + 1, settings.arch_every)
        found: dict[str, float] = {}
        if not warming and not rest:
            found = self.architecture_step(number)
            in_all = settings.steps // settings.arch_every
            told |= (in_all - updates) % max(1, in_all // UPDATES_PER_CURVE) == 0
        elif not told:
            return None
        p = self.architecture_parameters.probabilities().detach()
        point = {
            "loss": float(self.ranks.mean(result.loss)),
            "accuracy": share_correct(result.logits, labels, self.ranks),
            **found,
            "learning_rate": rate,
            "expected_ms": float(self.expected.of(p)),
            "entropy": self.architecture_parameters.entropy(),
        }
        if not all(math.isfinite(value) for value in point.values()):
            raise PocketNASError(
                f"search: the loss is no number any more at step {number}; give lower learning rates, or a clip_norm"
            )
        if settings.mode not in REWARD_MODES:
            point["latency_weight"] = self.latency_weight
        return point if told else None

    def weight_step(self, number: int, rate: float) -> tuple[StepResult, Tensor]:
        """Train one path's weights on one batch, the other paths neither run nor touched; how it went, and the labels
        [N]. Nothing waits for the device's results here."""
        images, labels = self.weight_batches.at(number)
        order = self.warmup_paths if number < self.settings.warmup_steps else self.paths
        path = order.path(number, self._drawn_from)
        return self._training.step(lambda x: self.supernet(x, path), images, labels, rate), labels

    def architecture_step(self, number: int) -> dict[str, float]:
        """One update of alpha on one held-out batch, weights untouched; then the hold on the target."""
        # Counted one after another, as they are used: the batches to come can be gathered ahead.
        images, labels = self.arch_batches.at(number // self.settings.arch_every)
        weight = self.latency_weight
        if self.settings.hold_target:
            excess = self._excess()
            weight = max(0.0, weight + self.settings.hold_rate * HOLD_LEAD * min(excess, 1.0))
        self.arch_optimizer.zero_grad(set_to_none=True)
        with self.supernet.weights_frozen():
            draws = seeded(self.settings.seed, f"architecture {number}")
            point = self.update.backward(images, labels, weight, draws)
        self.ranks.average_gradients(self.architecture_parameters.parameters())
        before = self.alpha.detach().clone()
        self.arch_optimizer.step()
        self.update.settle(before)
        self._drawn_from = self._on_cpu()
        if self.settings.hold_target:
            counted = max(-HOLD_MOST, min(HOLD_MOST, excess))
            self.latency_weight = max(0.0, self.latency_weight + self.settings.hold_rate * counted)
        return point

    def _on_cpu(self) -> Tensor:
        """The probabilities, from which weight steps draw their paths: alpha moves in architecture steps alone, and to
        fetch them at each weight step would be to wait for a GPU."""
        return self.architecture_parameters.probabilities().detach().cpu()

    def _excess(self) -> float:
        """(E - T) / T."""
        expected_ms = float(self.expected.of(self.architecture_parameters.probabilities().detach()))
        return (expected_ms - self.loss.target_ms) / self.loss.target_ms

    def add_to(self, state: State) -> None:
        state.add_module("supernet", self.supernet)
        state.add_module("architecture", self.architecture_parameters)
        state.add_optimizer("weight_optimizer", self.weight_optimizer)
        state.add_optimizer("arch_optimizer", self.arch_optimizer)
        state.numbers["latency_weight"] = self.latency_weight
        self.update.add_to(state)

    def restore(self, state: State) -> None:
        state.restore_module("supernet", self.supernet)
        state.restore_module("architecture", self.architecture_parameters)
        state.restore_optimizer("weight_optimizer", self.weight_optimizer)
        state.restore_optimizer("arch_optimizer", self.arch_optimizer)
        self._drawn_from = self._on_cpu()
        self.latency_weight = state.numbers["latency_weight"]
        self.update.restore(state)
