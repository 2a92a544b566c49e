"""Training: it learns, and a killed and resumed training is the one that was not killed."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pocketnas_base.errors import InputError
from search.architecture import Architecture, assemble
from search.data.batches import TrainingBatches, normalisation_of
from search.data.dataset import ImageData
from search.loop import Curve, run_steps
from search.network import Network
from search.schedule import cosine
from search.space import load_space
from search.state import State
from search.training import Training, TrainingSettings, logits_of, top1, weight_decay_groups

DEMO = load_space("demo")
NET = assemble(DEMO, [len(edge.candidates) - 1 if n % 2 else 0 for n, edge in enumerate(DEMO.edges)], "net")
SETTINGS = TrainingSettings(steps=6, batch_size=16, dropout=0.3, seed=3)


def new_training(data: ImageData, net: Architecture = NET, **changes: Any) -> Training:
    settings = replace(SETTINGS, **changes)
    return Training(net, settings, TrainingBatches.of(data, batch_size=settings.batch_size, seed=settings.seed))


def outcome(training: Training) -> dict[str, Tensor]:
    """Weights, running statistics and momentum."""
    state = State()
    training.add_to(state)
    return {name: value.detach().clone() for name, value in state.tensors.items()}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


class Killed(BaseException):
    """What no handler in the product catches."""


def run_killed_at(data: ImageData, checkpoint: Path, kills: Iterable[int]) -> tuple[Training, Curve]:
    """Run to the end; at each of the steps in `kills` everything but the checkpoint is lost, once."""
    for kill in kills:
        training = new_training(data)

        def watch(done: int, _total: int, _what: str, kill: int = kill) -> None:
            if done == kill:
                raise Killed

        with pytest.raises(Killed):
            run_steps(training, checkpoint, watch, "steps")
        torch.manual_seed(kill)  # whatever came before in a new process's global generator
        torch.rand(kill + 1)
    training = new_training(data)
    return training, run_steps(training, checkpoint, lambda *_: None, "steps")


@pytest.fixture(scope="module")
def uninterrupted(fashion: ImageData, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], Curve]:
    training, curve = run_killed_at(fashion, tmp_path_factory.mktemp("straight") / "checkpoint", [])
    return outcome(training), curve


@pytest.mark.parametrize("kills", [[0], [1], [2], [3], [4], [5], [6], range(7)], ids=str)
def test_a_training_killed_after_any_step_ends_as_one_that_was_not(
    fashion: ImageData,
    uninterrupted: tuple[dict[str, Tensor], Curve],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kills: Iterable[int],
) -> None:
    monkeypatch.setattr("search.loop.CHECKPOINT_EVERY_S", -1.0)
    training, curve = run_killed_at(fashion, tmp_path / "checkpoint", kills)
    assert_same(outcome(training), uninterrupted[0])
    assert curve == uninterrupted[1]


def test_a_resumed_network_answers_as_the_other(
    fashion: ImageData, uninterrupted: tuple[dict[str, Tensor], Curve], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.loop.CHECKPOINT_EVERY_S", -1.0)
    training, _ = run_killed_at(fashion, tmp_path / "checkpoint", [4])
    other = new_training(fashion)
    state = State(dict(uninterrupted[0]))
    other.restore(state)
    normalisation = normalisation_of(fashion)
    assert torch.equal(
        logits_of(training.network, fashion.test_images[:64], normalisation),
        logits_of(other.network, fashion.test_images[:64], normalisation),
    )


@pytest.mark.parametrize("changes", [{"seed": 4}, {"steps": 7}, {"learning_rate": 0.1}, {"dropout": 0.2}], ids=str)
def test_the_checkpoint_of_another_training_is_refused(
    fashion: ImageData, tmp_path: Path, changes: dict[str, Any]
) -> None:
    checkpoint = tmp_path / "checkpoint"
    State().save(checkpoint, belongs_to=new_training(fashion).fingerprint)
    with pytest.raises(InputError, match="written with other settings"):
        run_steps(new_training(fashion, **changes), checkpoint, lambda *_: None, "steps")


def test_another_net_or_other_images_are_another_training(fashion: ImageData) -> None:
    other_net = assemble(DEMO, [0] * len(DEMO.edges), "net")
    images = replace(fashion, train_images=255 - fashion.train_images)
    prints = {
        new_training(fashion).fingerprint,
        new_training(fashion, other_net).fingerprint,
        new_training(images).fingerprint,
    }
    assert len(prints) == 3
    assert new_training(fashion).fingerprint in prints


def test_a_short_training_learns_real_images(fashion: ImageData, tmp_path: Path) -> None:
    training = new_training(fashion, steps=80, batch_size=64, learning_rate=0.1, dropout=0.1)
    normalisation = normalisation_of(fashion)
    before = top1(logits_of(training.network, fashion.test_images, normalisation), fashion.test_labels)
    curve = run_steps(training, tmp_path / "checkpoint", lambda *_: None, "steps")
    after = top1(logits_of(training.network, fashion.test_images, normalisation), fashion.test_labels)
    assert before < 35
    assert after > 60
    assert sum(point["loss"] for point in curve[-10:]) < sum(point["loss"] for point in curve[:10])


def test_the_rate_falls_as_half_a_cosine(fashion: ImageData, tmp_path: Path) -> None:
    curve = run_steps(new_training(fashion), tmp_path / "checkpoint", lambda *_: None, "steps")
    rates = [point["learning_rate"] for point in curve]
    assert rates == [cosine(0.05, number, 6) for number in range(6)]
    assert rates[0] == 0.05
    assert rates[3] == pytest.approx(0.025)
    assert cosine(0.05, 6, 6) == pytest.approx(0.0, abs=1e-12)


def test_a_curve_has_a_few_hundred_points_at_most(fashion: ImageData) -> None:
    long = new_training(fashion, steps=2000)
    told = [number for number in (0, 1, 9, 10, 11, 20) if long.step(number) is not None]
    assert told == [0, 10, 20]


def test_batch_norm_and_biases_do_not_decay(fashion: ImageData) -> None:
    network = Network(NET)
    decayed, others = weight_decay_groups(network, 0.01)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.01, 0.0)
    kernels = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert isinstance(decayed["params"], list)
    assert isinstance(others["params"], list)
    assert {id(p) for p in decayed["params"]} == {id(p) for p in kernels}
    assert len(decayed["params"]) + len(others["params"]) == len(list(network.parameters()))
    used = [group["weight_decay"] for group in new_training(fashion, weight_decay=0.02).optimizer.param_groups]
    assert used == [0.02, 0.0]


def test_evaluation_does_not_depend_on_how_images_are_batched(fashion: ImageData) -> None:
    torch.manual_seed(0)
    network = Network(NET, dropout=0.5)
    normalisation = normalisation_of(fashion)
    whole = logits_of(network, fashion.test_images, normalisation)
    assert whole.shape == (500, 10)
    alone = torch.cat([logits_of(network, fashion.test_images[n : n + 1], normalisation) for n in range(5)])
    torch.testing.assert_close(alone, whole[:5], rtol=1e-4, atol=1e-5)
    assert not network.training


def test_top1_is_a_percentage() -> None:
    logits = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    assert top1(logits, torch.tensor([1, 0, 0, 0])) == 75.0
    assert top1(logits, torch.tensor([0, 1, 0, 1])) == 0.0


@pytest.mark.parametrize("changes", [{"steps": 0}, {"batch_size": 0}], ids=str)
def test_settings_that_mean_nothing_are_refused(changes: dict[str, int]) -> None:
    (name,) = changes
    with pytest.raises(InputError, match=f"training: {name} must be at least 1, not 0"):
        replace(SETTINGS, **changes)
