"""What a run's searches are given, besides a table and a target."""

from typing import TYPE_CHECKING

from pocketnas.stages.context import RunContext
from pocketnas_base.progress import Progress

if TYPE_CHECKING:
    from search.strategies.problem import WeightsProblem


def weights_problem(context: RunContext, seed: int, progress: Progress) -> "WeightsProblem":
    """The run's images, divided by this seed, and how supernets learn from them. Raises DataError and InputError."""
    from search.strategies.problem import WeightsProblem

    config = context.config
    return WeightsProblem(
        space=context.space,
        data=context.data(progress),
        holdout=config.data.holdout,
        batch_size=config.search.batch_size,
        seed=seed,
        augmentation=config.search.augmentation.augmentation,
        device=context.torch_device(),
    )
