"""The curves of a run as TensorBoard scalars."""

from pathlib import Path
from typing import TYPE_CHECKING

from pocketnas.config import SearchConfig

if TYPE_CHECKING:
    from search.tensorboard import TensorBoardScalars


def scalars_of(config: SearchConfig, directory: Path) -> "TensorBoardScalars | None":
    """TensorBoard scalars in `directory`: where asked for, or where nothing is said and the package is there.

    Raises InputError where they are asked for without the package.
    """
    from search.tensorboard import TensorBoardScalars, tensorboard_installed

    asked = config.tensorboard
    if asked or (asked is None and tensorboard_installed()):
        return TensorBoardScalars(directory)
    return None
