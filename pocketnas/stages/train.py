"""Stage `train`: the derived network from scratch."""

from pocketnas.stages.context import RunContext
from pocketnas.stages.training import train_network


def run(context: RunContext) -> str:
    """Write weights.safetensors."""
    directory = context.directory
    accuracy = train_network(
        context,
        context.architecture(),
        role="derived",
        weights=directory.weights,
        checkpoint=directory.path / "train" / "checkpoint.safetensors",
    )
    return f"top-1 {accuracy:.2f} %"
