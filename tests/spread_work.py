"""The same search and the same training on one rank and on several, in float64, where nothing hides behind rounding."""

import dataclasses
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from real_images import fashion_mnist
from tiny_search import COSTS, SPACE
from torch import Tensor

from search.architecture import assemble
from search.augment import Augmentation
from search.averaging import WeightAverage
from search.data.batches import TrainingBatches
from search.data.dataset import ImageData, split
from search.distillation import Teacher
from search.loop import SteppedJob, run_steps
from search.network import Network, load_weights, save_weights
from search.proxyless import ProxylessSearch, SearchSettings
from search.ranks import ALONE, Ranks, joined
from search.state import State
from search.strategies.one_shot import OneShotSettings, OneShotTraining
from search.strategies.problem import WeightsProblem
from search.training import Training, TrainingSettings

SEARCH = SearchSettings(
    target_ms=1.0, warmup_steps=2, steps=6, batch_size=16, arch_every=2, arch_learning_rate=0.05, seed=5
)
TRAINING = TrainingSettings(
    steps=6, batch_size=16, dropout=0.3, seed=3, warmup_steps=2, ema_decay=0.5, clip_norm=1.0, recalibration_images=64
)
STRONG = Augmentation(crop_scale=(0.5, 1.0), brightness=0.4, contrast=0.4)

SEARCHES: dict[str, dict[str, Any]] = {
    "two-path": {"hold_target": True, "clip_norm": 1.0},
    "one-path": {"mode": "one-path", "loss": "mul#log", "target_ms": 1.5},
    "all-paths": {"mode": "all-paths", "warmup_paths": "fair"},
    "reinforce": {"mode": "reinforce", "samples": 3},
    "tunas": {"mode": "tunas", "samples": 2},
}
ONE_SHOT = OneShotSettings(steps=6, clip_norm=1.0)
SCENARIOS = (*SEARCHES, "training", "one-shot")


class Killed(BaseException):
    """What no handler in the product catches."""


class PreciseBatches(TrainingBatches):
    """The same images in float64."""

    def at(self, number: int) -> tuple[Tensor, Tensor]:
        images, labels = super().at(number)
        return images.double(), labels

    def unaugmented(self, count: int) -> Iterator[Tensor]:
        for images in super().unaugmented(count):
            yield images.double()


class PreciseProblem(WeightsProblem):
    """The same, with images in float64."""

    def batches(self, batch_size: int, augmentation: Augmentation) -> TrainingBatches:
        return PreciseBatches(**vars(super().batches(batch_size, augmentation)))


def new_job(scenario: str, data: ImageData, ranks: Ranks, batches: type[TrainingBatches], **changes: Any) -> SteppedJob:
    if scenario == "training":
        torch.manual_seed(8)
        net = assemble(SPACE, [number % 2 for number in range(len(SPACE.edges))], "net")
        teacher = Teacher(Network(net).eval().requires_grad_(False), 0.5, 2.0, "a teacher")
        settings = dataclasses.replace(TRAINING, **changes)
        given = batches.of(data, batch_size=settings.batch_size, seed=3, augmentation=STRONG, ranks=ranks)
        return Training(net, settings, given, teacher)
    if scenario == "one-shot":
        problem = PreciseProblem(
            space=SPACE, data=data, holdout=200, batch_size=16, seed=5, augmentation=STRONG, ranks=ranks
        )
        return OneShotTraining(problem, ONE_SHOT)
    settings_of_search = dataclasses.replace(SEARCH, **{**SEARCHES[scenario], **changes})
    for_weights, for_paths = (
        batches.of(data, part, batch_size=settings_of_search.batch_size, seed=number, ranks=ranks)
        for number, part in enumerate(split(data.train_labels, 200, 5))
    )
    return ProxylessSearch(SPACE, COSTS, settings_of_search, for_weights, for_paths)


def few_images() -> ImageData:
    """The first 1,000 training and 100 test images of Fashion-MNIST."""
    return fashion_mnist(1000, 100)


def in_float64(job: SteppedJob) -> SteppedJob:
    """The job, not begun, with all that it computes with in float64."""
    if isinstance(job, ProxylessSearch):
        job.supernet.double()
        job.architecture_parameters.double()
    if isinstance(job, OneShotTraining):
        job.supernet.double()
    if isinstance(job, Training):
        job.network.double()
        assert job.weight_step.teacher is not None
        job.weight_step.teacher.module.double()
        assert job.settings.ema_decay is not None
        job.average = WeightAverage.of(job.network, job.settings.ema_decay)
    return job


def keep(job: SteppedJob, curve: list[dict[str, float]], folder: Path, name: str, ranks: Ranks) -> None:
    """Everything that steps have changed, and what a training makes of it."""
    state = State()
    job.add_to(state)
    tensors = {key: value.detach().clone() for key, value in state.tensors.items()}
    if isinstance(job, Training) and ranks.leads:
        tensors |= {f"finished.{key}": value for key, value in job.finished().state_dict().items()}
    save_weights(tensors, folder / f"{name}-{ranks.rank}.safetensors", {})
    (folder / f"{name}-{ranks.rank}.json").write_text(json.dumps([curve, state.numbers]))


def kept(folder: Path, name: str, rank: int = 0) -> tuple[dict[str, Tensor], Any]:
    """The tensors, and curve and numbers."""
    numbers = json.loads((folder / f"{name}-{rank}.json").read_text())
    return load_weights(folder / f"{name}-{rank}.safetensors"), numbers


def run_whole(scenario: str, data: ImageData, folder: Path, ranks: Ranks) -> None:
    """In float64, in one go."""
    job = in_float64(new_job(scenario, data, ranks, PreciseBatches))
    curve = run_steps(job, folder / f"{scenario}.checkpoint", lambda *_: None, "steps", ranks=ranks)
    keep(job, curve, folder, scenario, ranks)


def run_killed(scenario: str, data: ImageData, folder: Path, ranks: Ranks) -> None:
    """As the product computes, in float32 and in bfloat16; once in one go, once killed on every rank in the middle."""
    for name, changes in (("plain", {}), ("mixed", {"mixed_precision": True})):
        job = new_job(scenario, data, ranks, TrainingBatches, **changes)
        straight = f"{scenario}-{name}"
        curve = run_steps(job, folder / f"{straight}.checkpoint", lambda *_: None, "steps", ranks=ranks)
        keep(job, curve, folder, straight, ranks)

        def kill_at_five(done: int, _total: int, _what: str) -> None:
            if done == 5:
                raise Killed

        checkpoint = folder / f"{straight}.killed"
        try:
            run_steps(
                new_job(scenario, data, ranks, TrainingBatches, **changes), checkpoint, kill_at_five, "", ranks=ranks
            )
        except Killed:
            torch.manual_seed(ranks.rank)  # whatever came before in a new process's global generator
            ranks.total(torch.zeros(1))  # nobody goes on before all are dead
        job = new_job(scenario, data, ranks, TrainingBatches, **changes)
        curve = run_steps(job, checkpoint, lambda *_: None, "steps", ranks=ranks)
        keep(job, curve, folder, f"{straight}-killed", ranks)


def work(rank: int, size: int, folder: Path, scenarios: Sequence[str]) -> None:
    """All that one rank does."""
    import search.loop

    torch.set_num_threads(1)
    data = few_images()
    with joined(Ranks(rank, size, rank), device=torch.device("cpu"), meeting=folder / "meeting") as ranks:
        for scenario in scenarios:
            run_whole(scenario, data, folder, ranks)
        search.loop.CHECKPOINT_EVERY_S = -1.0
        for scenario in ("two-path", "one-path", "training"):
            if scenario in scenarios:
                run_killed(scenario, data, folder, ranks)


def run_on(size: int, folder: Path, scenarios: Sequence[str]) -> None:
    """Every scenario on `size` ranks, each a process; what they come to lies in `folder`."""
    if size == 1:
        data = few_images()
        for scenario in scenarios:
            run_whole(scenario, data, folder, ALONE)
        return
    spawning = multiprocessing.get_context("spawn")
    processes = [spawning.Process(target=work, args=(rank, size, folder, scenarios)) for rank in range(size)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * size
