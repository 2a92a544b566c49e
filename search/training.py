"""Training one network from scratch, and measuring its accuracy."""

import hashlib
import json
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pocketnas_base.errors import InputError
from search.architecture import Architecture
from search.data.batches import Normalisation, TrainingBatches
from search.network import Network, channels_last
from search.schedule import cosine, set_learning_rate
from search.seeds import derive_seed
from search.state import State

POINTS_PER_CURVE = 200
EVALUATION_BATCH = 500


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """The recipe of a network trained from scratch; in brackets the paper's for ImageNet.

    steps [300 epochs], batch_size [256], learning_rate [0.05, half cosine to 0], momentum 0.9 Nesterov,
    weight_decay [4e-5, none on batch norm and biases], label_smoothing [0.1], dropout before the classifier [0.1].
    """

    steps: int
    batch_size: int = 256
    learning_rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 4e-5
    label_smoothing: float = 0.1
    dropout: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"training: {name} must be at least 1, not {getattr(self, name)}")


class Training:
    """Training in steps (see loop.SteppedJob)."""

    def __init__(self, architecture: Architecture, settings: TrainingSettings, batches: TrainingBatches) -> None:
        torch.manual_seed(derive_seed(settings.seed, "network"))
        self.settings, self.batches = settings, batches
        self.network = channels_last(Network(architecture, dropout=settings.dropout))
        self.optimizer = torch.optim.SGD(
            weight_decay_groups(self.network, settings.weight_decay),
            lr=settings.learning_rate,
            momentum=settings.momentum,
            nesterov=True,
        )
        self.total_steps = settings.steps
        asked = {"settings": asdict(settings), "architecture": architecture.to_dict(), "data": batches.fingerprint}
        self.fingerprint = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def step(self, number: int) -> dict[str, float] | None:
        """One SGD step on one batch."""
        # Dropout draws from torch's global generator: seeded per step, a resumed run drops the same units.
        torch.manual_seed(derive_seed(self.settings.seed, f"dropout {number}"))
        rate = cosine(self.settings.learning_rate, number, self.total_steps)
        set_learning_rate(self.optimizer, rate)
        images, labels = self.batches.at(number)
        self.network.train()
        logits = self.network(images)
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.settings.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if number % max(1, self.total_steps // POINTS_PER_CURVE):
            return None
        accuracy = float((logits.argmax(1) == labels).float().mean())
        return {"loss": float(loss.detach()), "accuracy": accuracy, "learning_rate": rate}

    def add_to(self, state: State) -> None:
        state.add_module("network", self.network)
        state.add_optimizer("optimizer", self.optimizer)

    def restore(self, state: State) -> None:
        state.restore_module("network", self.network)
        state.restore_optimizer("optimizer", self.optimizer)


def weight_decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Two parameter groups: matrices and kernels decay, batch norm's scale and shift and biases do not."""
    decayed = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


@torch.inference_mode()
def logits_of(network: nn.Module, images: Tensor, normalisation: Normalisation) -> Tensor:
    """Evaluation-mode logits [N, classes] of uint8 images [N, C, H, W], in batches."""
    network.eval()
    return torch.cat([network(normalisation(batch)) for batch in torch.split(images, EVALUATION_BATCH)])


def top1(logits: Tensor, labels: Tensor) -> float:
    """Share of labels [N] met by the highest of logits [N, classes], in percent."""
    return 100.0 * int((logits.argmax(1) == labels).sum()) / len(labels)
