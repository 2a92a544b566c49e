"""Stage `search`: ProxylessNAS against the table."""

import math
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from latency.predict import CostModel, predict
from pocketnas.config import RunConfig, SearchConfig
from pocketnas.console import progress_bar
from pocketnas.launch import ranks_of
from pocketnas.stages.context import RunContext
from pocketnas.stages.scalars import scalars_of
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_json, write_json
from pocketnas_base.progress import Progress, silent
from search.architecture import assemble
from search.hand_made import hand_made_choices
from search.layout import Edge, Space

if TYPE_CHECKING:
    from search.data.dataset import ImageData
    from search.loop import Curve
    from search.proxyless import ProxylessSearch, SearchSettings
    from search.ranks import Ranks
    from search.tensorboard import TensorBoardScalars


def run(context: RunContext) -> str:
    """Write architecture.json and search/result.json; search/checkpoint.safetensors holds the supernet, and is where an
    interrupted search goes on."""
    from search.derive import derive_at

    config, space, directory = context.config.search, context.space, context.directory
    table = context.table()
    costs = context.costs(table)
    target_ms, max_ms = target_of(config, space, costs), limit_of(context)
    check_before(context, costs, target_ms, max_ms)
    keep_limit(context)
    scalars = scalars_of(context.config.search, directory.search / "tensorboard")
    with progress_bar("data") as progress:
        data = context.data(progress)
    with ranks_of(context, __name__) as ranks, progress_bar("search") as progress:
        job, curve = _searched(context, ranks, progress, scalars)
    probabilities = job.probabilities()
    chosen = job.architecture_parameters.most_probable()
    if derives_at_target(context, max_ms):
        chosen = derive_at(probabilities, costs, target_ms, max_ms)
    architecture = assemble(space, chosen, f"{context.config.name}-derived")
    prediction = predict(table, architecture.ops)
    write_json(
        directory.search_result,
        {
            "data": {
                "name": data.name,
                "source": data.source,
                "train_images": len(data.train_images),
                "test_images": len(data.test_images),
                "fingerprint": data.fingerprint,
            },
            "fingerprint": job.fingerprint,
            "target_ms": target_ms,
            "max_ms": max_ms,
            "predicted_ms": prediction.latency_ms,
            "mode": config.mode,
            "loss": config.loss,
            "warmup_steps": config.warmup_steps,
            "steps": config.steps,
            "edges": described_edges(space),
            "derive": "target" if derives_at_target(context, max_ms) else "argmax",
            "probabilities": probabilities,
            "chosen": chosen,
            "curve": curve,
        },
    )
    architecture.save(directory.architecture)
    return f"target {target_ms:.3f} ms, predicted {prediction.latency_ms:.3f} ms, {architecture.macs / 1e6:.2f} M MACs"


def described_edges(space: Space) -> list[dict[str, object]]:
    """Each searchable position for result.json: its name, its place among the operators, from 1, and its candidates."""
    return [
        {
            "name": edge.name,
            "number": number,
            "candidates": [op.choice for op in edge.candidates],
            "activation": edge.candidates[0].activation,
        }
        for number, place in enumerate(space.places, start=1)
        if isinstance(edge := place.content, Edge)
    ]


def follow(context: RunContext, ranks: "Ranks") -> None:
    """What every rank but the first does of this stage."""
    _searched(context, ranks, silent, None)


def _searched(
    context: RunContext, ranks: "Ranks", progress: Progress, scalars: "TensorBoardScalars | None"
) -> "tuple[ProxylessSearch, Curve]":
    """The search, run to its end by all ranks together."""
    from search.loop import run_steps

    context.limit_threads(ranks)
    costs, data = context.costs(context.table()), context.data(progress)
    target_ms = target_of(context.config.search, context.space, costs)
    job = proxyless_search(context.config, context.space, costs, data, target_ms, context.config.seed, ranks)
    checkpoint = context.directory.search / "checkpoint.safetensors"
    return job, run_steps(job, checkpoint, progress, "steps", scalars, ranks)


def search_settings(config: SearchConfig, target_ms: float, seed: int) -> "SearchSettings":
    """The search's settings as the configuration has them, for one target and one seed."""
    from search.proxyless import SearchSettings

    named = {field.name for field in fields(SearchSettings)} & set(SearchConfig.model_fields)
    given = {name: getattr(config, name) for name in named - {"target_ms", "start"}}
    return SearchSettings(target_ms=target_ms, seed=seed, start=config.starts_at, **given)


def proxyless_search(
    config: RunConfig,
    space: Space,
    costs: CostModel,
    data: "ImageData",
    target_ms: float,
    seed: int,
    ranks: "Ranks | None" = None,
) -> "ProxylessSearch":
    """The search that a configuration asks for, not begun; ranks: who takes its steps together, None for this process
    alone. Raises InputError where it cannot be done so here."""
    from search.accelerator import torch_device
    from search.data.batches import TrainingBatches
    from search.data.dataset import split
    from search.proxyless import ProxylessSearch
    from search.ranks import ALONE

    settings, device = search_settings(config.search, target_ms, seed), torch_device(config.accelerator, ranks)
    weight_batches, arch_batches = (
        TrainingBatches.of(
            data,
            part,
            batch_size=settings.batch_size,
            seed=seed + number,
            augmentation=config.search.augmentation.augmentation,
            device=device,
            ranks=ranks or ALONE,
        )
        for number, part in enumerate(split(data.train_labels, config.data.holdout, seed))
    )
    return ProxylessSearch(space, costs, settings, weight_batches, arch_batches)


def derives_at_target(context: RunContext, max_ms: float | None) -> bool:
    """Whether the derived net is held to the target. Raises InputError where a limit is set that argmax cannot keep."""
    if max_ms is not None and context.config.search.derive == "argmax":
        raise InputError(
            f"{context.directory.path}/config.toml says search.derive = argmax, which cannot keep --max-ms; "
            "leave one of them out"
        )
    return max_ms is not None or context.config.search.derives_at_target


def check_before(context: RunContext, costs: CostModel, target_ms: float, max_ms: float | None) -> None:
    """Raises InputError, before anything is searched, for a target that no architecture of the space can meet."""
    from search.derive import check_target, latency_range

    if derives_at_target(context, max_ms):
        check_target(costs, target_ms, max_ms)
    cheapest_ms, _ = latency_range(costs)
    if context.config.search.loss != "none" and target_ms < cheapest_ms:
        raise InputError(
            f"search: the target of {target_ms:.4g} ms cannot be met: the cheapest architecture of space "
            f"{context.space.name} is predicted to take {cheapest_ms:.4g} ms"
        )


def limit_of(context: RunContext) -> float | None:
    """What the derived net may be predicted to take at most, in ms: as configured, as the command line says, or as it
    said when the search began."""
    configured, said, kept = context.config.search.max_ms, context.max_ms, _limit_file(context)
    if said is not None and not (math.isfinite(said) and said > 0):
        raise InputError(f"--max-ms must be a latency above 0 ms, not {said}")
    if configured is not None and said not in (None, configured):
        raise InputError(
            f"{context.directory.path}/config.toml says search.max_ms = {configured:g}; leave --max-ms out, "
            "or change it there"
        )
    if said is None and configured is None and kept.exists():
        return _kept_limit(read_json(kept, what="limit"), str(kept))
    return configured if said is None else said


def keep_limit(context: RunContext) -> None:
    """Keep what the command line says beside the search, so that it holds for whoever goes on with it."""
    if context.max_ms is not None:
        write_json(_limit_file(context), {"max_ms": context.max_ms})


def _limit_file(context: RunContext) -> Path:
    return context.directory.search / "max_ms.json"


def _kept_limit(value: object, source: str) -> float:
    limit = value.get("max_ms") if isinstance(value, dict) else None
    if not isinstance(limit, int | float) or isinstance(limit, bool) or not (math.isfinite(limit) and limit > 0):
        raise InputError(f"limit {source} holds no latency; delete it, and say --max-ms again")
    return float(limit)


def target_of(config: SearchConfig, space: Space, costs: CostModel) -> float:
    """The target in ms: as given, or a share of what the space's hand-made net is predicted to take."""
    if config.target_ms is not None:
        return config.target_ms
    assert config.target_ratio is not None
    return config.target_ratio * costs.latency_ms(hand_made_choices(space))
