"""One recipe for the derived net and its baseline: where each keeps its files, and how one of them is trained."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pocketnas.stages.context import RunContext
from pocketnas.stages.scalars import scalars_of
from pocketnas.training_config import TrainConfig
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_json, write_json
from pocketnas_base.progress import Progress
from search.architecture import Architecture
from search.zoo import load_architecture

if TYPE_CHECKING:
    from search.distillation import Teacher
    from search.ranks import Ranks
    from search.training import Training, TrainingSettings

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


def train_one(context: RunContext, subject: Trainee, progress: Progress, ranks: "Ranks | None" = None) -> None:
    """Train from scratch on all training images; then measure top-1 on all test images, and write weights and record.

    ranks: who trains it together, of whom the first does the rest; None: this process alone.
    """
    from search.data.batches import normalisation_of
    from search.loop import run_steps
    from search.network import save_weights
    from search.ranks import ALONE
    from search.training import logits_of, top1

    ranks = ranks or ALONE
    context.limit_threads(ranks)
    job, data = _training_of(context, subject, progress, ranks), context.data(progress)
    scalars = None
    if ranks.leads:
        scalars = scalars_of(context.config.search, subject.checkpoint.parent / "tensorboard" / subject.role)
    curve = run_steps(job, subject.checkpoint, progress, f"steps of {subject.architecture.name}", scalars, ranks)
    if not ranks.leads:
        return
    network = job.finished()
    accuracy = top1(logits_of(network, data.test_images, normalisation_of(data)), data.test_labels)
    save_weights(network.state_dict(), subject.weights, {"architecture": subject.architecture.name})
    write_json(
        subject.record,
        {
            "belongs_to": job.fingerprint,
            "name": subject.architecture.name,
            "role": subject.role,
            "top1": accuracy,
            "curve": curve,
        },
    )


def check_trained(context: RunContext, subject: Trainee, progress: Progress) -> None:
    """Raises InputError unless the record that is there is of the training that the run would do now."""
    from search.ranks import ALONE

    found = training_record(context, subject.role).get("belongs_to")
    if found == _training_of(context, subject, progress, ALONE).fingerprint:
        return
    why = (
        "does not say what it was trained with"
        if found is None
        else "is of another network, or was trained with other settings, images or another teacher"
    )
    raise InputError(f"{subject.record} {why}; delete it and {subject.checkpoint} to train it again")


def _training_of(context: RunContext, subject: Trainee, progress: Progress, ranks: "Ranks") -> "Training":
    """The training as the run asks for it, not begun."""
    from search.data.batches import TrainingBatches
    from search.training import Training

    config, seed = context.config.train, context.config.seed
    batches = TrainingBatches.of(
        context.data(progress),
        batch_size=config.batch_size,
        seed=seed,
        augmentation=config.augmentation.augmentation,
        device=context.torch_device(ranks),
        ranks=ranks,
    )
    teacher = teacher_of(context, subject.architecture, progress)
    return Training(subject.architecture, training_settings(config, seed), batches, teacher)


def training_settings(config: TrainConfig, seed: int) -> "TrainingSettings":
    """The recipe as the configuration has it."""
    from search.training import TrainingSettings

    return TrainingSettings(
        steps=config.steps,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        label_smoothing=config.label_smoothing,
        dropout=config.dropout,
        seed=seed,
        warmup_steps=config.warmup_steps,
        clip_norm=config.clip_norm,
        mixed_precision=config.mixed_precision,
        ema_decay=config.ema_decay,
        recalibration_images=config.recalibration_images,
    )


def teacher_of(context: RunContext, student: Architecture, progress: Progress) -> "Teacher | None":
    """The teacher that the configuration asks for. Raises InputError when it does not fit the student."""
    from search.data.batches import normalisation_of
    from search.distillation import function_teacher, network_teacher

    config = context.config.train.distillation
    if config is None:
        return None
    if config.function is not None:
        return function_teacher(
            config.function,
            student,
            normalisation_of(context.data(progress)),
            weight=config.weight,
            temperature=config.temperature,
        )
    assert config.architecture is not None
    assert config.weights is not None
    return network_teacher(
        load_architecture(config.architecture),
        Path(config.weights).expanduser(),
        student,
        weight=config.weight,
        temperature=config.temperature,
    )


def training_record(context: RunContext, role: Role) -> dict[str, Any]:
    """Name, role, top1 in percent and curve of a trained network, and the fingerprint of its training, of which older
    records do not tell. Raises InputError when it is not trained yet."""
    path = context.directory.path / "train" / f"{role}.json"
    if not path.exists():
        raise InputError(f"the {role} network is not trained yet; run: pocketnas train {context.directory.path}")
    plain = read_json(path, what="training record")
    if not isinstance(plain, dict) or set(plain) - {"belongs_to"} != {"name", "role", "top1", "curve"}:
        raise InputError(f"training record {path} is damaged; delete it and run: pocketnas train")
    return plain
