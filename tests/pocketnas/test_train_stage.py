"""Stage `train` with everything switched on: real digits of a function of the user's own, a teacher, two processes."""

import json
from pathlib import Path

import pytest
import torch

from pocketnas.config import parse_config
from pocketnas.run_directory import RunDirectory
from pocketnas.searches.network import train_network
from pocketnas.stages import environment, train
from pocketnas.stages.context import RunContext
from pocketnas.stages.training import check_trained, train_one, trainee, training_record
from pocketnas_base.errors import InputError
from pocketnas_base.progress import silent
from search.architecture import Architecture, assemble
from search.network import Network, load_network, save_weights
from search.space import load_space

SPACE = """
name = "tiny"
resolution = 16
image_channels = 1
classes = 10
kernels = [3]
expansions = [3]
zero = true
stem = { width = 8, kernel = 3, stride = 1 }
first = { width = 8, kernel = 3, expansion = 1 }
stages = [{ width = 16, cells = 2, stride = 2 }]
head = { width = 32 }
"""
DIGITS = """
import numpy as np
from sklearn.datasets import load_digits

def digits(*, resolution, channels):
    data = load_digits()
    return {"train_images": (data.images * 15).astype(np.uint8), "train_labels": data.target}

def wrong_digits(*, resolution, channels):
    found = digits(resolution=resolution, channels=channels)
    return found | {"train_labels": found["train_labels"][::-1].copy()}
"""
CONFIG = """
name = "digits"
space = "tiny.toml"
host_threads = 1
seed = 1
accelerator = "cpu"
[data]
source = "own_data_of_train_stage:digits"
holdout = 100
[search]
target_ms = 1.0
warmup_steps = 0
steps = 1
batch_size = 32
arch_every = 1
[train]
steps = 150
batch_size = 32
learning_rate = 0.1
dropout = 0.0
"""
EVERYTHING = """
warmup_steps = 10
ema_decay = 0.95
clip_norm = 5.0
mixed_precision = true
recalibration_images = 640
[train.augmentation]
flip = false
crop_scale = [0.7, 1.0]
brightness = 0.2
contrast = 0.2
[train.distillation]
architecture = "runs/teacher/architecture.json"
weights = "runs/teacher/weights.safetensors"
weight = 0.5
"""


@pytest.fixture(autouse=True)
def _users_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with the user's space and module in it."""
    pytest.importorskip("sklearn")
    (tmp_path / "tiny.toml").write_text(SPACE)
    (tmp_path / "own_data_of_train_stage.py").write_text(DIGITS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def told(directory: Path) -> list[tuple[int, float]]:
    """The losses in TensorBoard's files."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = reader.EventAccumulator(str(directory))
    events.Reload()
    return [(event.step, pytest.approx(event.value)) for event in events.Scalars("loss")]


def run_of(name: str, text: str) -> RunDirectory:
    """A run whose search and choice of a baseline are over."""
    directory = RunDirectory.create(Path("runs") / name, parse_config(text.encode(), source=name), text.encode())
    space = load_space("tiny.toml")
    assemble(space, [0] * len(space.edges), name).save(directory.architecture)
    last = [len(edge.candidates) - 1 for edge in space.edges]
    assemble(space, last, "baseline").save(directory.baseline / "architecture.json")
    return directory


def trained(directory: RunDirectory) -> list[float]:
    """Top-1 of the derived network and of the baseline."""
    context = RunContext(directory)
    train.run(context)
    return [training_record(context, role)["top1"] for role in ("derived", "baseline")]


@pytest.mark.slow
def test_both_networks_learn_from_a_teacher_with_everything_switched_on() -> None:
    plain = trained(run_of("teacher", CONFIG + "[train.augmentation]\nflip = false\n"))
    assert min(plain) > 60
    directory = run_of("taught", CONFIG + EVERYTHING)
    environment.run(RunContext(directory))
    taught = trained(directory)
    assert min(taught) > 60
    network = load_network(Architecture.load(directory.architecture), directory.weights)
    other = load_network(Architecture.load(directory.architecture), Path("runs/teacher/weights.safetensors"))
    assert all(bool(value.isfinite().all()) for value in network.state_dict().values())
    assert not torch.equal(next(network.parameters()), next(other.parameters()))


@pytest.mark.slow
def test_the_curves_of_both_trainings_are_written_as_scalars() -> None:
    directory = run_of("curves", CONFIG.replace("steps = 150", "steps = 5"))
    train.run(context := RunContext(directory))
    for role in ("derived", "baseline"):
        curve = training_record(context, role)["curve"]
        assert len(curve) == 5
        assert told(directory.path / "train" / "tensorboard" / role) == [(p["step"], p["loss"]) for p in curve]


def test_what_learned_from_another_teacher_is_not_taken_for_this_one_s_pupil(tmp_path: Path) -> None:
    teacher = run_of("teacher", CONFIG)

    def write_teacher(seed: int) -> None:
        torch.manual_seed(seed)
        save_weights(Network(Architecture.load(teacher.architecture)).state_dict(), teacher.weights, {})

    write_teacher(0)
    distillation = EVERYTHING[EVERYTHING.index("[train.distillation]") :]
    directory = run_of("taught", CONFIG.replace("\nsteps = 150", "\nsteps = 1") + distillation)
    pupil, folder = Architecture.load(directory.architecture), tmp_path / "trained"
    folder.mkdir()
    top1 = train_network(RunContext(directory), pupil, 0, folder, silent)
    assert train_network(RunContext(directory), pupil, 0, folder, silent) == top1
    write_teacher(1)
    with pytest.raises(InputError, match="other settings, images or another teacher"):
        train_network(RunContext(directory), pupil, 0, folder, silent)


def once_trained(name: str) -> RunDirectory:
    """A run whose derived network is trained, for a step, and whose baseline is not."""
    directory = run_of(name, CONFIG.replace("\nsteps = 150", "\nsteps = 1"))
    context = RunContext(directory)
    train_one(context, trainee(context, "derived"), silent)
    return directory


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("learning_rate = 0.1", "learning_rate = 0.2"),
        ("seed = 1", "seed = 2"),
        ("dropout = 0.0", "dropout = 0.0\n[train.augmentation]\nflip = false"),
        (":digits", ":wrong_digits"),
    ],
    ids=["recipe", "seed", "augmentation", "images"],
)
def test_what_was_trained_otherwise_is_not_taken_for_this_run_s(old: str, new: str) -> None:
    directory = once_trained("run")
    text = (directory.path / "config.toml").read_text()
    (directory.path / "config.toml").write_text(text.replace(old, new))
    with pytest.raises(InputError) as caught:
        train.run(RunContext(RunDirectory.open(directory.path)))
    assert str(caught.value) == (
        "runs/run/train/derived.json is of another network, or was trained with other settings, images or another "
        "teacher; delete it and runs/run/train/derived.safetensors to train it again"
    )


def test_another_network_is_not_taken_for_the_one_that_was_trained() -> None:
    directory = once_trained("run")
    context = RunContext(directory)
    check_trained(context, trainee(context, "derived"), silent)
    space = load_space("tiny.toml")
    assemble(space, [len(edge.candidates) - 1 for edge in space.edges], "run").save(directory.architecture)
    with pytest.raises(InputError, match="is of another network, or"):
        train.run(RunContext(directory))


def test_a_record_that_does_not_say_what_it_is_of_is_read_but_not_gone_on_with() -> None:
    directory = once_trained("run")
    context = RunContext(directory)
    record = trainee(context, "derived").record
    written = json.loads(record.read_text())
    del written["belongs_to"]
    record.write_text(json.dumps(written))
    assert training_record(context, "derived")["top1"] == written["top1"]
    with pytest.raises(InputError, match="does not say what it was trained with; delete it and"):
        train.run(context)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("architecture.json", "none.json", "architecture runs/teacher/none.json does not exist"),
        ("weights.safetensors", "none.safetensors", "weights runs/teacher/none.safetensors do not exist"),
        ('"runs/teacher/architecture.json"', '"proxyless-mobile"', "teacher proxyless-mobile has image channels 3"),
    ],
)
def test_a_teacher_that_does_not_fit_is_known_before_anything_is_measured(old: str, new: str, message: str) -> None:
    run_of("teacher", CONFIG)
    directory = run_of("taught", CONFIG + EVERYTHING.replace(old, new))
    with pytest.raises(InputError, match=message) as caught:
        environment.run(RunContext(directory))
    assert len(str(caught.value).splitlines()) == 1
    assert not directory.environment.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_known_before_anything_is_measured() -> None:
    directory = run_of("gpu", CONFIG.replace('"cpu"', '"cuda"'))
    with pytest.raises(InputError, match="finds no CUDA GPU here"):
        environment.run(RunContext(directory))
