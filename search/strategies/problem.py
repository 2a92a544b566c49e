"""What every strategy is given: the same space, costs, images and limit."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property

import torch
from torch import Tensor

from latency.predict import CostModel
from pocketnas_base.errors import InputError
from search.augment import Augmentation
from search.data.batches import TrainingBatches
from search.data.dataset import ImageData, split
from search.layout import Space
from search.ranks import ALONE, Ranks

WINDOW = 0.1


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightsProblem:
    """What a supernet's weights are learned from, whatever is searched with them afterwards.

    data: its training images are divided, class by class, into `holdout` on which candidates are scored, and the rest,
    on which weights are trained. batch_size, augmentation: of supernets' weight steps. device: where all networks live.
    ranks: who else takes the weight steps, on other shares of the same batches. seed: everything drawn derives from it.
    """

    space: Space
    data: ImageData
    holdout: int
    batch_size: int
    seed: int
    augmentation: Augmentation = field(default_factory=Augmentation)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    ranks: Ranks = ALONE

    @cached_property
    def _parts(self) -> tuple[Tensor, Tensor]:
        return split(self.data.train_labels, self.holdout, self.seed)

    @cached_property
    def weight_batches(self) -> TrainingBatches:
        """Augmented batches for supernets."""
        return self.batches(self.batch_size, self.augmentation)

    def batches(self, batch_size: int, augmentation: Augmentation) -> TrainingBatches:
        """Batches of the images that weights are trained on."""
        return TrainingBatches.of(
            self.data,
            self._parts[0],
            batch_size=batch_size,
            seed=self.seed,
            augmentation=augmentation,
            device=self.device,
            ranks=self.ranks,
        )

    @cached_property
    def held_out(self) -> tuple[Tensor, Tensor]:
        """Images uint8 [holdout, C, H, W] and labels int64 [holdout] that no weight step sees."""
        return self.data.train_images[self._parts[1]], self.data.train_labels[self._parts[1]]

    @property
    def weights_fingerprint(self) -> str:
        """sha256 over what decides a one-shot supernet's weights: neither target nor device, nor how many ranks."""
        return _sha256(self._of_weights)

    @property
    def _of_weights(self) -> dict[str, object]:
        return {
            "space": self.space.fingerprint,
            "holdout": self.holdout,
            "data": self.weight_batches.fingerprint,
            "seed": self.seed,
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Problem(WeightsProblem):
    """A search to be done.

    costs: what each candidate of `space` is predicted to take, in ms. target_ms: no winner may be predicted to take
    more. window: networks drawn at random are predicted at most this share below the target: much faster ones are no
    rivals. Raises InputError for a target that the space cannot meet.
    """

    costs: CostModel
    target_ms: float
    window: float = WINDOW

    @classmethod
    def of(cls, weights: WeightsProblem, costs: CostModel, target_ms: float) -> "Problem":
        """The search on these images for one target by one table."""
        given = {each.name: getattr(weights, each.name) for each in fields(weights)}
        return cls(**given, costs=costs, target_ms=target_ms)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.target_ms) and self.target_ms > 0):
            raise InputError(f"the target must be a latency above 0 ms, not {self.target_ms}")
        least_ms = self.costs.fixed_ms + sum(min(row) for row in self.costs.candidate_ms)
        if least_ms > self.target_ms:
            raise InputError(
                f"no architecture of space {self.space.name} is predicted to take {self.target_ms:.4f} ms or less: "
                f"the cheapest takes {least_ms:.4f} ms"
            )

    @property
    def low_ms(self) -> float:
        """Networks drawn at random are predicted to take at least this."""
        return (1 - self.window) * self.target_ms

    @property
    def fingerprint(self) -> str:
        """sha256 over everything that decides a search's outcome, settings of the strategy apart."""
        limits = {"costs": asdict(self.costs), "target_ms": self.target_ms, "window": self.window}
        return _sha256(limits | self._of_weights)


def job_fingerprint(fingerprint: str, strategy: str, settings: object) -> str:
    """sha256 over a problem's fingerprint, a strategy's name and its settings (plain data): whose checkpoint it is."""
    return _sha256([fingerprint, strategy, settings])


def _sha256(plain: object) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
