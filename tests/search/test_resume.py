"""A search or a training that was killed at any step ends bit for bit as one that was not."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import search.loop
from latency.predict import CostModel
from pocketnas_base.errors import InputError
from pocketnas_base.progress import silent
from search.architecture import assemble
from search.data.batches import TrainingBatches
from search.data.dataset import ImageData
from search.data.load import load_data
from search.loop import SteppedJob, run_steps
from search.proxyless import ProxylessSearch, SearchSettings
from search.space import load_space
from search.state import State
from search.training import Training, TrainingSettings


class KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def data() -> ImageData:
    return load_data("fashion-mnist", resolution=28, channels=1, classes=10)


@pytest.fixture(autouse=True)
def _one_thread_and_a_checkpoint_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(search.loop, "CHECKPOINT_EVERY_S", -1.0)


def search_job(data: ImageData, seed: int = 0) -> ProxylessSearch:
    space = load_space("demo")
    costs = CostModel(0.05, tuple(tuple(op.macs / 1e7 for op in edge.candidates) for edge in space.edges))
    settings = SearchSettings(
        target_ms=0.1, warmup_steps=2, steps=4, batch_size=8, arch_every=1, hold_target=True, seed=seed
    )
    batches = [TrainingBatches.of(data, torch.arange(64) + start, batch_size=8, seed=0) for start in (0, 64)]
    return ProxylessSearch(space, costs, settings, *batches)


def training_job(data: ImageData) -> Training:
    architecture = assemble(load_space("demo"), [0, 6, 0, 6, 1, 0, 6, 2], "small")
    batches = TrainingBatches.of(data, torch.arange(64), batch_size=8, seed=0)
    return Training(architecture, TrainingSettings(steps=6, batch_size=8, dropout=0.5), batches)


def everything(job: SteppedJob) -> dict[str, torch.Tensor]:
    state = State()
    job.add_to(state)
    return state.tensors


@pytest.mark.parametrize("make", [search_job, training_job])
@pytest.mark.parametrize("killed_at", [1, 3, 5])
def test_resumed_equals_uninterrupted(
    make: Callable[[ImageData], SteppedJob], killed_at: int, data: ImageData, tmp_path: Path
) -> None:
    straight = make(data)
    curve = run_steps(straight, tmp_path / "straight.safetensors", silent, "")

    def kill(done: int, _total: int, _what: str) -> None:
        if done == killed_at:
            raise KilledError

    with pytest.raises(KilledError):
        run_steps(make(data), tmp_path / "killed.safetensors", kill, "")
    resumed = make(data)
    assert run_steps(resumed, tmp_path / "killed.safetensors", silent, "") == curve
    ours, theirs = everything(resumed), everything(straight)
    assert ours.keys() == theirs.keys()
    assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []


def test_a_checkpoint_of_other_settings_or_a_damaged_one_is_refused(data: ImageData, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    run_steps(search_job(data), path, silent, "")
    with pytest.raises(InputError, match="written with other settings"):
        run_steps(search_job(data, seed=1), path, silent, "")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="cannot be read"):
        run_steps(search_job(data), path, silent, "")


def test_each_step_moves_its_own_side_only(data: ImageData) -> None:
    job = search_job(data)
    weights = {name: value.clone() for name, value in job.supernet.named_parameters()}
    alpha = job.alpha.detach().clone()
    job.architecture_step(0)
    assert [name for name, value in job.supernet.named_parameters() if not torch.equal(value, weights[name])] == []
    moved = (job.alpha != alpha).sum(dim=1)
    assert moved.tolist() == [2] * 8

    alpha = job.alpha.detach().clone()
    job.weight_step(0, rate=0.1)
    assert torch.equal(job.alpha, alpha)
    assert any(not torch.equal(value, weights[name]) for name, value in job.supernet.named_parameters())
