"""Training: it learns, and a killed and resumed training is the one that was not killed."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pocketnas_base.errors import InputError, PocketNASError
from search.accelerator import GpuMemoryError
from search.architecture import Architecture, assemble
from search.augment import Augmentation
from search.batch_norm import recalibrate
from search.data.batches import TrainingBatches, normalisation_of
from search.data.dataset import ImageData
from search.distillation import Teacher, distillation_loss
from search.loop import Curve, run_steps
from search.network import Network
from search.schedule import cosine
from search.space import load_space
from search.state import State
from search.training import Training, TrainingSettings, logits_of, top1, weight_decay_groups

DEMO = load_space("demo")
NET = assemble(DEMO, [len(edge.candidates) - 1 if n % 2 else 0 for n, edge in enumerate(DEMO.edges)], "net")
SETTINGS = TrainingSettings(steps=6, batch_size=16, dropout=0.3, seed=3)
EVERYTHING = replace(
    SETTINGS, warmup_steps=2, ema_decay=0.5, clip_norm=1.0, mixed_precision=True, recalibration_images=64
)
STRONG = Augmentation(crop_scale=(0.5, 1.0), brightness=0.4, contrast=0.4)


def new_training(data: ImageData, net: Architecture = NET, **changes: Any) -> Training:
    settings = replace(SETTINGS, **changes)
    return Training(net, settings, TrainingBatches.of(data, batch_size=settings.batch_size, seed=settings.seed))


def training_with_everything(data: ImageData) -> Training:
    torch.manual_seed(8)
    teacher = Teacher(Network(NET).eval().requires_grad_(False), 0.5, 2.0, "a teacher")
    batches = TrainingBatches.of(data, batch_size=16, seed=3, augmentation=STRONG)
    return Training(NET, EVERYTHING, batches, teacher)


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


def run_killed_at(
    data: ImageData,
    checkpoint: Path,
    kills: Iterable[int],
    make: Callable[[ImageData], Training] = new_training,
) -> tuple[Training, Curve]:
    """Run to the end; at each of the steps in `kills` everything but the checkpoint is lost, once."""
    for kill in kills:
        training = make(data)

        def watch(done: int, _total: int, _what: str, kill: int = kill) -> None:
            if done == kill:
                raise Killed

        with pytest.raises(Killed):
            run_steps(training, checkpoint, watch, "steps")
        torch.manual_seed(kill)  # whatever came before in a new process's global generator
        torch.rand(kill + 1)
    training = make(data)
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


def test_with_everything_switched_on_a_killed_training_ends_as_one_that_was_not(
    fashion: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.loop.CHECKPOINT_EVERY_S", -1.0)
    straight, straight_curve = run_killed_at(fashion, tmp_path / "straight", [], training_with_everything)
    resumed, curve = run_killed_at(fashion, tmp_path / "resumed", [1, 3, 4, 6], training_with_everything)
    assert any(name.startswith("average.") for name in outcome(straight))
    assert_same(outcome(resumed), outcome(straight))
    assert_same(resumed.finished().state_dict(), straight.finished().state_dict())
    assert curve == straight_curve


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


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 4},
        {"steps": 7},
        {"learning_rate": 0.1},
        {"dropout": 0.2},
        {"warmup_steps": 1},
        {"ema_decay": 0.9},
        {"clip_norm": 1.0},
        {"mixed_precision": True},
        {"recalibration_images": 16},
    ],
    ids=str,
)
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
    augmented = TrainingBatches.of(fashion, batch_size=16, seed=3, augmentation=STRONG)
    plain = TrainingBatches.of(fashion, batch_size=16, seed=3)
    prints = {
        new_training(fashion).fingerprint,
        new_training(fashion, other_net).fingerprint,
        new_training(images).fingerprint,
        Training(NET, SETTINGS, augmented).fingerprint,
        *(Training(NET, SETTINGS, plain, Teacher(Network(NET), 0.5, 2.0, of)).fingerprint for of in ("one", "other")),
    }
    assert len(prints) == 6
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


def test_the_rate_rises_in_a_line_before_it_falls(fashion: ImageData, tmp_path: Path) -> None:
    training = new_training(fashion, warmup_steps=4, steps=8)
    curve = run_steps(training, tmp_path / "checkpoint", lambda *_: None, "steps")
    rates = [point["learning_rate"] for point in curve]
    assert rates[:5] == pytest.approx([0.0125, 0.025, 0.0375, 0.05, 0.05])
    assert rates[6] == pytest.approx(0.025)
    assert rates[4:] == sorted(rates[4:], reverse=True)


def test_the_finished_network_has_the_averaged_weights_and_the_datas_statistics(fashion: ImageData) -> None:
    training = new_training(fashion, ema_decay=0.9, recalibration_images=1600)
    for number in range(6):
        training.step(number)
    finished = training.finished()
    assert training.average is not None
    for parameter, average in zip(finished.parameters(), training.average.averages, strict=True):
        assert torch.equal(parameter, average)
    assert [
        name for name, p in training.network.named_parameters() if torch.equal(p, finished.get_parameter(name))
    ] == []
    expected = copy.deepcopy(finished)
    images = list(training.batches.unaugmented(1600))
    assert sum(len(batch) for batch in images) == 1600
    recalibrate(expected, images)
    assert [
        name
        for name, value in expected.state_dict().items()
        if not (torch.equal(value, finished.state_dict()[name]) or name.endswith("num_batches_tracked"))
    ] == []
    assert not finished.training


def test_the_average_follows_the_weights_of_every_step(fashion: ImageData) -> None:
    training = new_training(fashion, ema_decay=0.35)
    assert training.average is not None
    expected = [parameter.detach().double() for parameter in training.network.parameters()]
    for number in range(6):
        training.step(number)
        decay = min(0.35, (1 + number) / (10 + number))
        weights = [parameter.detach().double() for parameter in training.network.parameters()]
        expected = [decay * held + (1 - decay) * now for held, now in zip(expected, weights, strict=True)]
    for average, value in zip(training.average.averages, expected, strict=True):
        torch.testing.assert_close(average.double(), value, rtol=1e-4, atol=1e-6)


def test_without_average_and_recalibration_the_finished_network_is_the_trained_one(fashion: ImageData) -> None:
    training = new_training(fashion)
    training.step(0)
    assert_same(training.finished().state_dict(), training.network.state_dict())


def test_averaged_weights_answer_as_well_as_they_should(fashion: ImageData, tmp_path: Path) -> None:
    """Far better than the same weights under the statistics of others."""
    training = new_training(fashion, steps=60, batch_size=64, learning_rate=0.1, dropout=0.1, ema_decay=0.95)
    run_steps(training, tmp_path / "checkpoint", lambda *_: None, "steps")
    normalisation = normalisation_of(fashion)
    finished = top1(logits_of(training.finished(), fashion.test_images, normalisation), fashion.test_labels)
    assert finished > 55


def test_gradients_are_clipped_to_their_norm(fashion: ImageData) -> None:
    def moved(clip_norm: float | None) -> float:
        training = new_training(fashion, clip_norm=clip_norm, weight_decay=0.0, learning_rate=1.0, dropout=0.0)
        before = [parameter.detach().clone() for parameter in training.network.parameters()]
        training.step(0)
        after = training.network.parameters()
        return sum(float((a.detach() - b).square().sum()) for a, b in zip(after, before, strict=True)) ** 0.5

    # The first Nesterov step is the rate times (1 + momentum) times the gradient.
    assert moved(0.01) == pytest.approx(1.9 * 0.01, rel=1e-2)
    assert moved(None) > 1.9 * 0.1
    assert moved(1e6) == pytest.approx(moved(None), rel=1e-4)


def test_a_teacher_has_its_share_of_the_loss(fashion: ImageData) -> None:
    torch.manual_seed(8)
    module = Network(NET).eval().requires_grad_(False)
    batches = TrainingBatches.of(fashion, batch_size=16, seed=3)
    training = Training(NET, replace(SETTINGS, dropout=0.0), batches, Teacher(module, 0.7, 2.0, "t"))
    images, labels = batches.at(0)
    network = copy.deepcopy(training.network).train()
    point = training.step(0)
    with torch.no_grad():
        student, taught = network(images), module(images)
        hard = functional.cross_entropy(student, labels, label_smoothing=0.1)
        expected = 0.3 * hard + 0.7 * distillation_loss(student, taught, 2.0)
    assert point is not None
    assert point["loss"] == pytest.approx(float(expected), rel=1e-5)


def test_mixed_precision_computes_in_bfloat16_and_keeps_weights_in_float32(fashion: ImageData) -> None:
    training = new_training(fashion, mixed_precision=True)
    seen: set[torch.dtype] = set()
    convolution = next(layer for layer in training.network.modules() if isinstance(layer, nn.Conv2d))
    convolution.register_forward_hook(lambda _module, _given, out: seen.add(out.dtype))
    point, exact = training.step(0), new_training(fashion).step(0)
    assert seen == {torch.bfloat16}
    assert {parameter.dtype for parameter in training.network.parameters()} == {torch.float32}
    assert point is not None
    assert exact is not None
    assert point["loss"] == pytest.approx(exact["loss"], rel=0.02)
    assert point["loss"] != exact["loss"]


def test_a_loss_that_is_no_number_ends_the_training_in_one_line(fashion: ImageData) -> None:
    training = new_training(fashion, learning_rate=1e30)
    training.step(0)
    with pytest.raises(PocketNASError, match="the loss is nan at step 1; give a lower learning_rate"):
        training.step(1)


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


def test_an_evaluation_that_needs_more_than_the_gpu_has_is_told_in_one_line(fashion: ImageData) -> None:
    network = Network(NET)

    def refuse(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    network.register_forward_pre_hook(refuse)
    with pytest.raises(GpuMemoryError, match=r"^evaluating 500 images at once needs more memory .* go on with accel"):
        logits_of(network, fashion.test_images, normalisation_of(fashion))


def test_top1_is_a_percentage() -> None:
    logits = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    assert top1(logits, torch.tensor([1, 0, 0, 0])) == 75.0
    assert top1(logits, torch.tensor([0, 1, 0, 1])) == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"warmup_steps": 6}, "warmup_steps must be at least 0 and below the 6 steps, not 6"),
        ({"warmup_steps": -1}, "warmup_steps must be at least 0"),
        ({"ema_decay": 1.0}, "ema_decay must lie between 0 and 1"),
        ({"ema_decay": 0.9, "recalibration_images": 0}, "need recalibration_images above 0"),
        ({"clip_norm": 0.0}, "clip_norm must be above 0"),
        ({"recalibration_images": -1}, "recalibration_images must be at least 0"),
    ],
    ids=str,
)
def test_settings_that_mean_nothing_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=f"training: .*{message}"):
        replace(SETTINGS, **changes)
