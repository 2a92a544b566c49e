"""A search on a GPU: the processor's steps to within rounding, in every mode, saved there and gone on with."""

from pathlib import Path
from typing import Any

import pytest
import torch
from spread_work import PreciseBatches, in_float64
from tiny_search import COSTS, SPACE
from torch import Tensor

from search.data.batches import TrainingBatches
from search.data.dataset import ImageData, split
from search.loop import Curve, run_steps
from search.proxyless import ProxylessSearch, SearchSettings
from search.state import State

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA GPU here")

DEVICE = "cuda"
SETTINGS: dict[str, Any] = {
    "target_ms": 1.5,
    "warmup_steps": 0,
    "steps": 3,
    "batch_size": 16,
    "arch_every": 1,
    "arch_learning_rate": 0.05,
    "seed": 5,
}
MODES: list[dict[str, Any]] = [
    {"mode": "two-path", "hold_target": True, "clip_norm": 1.0},
    {"mode": "one-path", "loss": "mul#log"},
    {"mode": "all-paths", "loss": "none"},
    {"mode": "reinforce", "samples": 3},
    {"mode": "tunas", "samples": 2},
]
IN_EVERY_MODE = pytest.mark.parametrize("changes", MODES, ids=lambda changes: changes["mode"])


def new_search(
    data: ImageData, device: str, batches: type[TrainingBatches] = TrainingBatches, **changes: Any
) -> ProxylessSearch:
    given = (
        batches.of(data, part, batch_size=16, seed=number, device=device)
        for number, part in enumerate(split(data.train_labels, 200, 5))
    )
    return ProxylessSearch(SPACE, COSTS, SearchSettings(**SETTINGS | changes), *given)


def precise(data: ImageData, device: str, **changes: Any) -> ProxylessSearch:
    """In float64, where nothing hides behind rounding."""
    search = new_search(data, device, PreciseBatches, **changes)
    in_float64(search)
    return search


def outcome(search: ProxylessSearch) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """All that steps have changed, on the CPU."""
    state = State()
    search.add_to(state)
    return {name: value.detach().cpu() for name, value in state.tensors.items()}, state.numbers


def killed_once(data: ImageData, device: str, checkpoint: Path, **changes: Any) -> tuple[ProxylessSearch, Curve]:
    def stop(done: int, _total: int, _what: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_steps(precise(data, device, **changes), checkpoint, stop, "steps")
    search = precise(data, device, **changes)
    return search, run_steps(search, checkpoint, lambda *_: None, "steps")


def assert_steps_agree(data: ImageData, device: str, folder: Path, **changes: Any) -> None:
    """Three weight steps with an architecture step after each: on the processor in one go; on the device killed, and
    gone on with from its checkpoint."""
    here = precise(data, "cpu", **changes)
    curve = run_steps(here, folder / "here", lambda *_: None, "steps")
    there, curve_there = killed_once(data, device, folder / "there", **changes)
    assert {parameter.device.type for parameter in there.supernet.parameters()} == {there.alpha.device.type} == {device}
    (tensors, numbers), (tensors_there, numbers_there) = outcome(here), outcome(there)
    torch.testing.assert_close(tensors_there, tensors, rtol=1e-4, atol=1e-5)
    assert numbers_there == pytest.approx(numbers, rel=1e-4)
    for one, other in zip(curve_there, curve, strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-6)
    assert all("arch_loss" in point for point in curve)


@IN_EVERY_MODE
def test_steps_are_those_of_the_processor_in_every_mode(
    fashion: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr("search.loop.CHECKPOINT_EVERY_S", -1.0)
    assert_steps_agree(fashion, DEVICE, tmp_path, **changes)


@IN_EVERY_MODE
def test_with_mixed_precision_an_architecture_step_computes_in_bfloat16(
    fashion: ImageData, changes: dict[str, Any]
) -> None:
    search, given = new_search(fashion, DEVICE, **changes, mixed_precision=True), set()
    for layer in search.supernet.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda _layer, _inputs, out: given.add(out.dtype))
    search.architecture_step(0)
    assert given == {torch.bfloat16}
    assert search.alpha.grad is not None
    assert search.alpha.grad.dtype == torch.float32
    assert bool(search.alpha.isfinite().all())
