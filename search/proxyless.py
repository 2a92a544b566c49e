"""ProxylessNAS search: weight steps along one sampled path, architecture steps along two.

Cai et al., ICLR 2019, section 3.2 and appendix; the schedule follows the released code: warm-up of the weights alone,
then alternation, each phase with its own half-cosine learning rate.
"""

import hashlib
import json
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional

from latency.predict import CostModel
from pocketnas_base.errors import InputError
from search.data.batches import TrainingBatches
from search.latency_loss import ExpectedLatency, LatencyLoss, LossKind
from search.network import channels_last
from search.paths import ArchitectureParameters, rescale_pair, sample_pair, sample_path
from search.schedule import cosine, set_learning_rate
from search.seeds import derive_seed, seeded
from search.space import SearchSpace
from search.state import State
from search.supernet import Supernet

POINTS_PER_CURVE = 200


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How to search. Defaults in brackets are the paper's for ImageNet.

    warmup_steps, steps: weight steps before and during alternation [40 and 120 epochs]. batch_size [256].
    warmup_learning_rate [0.05], learning_rate [0.025], momentum (0.9, Nesterov), weight_decay [4e-5],
    label_smoothing [0.1]: of the weights' SGD. arch_learning_rate [1e-3]: Adam's, with betas 0 and 0.999.
    arch_every: an architecture step follows every n-th weight step [5]. loss, weight, beta, target_ms: see
    LatencyLoss. hold_target: move add#linear's weight after every architecture step by hold_rate * (E - T) / T, that
    ratio kept within -1 and 1, never below 0, so that E settles at the target.
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
    arch_learning_rate: float = 1e-3
    arch_every: int = 5
    loss: LossKind = "add#linear"
    weight: float = 0.1
    beta: float = 0.6
    hold_target: bool = False
    hold_rate: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "arch_every"):
            if getattr(self, name) < 1:
                raise InputError(f"search: {name} must be at least 1, not {getattr(self, name)}")
        if self.warmup_steps < 0:
            raise InputError(f"search: warmup_steps must be at least 0, not {self.warmup_steps}")
        if self.hold_target and self.loss != "add#linear":
            raise InputError(f"search: hold_target moves the weight of add#linear; it says nothing to {self.loss}")


class ProxylessSearch:
    """A search in steps (see loop.SteppedJob). Everything that changes is in the supernet, alpha, two optimisers and
    the latency weight; batches and sampled paths are functions of the seed and the step's number."""

    def __init__(
        self,
        space: SearchSpace,
        costs: CostModel,
        settings: SearchSettings,
        weight_batches: TrainingBatches,
        arch_batches: TrainingBatches,
    ) -> None:
        torch.manual_seed(derive_seed(settings.seed, "supernet"))
        self.space, self.settings = space, settings
        self.supernet = channels_last(Supernet(space))
        self.architecture_parameters = ArchitectureParameters(
            [len(edge.candidates) for edge in space.edges], seeded(settings.seed, "alpha")
        )
        self.expected = ExpectedLatency(costs)
        self.loss = LatencyLoss(settings.loss, settings.target_ms, settings.beta)
        self.latency_weight = settings.weight
        self.weight_optimizer = torch.optim.SGD(
            self.supernet.parameters(),
            lr=settings.learning_rate,
            momentum=settings.momentum,
            nesterov=True,
            weight_decay=settings.weight_decay,
        )
        # With beta1 = 0 an alpha whose gradient is 0 does not move: what was not sampled stays where it was.
        self.arch_optimizer = torch.optim.Adam(
            self.architecture_parameters.parameters(), lr=settings.arch_learning_rate, betas=(0.0, 0.999)
        )
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

    def step(self, number: int) -> dict[str, float] | None:
        """One weight step, and in its turn an architecture step."""
        settings, warmup = self.settings, self.settings.warmup_steps
        warming = number < warmup
        rate = (
            cosine(settings.warmup_learning_rate, number, warmup)
            if warming
            else cosine(settings.learning_rate, number - warmup, settings.steps)
        )
        point = self.weight_step(number, rate)
        if not warming and (number - warmup + 1) % settings.arch_every == 0:
            point |= self.architecture_step(number)
        elif number % max(1, self.total_steps // POINTS_PER_CURVE):
            return None
        p = self.architecture_parameters.probabilities().detach()
        return point | {
            "learning_rate": rate,
            "expected_ms": float(self.expected.of(p)),
            "entropy": self.architecture_parameters.entropy(),
            "latency_weight": self.latency_weight,
        }

    def weight_step(self, number: int, rate: float) -> dict[str, float]:
        """Sample one path, train its weights on one batch; the other paths are neither run nor touched."""
        images, labels = self.weight_batches.at(number)
        path = sample_path(self.architecture_parameters.probabilities(), seeded(self.settings.seed, f"path {number}"))
        set_learning_rate(self.weight_optimizer, rate)
        logits = self.supernet(images, path)
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.settings.label_smoothing)
        self.weight_optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.weight_optimizer.step()
        return {"loss": float(loss.detach()), "accuracy": float((logits.argmax(1) == labels).float().mean())}

    def architecture_step(self, number: int) -> dict[str, float]:
        """The two-path update of alpha on one held-out batch, cross entropy without smoothing, weights untouched."""
        images, labels = self.arch_batches.at(number)
        pair = sample_pair(self.architecture_parameters.probabilities(), seeded(self.settings.seed, f"pair {number}"))
        for parameter in self.supernet.parameters():
            parameter.requires_grad_(False)
        try:
            logits = self.supernet.forward_pair(images, pair, self.alpha)
            cross_entropy = functional.cross_entropy(logits, labels)
            p = self.architecture_parameters.probabilities()
            expected_ms = self.expected.of_pair(self.alpha, p, pair)
            self.arch_optimizer.zero_grad(set_to_none=True)
            loss = self.loss.combine(cross_entropy, expected_ms, self.latency_weight)
            loss.backward()  # type: ignore[no-untyped-call]
        finally:
            for parameter in self.supernet.parameters():
                parameter.requires_grad_(True)
        before = self.alpha.detach().clone()
        self.arch_optimizer.step()
        rescale_pair(self.alpha, before, pair)
        if self.settings.hold_target:
            excess = (float(expected_ms.detach()) - self.loss.target_ms) / self.loss.target_ms
            # Far from the target the weight must not run away: alpha needs time to follow it.
            excess = max(-1.0, min(1.0, excess))
            self.latency_weight = max(0.0, self.latency_weight + self.settings.hold_rate * excess)
        return {
            "arch_loss": float(cross_entropy.detach()),
            "arch_accuracy": float((logits.argmax(1) == labels).float().mean()),
        }

    def add_to(self, state: State) -> None:
        state.add_module("supernet", self.supernet)
        state.add_module("architecture", self.architecture_parameters)
        state.add_optimizer("weight_optimizer", self.weight_optimizer)
        state.add_optimizer("arch_optimizer", self.arch_optimizer)
        state.numbers["latency_weight"] = self.latency_weight

    def restore(self, state: State) -> None:
        state.restore_module("supernet", self.supernet)
        state.restore_module("architecture", self.architecture_parameters)
        state.restore_optimizer("weight_optimizer", self.weight_optimizer)
        state.restore_optimizer("arch_optimizer", self.arch_optimizer)
        self.latency_weight = state.numbers["latency_weight"]
