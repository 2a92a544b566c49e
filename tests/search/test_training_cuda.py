"""Training on a GPU: the same batches, the same steps to within rounding, and a resumed run that goes on."""

import dataclasses
from pathlib import Path

import pytest
import torch

from search.architecture import assemble
from search.augment import Augmentation
from search.data.batches import TrainingBatches, normalisation_of
from search.data.dataset import ImageData
from search.distillation import Teacher
from search.loop import run_steps
from search.network import Network, load_network, save_weights
from search.space import load_space
from search.training import Training, TrainingSettings, logits_of, top1

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA GPU here")

DEVICE = "cuda"
DEMO = load_space("demo")
NET = assemble(DEMO, [0] * len(DEMO.edges), "net")
STRONG = Augmentation(crop_scale=(0.3, 1.0), brightness=0.4, contrast=0.4)
SETTINGS = TrainingSettings(steps=8, batch_size=32, dropout=0.0, seed=3)


def batches(data: ImageData, device: str, augmentation: Augmentation | None = None) -> TrainingBatches:
    return TrainingBatches.of(data, batch_size=32, seed=3, augmentation=augmentation, device=device)


@pytest.mark.parametrize("augmentation", [Augmentation(), STRONG], ids=["shift", "strong"])
def test_batches_are_the_same_on_both_devices(fashion: ImageData, augmentation: Augmentation) -> None:
    here, there = batches(fashion, "cpu", augmentation), batches(fashion, DEVICE, augmentation)
    assert here.fingerprint == there.fingerprint
    for number in range(6):
        (images, labels), (moved, moved_labels) = here.at(number), there.at(number)
        assert moved.device.type == DEVICE
        assert torch.equal(moved_labels.cpu(), labels)
        torch.testing.assert_close(moved.cpu(), images, rtol=1e-3, atol=1e-3)


def test_colour_images_are_the_same_on_both_devices() -> None:
    images = torch.randint(0, 256, (64, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = ImageData("made", ("a", "b"), images, torch.arange(64) % 2, images, torch.arange(64) % 2, "made", None)
    coloured = dataclasses.replace(STRONG, saturation=0.4, hue=0.1)
    one, other = (batches(data, device, coloured).at(0)[0].cpu() for device in ("cpu", DEVICE))
    torch.testing.assert_close(other, one, rtol=1e-2, atol=1e-2)


def test_first_steps_are_those_of_the_processor(fashion: ImageData) -> None:
    here = Training(NET, SETTINGS, batches(fashion, "cpu"))
    there = Training(NET, SETTINGS, batches(fashion, DEVICE))
    for number in range(3):
        one, other = here.step(number), there.step(number)
        assert one is not None
        assert other is not None
        assert other["loss"] == pytest.approx(one["loss"], rel=0.02)


def test_everything_at_once_is_resumed_saved_and_learns(
    fashion: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.loop.CHECKPOINT_EVERY_S", -1.0)
    settings = dataclasses.replace(
        SETTINGS, steps=120, learning_rate=0.1, warmup_steps=10, ema_decay=0.95, clip_norm=5.0, mixed_precision=True
    )

    def training() -> Training:
        teacher = Teacher(Network(NET).eval().requires_grad_(False), 0.01, 4.0, "a teacher")
        return Training(NET, settings, batches(fashion, DEVICE, Augmentation(brightness=0.2)), teacher)

    def stop(done: int, _total: int, _what: str) -> None:
        if done == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_steps(training(), tmp_path / "checkpoint", stop, "steps")
    resumed = training()
    curve = run_steps(resumed, tmp_path / "checkpoint", lambda *_: None, "steps")
    assert [point["step"] for point in curve] == list(range(120))
    network = resumed.finished()
    normalisation = normalisation_of(fashion)
    logits = logits_of(network, fashion.test_images, normalisation)
    assert logits.device.type == "cpu"
    assert top1(logits, fashion.test_labels) > 55
    save_weights(network.state_dict(), tmp_path / "weights.safetensors", {})
    loaded = load_network(NET, tmp_path / "weights.safetensors")
    torch.testing.assert_close(logits_of(loaded, fashion.test_images, normalisation), logits, rtol=2e-2, atol=2e-2)
