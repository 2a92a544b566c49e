"""The supernet that a search left behind."""

from pathlib import Path

from search.layout import Space
from search.network import channels_last
from search.paths import ArchitectureParameters
from search.state import State
from search.supernet import Supernet


def load_supernet(space: Space, checkpoint: Path, belongs_to: str) -> tuple[Supernet, ArchitectureParameters]:
    """Supernet and architecture parameters of a search's last checkpoint. belongs_to: the search's fingerprint.

    Raises InputError when the checkpoint is unreadable, or of another search.
    """
    state = State.load(checkpoint, belongs_to=belongs_to)
    supernet = channels_last(Supernet(space))
    parameters = ArchitectureParameters([len(edge.candidates) for edge in space.edges])
    state.restore_module("supernet", supernet)
    state.restore_module("architecture", parameters)
    return supernet, parameters
