"""Stage `search`: ProxylessNAS against the table."""

from latency.predict import CostModel, predict
from pocketnas.console import progress_bar
from pocketnas.stages.context import RunContext
from pocketnas_base.errors import InputError
from pocketnas_base.files import write_json
from search.architecture import assemble
from search.space import SearchSpace

HAND_MADE_CHOICE = "mb6_3x3"
TARGET_TOLERANCE = 0.02


def run(context: RunContext) -> str:
    """Write architecture.json and search/result.json; search/checkpoint.safetensors is kept while it runs."""
    from search.data.batches import TrainingBatches
    from search.data.dataset import split
    from search.derive import most_probable_within
    from search.loop import run_steps
    from search.proxyless import ProxylessSearch, SearchSettings

    config, space, directory = context.config.search, context.space, context.directory
    seed = context.config.seed
    table = context.table()
    costs = context.costs(table)
    target_ms = target_of(context, costs)
    context.limit_threads()
    with progress_bar("data") as progress:
        data = context.data(progress)
    weight_part, arch_part = split(data.train_labels, context.config.data.holdout, seed)
    settings = SearchSettings(
        target_ms=target_ms,
        warmup_steps=config.warmup_steps,
        steps=config.steps,
        batch_size=config.batch_size,
        warmup_learning_rate=config.warmup_learning_rate,
        learning_rate=config.learning_rate,
        label_smoothing=config.label_smoothing,
        arch_learning_rate=config.arch_learning_rate,
        arch_every=config.arch_every,
        loss=config.loss,
        weight=config.weight,
        beta=config.beta,
        hold_target=config.hold_target,
        hold_rate=config.hold_rate,
        seed=seed,
    )
    job = ProxylessSearch(
        space,
        costs,
        settings,
        TrainingBatches.of(data, weight_part, batch_size=config.batch_size, seed=seed),
        TrainingBatches.of(data, arch_part, batch_size=config.batch_size, seed=seed + 1),
    )
    with progress_bar("search") as progress:
        curve = run_steps(job, directory.search / "checkpoint.safetensors", progress, "steps")
    probabilities = [
        row[: len(edge.candidates)]
        for row, edge in zip(job.architecture_parameters.probabilities().tolist(), space.edges, strict=True)
    ]
    chosen = job.architecture_parameters.most_probable()
    if config.derive == "target":
        chosen = most_probable_within(probabilities, costs, (1 - TARGET_TOLERANCE) * target_ms, target_ms)
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
            "target_ms": target_ms,
            "predicted_ms": prediction.latency_ms,
            "loss": config.loss,
            "warmup_steps": config.warmup_steps,
            "steps": config.steps,
            "edges": [{"name": edge.name, "candidates": [op.choice for op in edge.candidates]} for edge in space.edges],
            "derive": config.derive,
            "probabilities": probabilities,
            "chosen": chosen,
            "curve": curve,
        },
    )
    architecture.save(directory.architecture)
    return f"target {target_ms:.3f} ms, predicted {prediction.latency_ms:.3f} ms, {architecture.macs / 1e6:.2f} M MACs"


def target_of(context: RunContext, costs: CostModel) -> float:
    """The target in ms: as given, or a share of what the space's hand-made net is predicted to take."""
    config = context.config.search
    if config.target_ms is not None:
        return config.target_ms
    assert config.target_ratio is not None
    return config.target_ratio * costs.latency_ms(hand_made_choices(context.space))


def hand_made_choices(space: SearchSpace) -> list[int]:
    """MobileNetV2's choice at every edge: mb6_3x3. Raises InputError where the space does not offer it."""
    choices = []
    for edge in space.edges:
        offered = [op.choice for op in edge.candidates]
        if HAND_MADE_CHOICE not in offered:
            raise InputError(
                f"search.target_ratio is a share of the all-{HAND_MADE_CHOICE} net, which {edge.name} of space "
                f"{space.name} does not offer; give search.target_ms instead"
            )
        choices.append(offered.index(HAND_MADE_CHOICE))
    return choices
