"""One recipe for the derived net and its baseline: train, measure top-1, keep weights and curve."""

from pathlib import Path
from typing import Any

from pocketnas.console import progress_bar
from pocketnas.stages.context import RunContext
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_json, write_json
from search.architecture import Architecture


def train_network(
    context: RunContext, architecture: Architecture, *, role: str, weights: Path, checkpoint: Path
) -> float:
    """Train from scratch on all training images; returns top-1 on all test images, in percent.

    Writes the weights, and the network's entry in training.json.
    """
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
    with progress_bar("data") as progress:
        data = context.data(progress)
    batches = TrainingBatches.of(data, batch_size=config.batch_size, seed=seed)
    job = Training(architecture, settings, batches)
    with progress_bar("train") as progress:
        curve = run_steps(job, checkpoint, progress, f"steps of {architecture.name}")
    accuracy = top1(logits_of(job.network, data.test_images, normalisation_of(data)), data.test_labels)
    save_weights(job.network.state_dict(), weights, {"architecture": architecture.name})
    entry = {"name": architecture.name, "role": role, "top1": accuracy, "curve": curve}
    others = [known for known in trained_networks(context) if known["role"] != role]
    write_json(context.directory.training, {"networks": [*others, entry]})
    return accuracy


def trained_networks(context: RunContext) -> list[dict[str, Any]]:
    """The entries of training.json; none before the first network is trained."""
    path = context.directory.training
    if not path.exists():
        return []
    plain: Any = read_json(path, what="training record")
    try:
        return [dict(entry) for entry in plain["networks"] if entry["role"] in ("derived", "baseline")]
    except (KeyError, TypeError):
        raise InputError(f"training record {path} is damaged; delete it and run: pocketnas train") from None


def trained(context: RunContext, role: str) -> dict[str, Any]:
    """The entry of one role. Raises InputError when that network is not trained yet."""
    for entry in trained_networks(context):
        if entry["role"] == role:
            return entry
    stage = "train" if role == "derived" else "rebench"
    raise InputError(f"the {role} network is not trained yet; run: pocketnas {stage} {context.directory.path}")
