"""A module as torch.export sees it: the check that its graph does not depend on its input, and the way to a worker."""

import contextlib
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketnas_base.errors import ExportError, InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

_DATA_DEPENDENT = ("data-dependent", "DataDependent", "control flow", "is_nonzero", "_local_scalar_dense")


def exported_program(module: "nn.Module", example: "Tensor") -> Any:
    """torch.export's program of a module in evaluation mode, for inputs of exactly `example`'s shape.

    Raises, in one line, InputError for a module whose computation depends on the numbers that it is given, or gives
    more than one tensor, and ExportError where torch cannot export it. What the user's code prints goes to standard
    error.
    """
    import torch

    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.export.export(module, (example,))
    except Exception as error:  # torch raises dozens of its own kinds, and the user's code whatever it likes
        reason = " ".join(str(error).split()) or type(error).__name__
        if any(word in f"{type(error).__name__} {reason}" for word in _DATA_DEPENDENT):
            raise InputError(
                "the network decides by the numbers that it is given (an `if` or a loop on a tensor), which a file "
                f"cannot hold; compute both ways and choose with torch.where ({reason:.160})"
            ) from error
        raise ExportError(f"torch.export cannot take the network: {reason:.300}") from error
    outputs = program.graph_signature.user_outputs
    if len(outputs) != 1:
        raise InputError(f"the network gives {len(outputs)} outputs where files hold one; wrap it to return one tensor")
    return program


def save_program(program: Any, path: Path) -> None:
    """Write a program for a worker of our own to read; its weights are plain tensors."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, path)


def load_program(path: Path) -> Any:
    """A program that `save_program` wrote, in this session: never a file from elsewhere."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.load(path)
