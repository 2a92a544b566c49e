"""One network of a comparison, trained by the run's recipe; the same network and seed are trained once."""

import json
from dataclasses import replace
from pathlib import Path

from pocketnas.config import RunConfig
from pocketnas.stages.context import RunContext
from pocketnas.stages.training import teacher_of, training_settings
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_json, sha256_bytes, write_json
from pocketnas_base.progress import Progress
from search.architecture import Architecture


def train_network(
    context: RunContext, architecture: Architecture, seed: int, folder: Path, progress: Progress
) -> float:
    """Train on all training images; returns top-1 on all test images in percent.

    folder: where the comparison keeps what it trained; a killed call goes on there.
    """
    from search.data.batches import TrainingBatches, normalisation_of
    from search.loop import run_steps
    from search.training import Training, logits_of, top1

    config, data = context.config, context.data(progress)
    key = sha256_bytes(json.dumps([op.key for op in architecture.ops]).encode())[:16]
    checkpoint, record = (folder / f"{key}-{seed}.{suffix}" for suffix in ("safetensors", "json"))
    teacher = teacher_of(context, architecture, progress)
    belongs_to = " ".join([data.fingerprint, _recipe_of(config), *([teacher.fingerprint] if teacher else [])])
    if record.exists():
        return _accuracy(record, belongs_to)
    batches = TrainingBatches.of(
        data,
        batch_size=config.train.batch_size,
        seed=seed,
        augmentation=config.train.augmentation.augmentation,
        device=context.torch_device(),
    )
    # By its content's name: two searches that find the same network share its training.
    job = Training(replace(architecture, name=key), training_settings(config.train, seed), batches, teacher)
    run_steps(job, checkpoint, progress, f"steps of {architecture.name}")
    accuracy = top1(logits_of(job.finished(), data.test_images, normalisation_of(data)), data.test_labels)
    write_json(record, {"belongs_to": belongs_to, "name": architecture.name, "top1": accuracy})
    checkpoint.unlink(missing_ok=True)  # two searches that find the same network may train it at the same time
    return accuracy


def _recipe_of(config: RunConfig) -> str:
    return sha256_bytes(config.train.model_dump_json().encode())


def _accuracy(record: Path, belongs_to: str) -> float:
    plain = read_json(record, what="training record")
    top1 = plain.get("top1") if isinstance(plain, dict) else None
    if not isinstance(plain, dict) or not isinstance(top1, float) or not 0 <= top1 <= 100:
        raise InputError(f"training record {record} is damaged; delete it to train that network again")
    if plain.get("belongs_to") != belongs_to:
        raise InputError(
            f"{record} was trained with other settings, images or another teacher; delete it to train it again"
        )
    return top1
