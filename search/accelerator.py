"""Where search and training compute: this machine's processor, or a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, get_args

from pocketnas_base.errors import InputError, PocketNASError

if TYPE_CHECKING:
    import torch

    from search.ranks import Ranks

Accelerator = Literal["auto", "cpu", "cuda"]
ACCELERATORS: tuple[Accelerator, ...] = get_args(Accelerator)


class GpuMemoryError(PocketNASError):
    """What was asked for needs more memory than the GPU has left."""


def torch_device(accelerator: Accelerator, place: "Ranks | None" = None) -> "torch.device":
    """The device to compute on; `auto` is a GPU where torch finds one. place: of several ranks each has a GPU of its
    own. Raises InputError where there is none."""
    import torch

    found = torch.cuda.is_available()
    if accelerator == "cuda" and not found:
        raise InputError(
            f'accelerator cuda: torch {torch.__version__} finds no CUDA GPU here; use accelerator = "auto" or "cpu"'
        )
    if accelerator == "cpu" or not found:
        return torch.device("cpu")
    # Shapes repeat from step to step: cuDNN's search for its fastest kernels pays for itself.
    torch.backends.cudnn.benchmark = True
    if place is None or place.size == 1:
        return torch.device("cuda")
    if place.local >= torch.cuda.device_count():
        raise InputError(
            f"rank {place.local} of this host needs a GPU of its own, and torch finds {torch.cuda.device_count()}; "
            f'start fewer ranks, or use accelerator = "cpu"'
        )
    device = torch.device("cuda", place.local)
    torch.cuda.set_device(device)
    return device


def accelerator_name(device: "torch.device") -> str:
    """What people call it: the GPU's own name, or `CPU`."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def check_mixed_precision(device: "torch.device") -> None:
    """Raises InputError where bfloat16 would be emulated: that is slower than float32."""
    import torch

    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise InputError(
            f"mixed_precision: {torch.cuda.get_device_name(device)} does not compute bfloat16; switch it off"
        )


@contextmanager
def within_memory(what: str, way_out: str) -> Iterator[None]:
    """Raises GpuMemoryError, saying what to do instead, where the block needs more memory than the GPU has left."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise GpuMemoryError(f"{what} needs more memory than the GPU has left; {way_out}") from error
