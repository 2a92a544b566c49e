"""What a run can say about the net that it deploys."""

from typing import Any

from deploy.manifest import About
from pocketnas.stages.context import RunContext
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_json


def about_run(context: RunContext, *, data_licence: str | None = None) -> About:
    """The words of a run's model card. data_licence: of the images, None where it is not known.

    Raises InputError before the search has ended, and for a damaged record of it.
    """
    config, search = context.config, _search_result(context)
    data, architecture = search["data"], context.architecture()
    licence = f"licence {data_licence}" if data_licence else "licence not stated"
    return About(
        title=config.name,
        summary=(
            f"A convolutional network that tells {architecture.classes} classes of "
            f"{architecture.resolution} x {architecture.resolution} images apart, "
            f"{'RGB' if architecture.image_channels == 3 else f'{architecture.image_channels} channel(s)'}; "
            f"{architecture.macs:,} multiply-accumulates, {architecture.parameters:,} parameters."
        ),
        data=(
            f"{data['name']}: {data['train_images']:,} training images, {data['test_images']:,} test images, from "
            f"{data['source']}; {licence}."
        ),
        training=(
            f"From scratch on all training images, {config.train.steps:,} steps of {config.train.batch_size} images, "
            f"SGD with a learning rate of {config.train.learning_rate:g}, seed {config.seed}; no test image took part."
        ),
        search=(
            f"Space {context.space.name}, search {search['mode']} over {search['steps']:,} steps against a table, "
            f"target {search['target_ms']:.3f} ms, predicted {search['predicted_ms']:.3f} ms."
        ),
        limits=(
            "It was tested on images from the same source as it was trained on; others have to be tried.",
            "Latency was measured on the devices that are named, and holds for no others.",
        ),
    )


def _search_result(context: RunContext) -> dict[str, Any]:
    path = context.directory.search_result
    search: Any = read_json(path, what="search result")
    try:
        data = search["data"]
        whole = all(isinstance(data[name], int) for name in ("train_images", "test_images"))
        whole = whole and all(isinstance(search[name], int | float) for name in ("steps", "target_ms", "predicted_ms"))
        whole = whole and isinstance(search["mode"], str)
    except (TypeError, KeyError):
        whole = False
    if not whole:
        raise InputError(f"search result {path} is damaged; search again: pocketnas search {context.directory.path}")
    result: dict[str, Any] = search
    return result
