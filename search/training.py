"""Training one network from scratch, and measuring its accuracy."""

import copy
import hashlib
import json
import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from pocketnas_base.errors import InputError, PocketNASError
from search.accelerator import check_mixed_precision, within_memory
from search.architecture import Architecture
from search.averaging import WeightAverage
from search.batch_norm import recalibrate
from search.data.batches import Normalisation, TrainingBatches
from search.distillation import Teacher
from search.network import Network, channels_last
from search.schedule import cosine
from search.seeds import derive_seed
from search.spread import alone, spread
from search.state import State
from search.weight_step import WeightStep, share_correct

POINTS_PER_CURVE = 200
EVALUATION_BATCH = 500
RECALIBRATION_IMAGES = 10_000


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """The recipe of a network trained from scratch; in brackets the paper's for ImageNet.

    steps [300 epochs], batch_size [256], learning_rate [0.05, half cosine to 0], momentum 0.9 Nesterov,
    weight_decay [4e-5, none on batch norm and biases], label_smoothing [0.1], dropout before the classifier [0.1].
    warmup_steps [0]: over so many of the steps the rate first rises to learning_rate. clip_norm [none] and
    mixed_precision [none]: see WeightStep. ema_decay [none]: the network in the end is the moving average of its
    weights (averaging.py). recalibration_images: over so many training images, not augmented, batch norm's statistics
    are taken anew in the end; None: RECALIBRATION_IMAGES with ema_decay, whose weights have no statistics yet, else 0.
    Raises InputError on values that mean nothing.
    """

    steps: int
    batch_size: int = 256
    learning_rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 4e-5
    label_smoothing: float = 0.1
    dropout: float = 0.1
    seed: int = 0
    warmup_steps: int = 0
    clip_norm: float | None = None
    mixed_precision: bool = False
    ema_decay: float | None = None
    recalibration_images: int | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"training: {name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.warmup_steps < self.steps:
            raise InputError(
                f"training: warmup_steps must be at least 0 and below the {self.steps} steps, not {self.warmup_steps}"
            )
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise InputError(f"training: ema_decay must lie between 0 and 1, not {self.ema_decay}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise InputError(f"training: clip_norm must be above 0, not {self.clip_norm}")
        if self.recalibrated < 0:
            raise InputError(f"training: recalibration_images must be at least 0, not {self.recalibrated}")
        if self.ema_decay is not None and not self.recalibrated:
            raise InputError("training: averaged weights (ema_decay) need recalibration_images above 0")

    @property
    def recalibrated(self) -> int:
        """Over how many images batch norm's statistics are taken anew in the end."""
        if self.recalibration_images is not None:
            return self.recalibration_images
        return 0 if self.ema_decay is None else RECALIBRATION_IMAGES


class Training:
    """Training in steps (see loop.SteppedJob), where the batches are. Where those are divided among ranks, all of them
    take every step together."""

    def __init__(
        self,
        architecture: Architecture,
        settings: TrainingSettings,
        batches: TrainingBatches,
        teacher: Teacher | None = None,
    ) -> None:
        if settings.mixed_precision:
            check_mixed_precision(batches.device)
        torch.manual_seed(derive_seed(settings.seed, "network"))
        self.settings, self.batches = settings, batches
        network = channels_last(Network(architecture, dropout=settings.dropout)).to(batches.device)
        self.network = spread(network, batches.ranks)
        self.optimizer = torch.optim.SGD(
            weight_decay_groups(self.network, settings.weight_decay),
            lr=settings.learning_rate,
            momentum=settings.momentum,
            nesterov=True,
        )
        self.weight_step = WeightStep(
            self.network,
            self.optimizer,
            settings.label_smoothing,
            settings.clip_norm,
            settings.mixed_precision,
            None if teacher is None else teacher.to(batches.device),
            batches.ranks,
        )
        decay = settings.ema_decay
        self.average = None if decay is None else WeightAverage.of(self.network, decay)
        self.total_steps = settings.steps
        asked = {
            "settings": asdict(settings),
            "architecture": architecture.to_dict(),
            "data": batches.fingerprint,
            "teacher": None if teacher is None else teacher.fingerprint,
        }
        self.fingerprint = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def step(self, number: int) -> dict[str, float] | None:
        """One SGD step on one batch. Raises PocketNASError when the loss is no number any more."""
        # Dropout draws from torch's global generator: seeded per step, a resumed run drops the same units.
        torch.manual_seed(derive_seed(self.settings.seed, f"dropout {number}"))
        rate = cosine(self.settings.learning_rate, number, self.total_steps, self.settings.warmup_steps)
        images, labels = self.batches.at(number)
        if not self.network.training:
            self.network.train()
        result = self.weight_step.step(self.network, images, labels, rate)
        if self.average:
            self.average.update(number)
        if number % max(1, self.total_steps // POINTS_PER_CURVE):
            return None
        loss = float(self.batches.ranks.mean(result.loss))
        if not math.isfinite(loss):
            raise PocketNASError(
                f"training: the loss is {loss} at step {number}; give a lower learning_rate, warmup_steps or a "
                f"clip_norm"
            )
        accuracy = share_correct(result.logits, labels, self.batches.ranks)
        return {"loss": loss, "accuracy": accuracy, "learning_rate": rate}

    def finished(self) -> Network:
        """The network that the steps so far have made: averaged and with statistics of its own where that was asked."""
        network = alone(copy.deepcopy(self.network))
        if self.average:
            self.average.copy_to(network.parameters())
        if self.settings.recalibrated:
            recalibrate(network, self.batches.unaugmented(self.settings.recalibrated))
        return network.eval()

    def add_to(self, state: State) -> None:
        state.add_module("network", self.network)
        state.add_optimizer("optimizer", self.optimizer)
        if self.average:
            state.tensors |= {f"average.{index}": value for index, value in enumerate(self.average.averages)}

    def restore(self, state: State) -> None:
        state.restore_module("network", self.network)
        state.restore_optimizer("optimizer", self.optimizer)
        if self.average:
            for index, average in enumerate(self.average.averages):
                average.copy_(state.tensors[f"average.{index}"])


def weight_decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Two parameter groups: matrices and kernels decay, batch norm's scale and shift and biases do not."""
    decayed = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


@torch.inference_mode()
def logits_of(network: nn.Module, images: Tensor, normalisation: Normalisation) -> Tensor:
    """Evaluation-mode logits [N, classes] of uint8 images [N, C, H, W], in batches where the network is; on the CPU.

    Raises GpuMemoryError where a batch needs more than the GPU has.
    """
    network.eval()
    device = next(network.parameters()).device
    parts = torch.split(images, EVALUATION_BATCH)
    with within_memory(
        f"evaluating {len(parts[0])} images at once", 'end what else computes there, or go on with accelerator = "cpu"'
    ):
        return torch.cat([network(normalisation(part.to(device, non_blocking=True))) for part in parts]).cpu()


def top1(logits: Tensor, labels: Tensor) -> float:
    """Share of labels [N] met by the highest of logits [N, classes], in percent."""
    return 100.0 * int((logits.argmax(1) == labels).sum()) / len(labels)
