"""One recipe for the derived net and its baseline: where each keeps its files, and how one of them is trained."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pocketnas.stages.context import RunContext
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_json, write_json
from pocketnas_base.progress import Progress
from search.architecture import Architecture

Role = Literal["derived", "baseline"]
ROLES: tuple[Role, ...] = ("derived", "baseline")


@dataclass(frozen=True, slots=True)
class Trainee:
    """One network of a run and where its files are."""

    role: Role
    architecture: Architecture
    weights: Path
    deploy: Path
    checkpoint: Path
    record: Path


def trainee(context: RunContext, role: Role) -> Trainee:
    """The run's network of this role. Raises InputError before its architecture is known."""
    directory = context.directory
    work = directory.path / "train"
    checkpoint, record = work / f"{role}.safetensors", work / f"{role}.json"
    if role == "derived":
        return Trainee(role, context.architecture(), directory.weights, directory.deploy, checkpoint, record)
    path = directory.baseline / "architecture.json"
    if not path.exists():
        raise InputError(f"{path} does not exist; choose the baseline first: pocketnas baseline {directory.path}")
    weights = directory.baseline / "weights.safetensors"
    return Trainee(role, Architecture.load(path), weights, directory.baseline / "deploy", checkpoint, record)


def train_one(context: RunContext, subject: Trainee, progress: Progress) -> None:
    """Train from scratch on all training images, measure top-1 on all test images; writes weights and record."""
    from search.data.batches import TrainingBatches, normalisation_of
    from search.loop import run_steps
    from search.network import save_weights
    from search.training import Training, TrainingSettings, logits_of, top1

    config, seed = context.config.train, context.config.seed
    settings = TrainingSettings(
        steps=config.steps,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        label_smoothing=config.label_smoothing,
        dropout=config.dropout,
        seed=seed,
    )
    context.limit_threads()
    data = context.data(progress)
    job = Training(subject.architecture, settings, TrainingBatches.of(data, batch_size=config.batch_size, seed=seed))
    curve = run_steps(job, subject.checkpoint, progress, f"steps of {subject.architecture.name}")
    accuracy = top1(logits_of(job.network, data.test_images, normalisation_of(data)), data.test_labels)
    save_weights(job.network.state_dict(), subject.weights, {"architecture": subject.architecture.name})
    write_json(
        subject.record,
        {"name": subject.architecture.name, "role": subject.role, "top1": accuracy, "curve": curve},
    )


def training_record(context: RunContext, role: Role) -> dict[str, Any]:
    """Name, role, top1 in percent and curve of a trained network. Raises InputError when it is not trained yet."""
    path = context.directory.path / "train" / f"{role}.json"
    if not path.exists():
        raise InputError(f"the {role} network is not trained yet; run: pocketnas train {context.directory.path}")
    plain = read_json(path, what="training record")
    if not isinstance(plain, dict) or set(plain) != {"name", "role", "top1", "curve"}:
        raise InputError(f"training record {path} is damaged; delete it and run: pocketnas train")
    return plain
