"""What is exported: a network, what its files take and give, and the images that they are checked on."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from deploy.fingerprint import architecture_sha256, images_sha256, program_sha256
from deploy.manifest import Calibration, Normalisation
from deploy.manifest_schema import MAX_TEXT
from deploy.program import exported_program
from pocketnas_base.errors import InputError
from search.architecture import Architecture

if TYPE_CHECKING:
    from torch import Tensor, nn

MAX_CALIBRATION_IMAGES = 256
# File names are made of it, and more is appended to them.
_MAX_NAME = 160


@dataclass(frozen=True, eq=False)
class Subject:
    """A network with what is to become of it.

    network: takes float32 [N, C, H, W], gives [N, ...]. architecture: ours, None for a module of the user's own.
    images, calibration: [N, C, H, W], either uint8 pixels, which `normalisation` then turns into what the network
      takes, or float32 that it takes as they are. labels: int64 [N], of `images`. calibration is for int8 alone.
    class_names: of the outputs, in order. softmax: files give probabilities. uint8_input: files take pixels.
    Raises InputError when these do not fit each other.
    """

    name: str
    network: "nn.Module"
    input_shape: tuple[int, int, int]
    images: "Tensor"
    labels: "Tensor | None" = None
    calibration: "Tensor | None" = None
    normalisation: Normalisation | None = None
    class_names: tuple[str, ...] | None = None
    architecture: Architecture | None = None
    softmax: bool = False
    uint8_input: bool = False
    weights_licence: str | None = None

    def __post_init__(self) -> None:
        import torch

        for what, images in (("images", self.images), ("calibration images", self.calibration)):
            if images is None:
                continue
            if images.ndim != 4 or tuple(images.shape[1:]) != self.input_shape or len(images) == 0:
                raise InputError(f"{self.name} takes {what} of {list(self.input_shape)}, not {list(images.shape)}")
            if images.dtype not in (torch.uint8, torch.float32):
                raise InputError(f"{what} are uint8 pixels or float32, not {images.dtype}")
            if images.dtype == torch.uint8 and self.normalisation is None:
                raise InputError(f"{what} are pixels: say with mean and std what the network takes of them")
            if self.uint8_input and images.dtype != torch.uint8:
                raise InputError(f"{what} are prepared already: files that take pixels are checked on pixels")
        channels = self.input_shape[0]
        if self.normalisation is not None and len(self.normalisation.mean) != channels:
            raise InputError(f"mean and std have {len(self.normalisation.mean)} numbers for {channels} channels")
        if self.uint8_input and self.normalisation is None:
            raise InputError("a file that takes pixels needs mean and std, to fold them in")
        if self.labels is not None and self.labels.shape != self.images.shape[:1]:
            raise InputError(f"{len(self.images)} images cannot be checked with labels of {list(self.labels.shape)}")
        _check_line("the network's name", self.name, _MAX_NAME)
        _check_line("the licence of the weights (its name, such as MIT)", self.weights_licence or "", MAX_TEXT)
        for name in self.class_names or ():
            _check_line("a label", name, MAX_TEXT)

    @cached_property
    def structure_sha256(self) -> str:
        """Over what the network computes, apart from its weights. A module may compute otherwise and look the same: its
        code is what is read. Raises what `exported_program` does."""
        if self.architecture is not None:
            return architecture_sha256(self.architecture)
        return program_sha256(exported_program(deployed_module(self, from_pixels=False), self.example().float()))

    @cached_property
    def images_sha256(self) -> str:
        """Over the images and labels that files are checked on. Kept: a large test set takes minutes to read."""
        return images_sha256(self.images, self.labels)

    @cached_property
    def calibrated_with(self) -> Calibration | None:
        """What int8's ranges come from; None where there is nothing to calibrate with."""
        if self.calibration is None:
            return None
        return Calibration(len(self.calibration), images_sha256(self.calibration, None))

    def prepared(self, images: "Tensor") -> "Tensor":
        """float32, contiguous, as the network takes them."""
        import torch

        if images.dtype == torch.float32:
            return images.detach().cpu().contiguous()
        assert self.normalisation is not None
        shape = (1, -1, 1, 1)
        mean, std = (torch.tensor(each).view(shape) for each in (self.normalisation.mean, self.normalisation.std))
        return ((images.detach().cpu().float() - mean) / std).contiguous()

    def example(self) -> "Tensor":
        """One input of files, nothing but zeros; its strides are the plain ones, which a real image of one channel need
        not have, and which programs are made for."""
        import torch

        return torch.zeros(1, *self.input_shape, dtype=torch.uint8 if self.uint8_input else torch.float32)

    def taken(self, images: "Tensor") -> "Tensor":
        """As the files take them, apart from the layout: uint8 pixels, or float32."""
        return images.detach().cpu().contiguous() if self.uint8_input else self.prepared(images)


def _check_line(what: str, text: str, most: int) -> None:
    """Raise InputError for a text that a manifest cannot hold."""
    if not text.isprintable() or len(text) > most:
        shown = ascii(text[:40]) + ("..." if len(text) > 40 else "")
        raise InputError(f"{what} must be one line of at most {most} characters that can be printed, not {shown}")


def deployed_module(subject: Subject, *, from_pixels: bool) -> "nn.Module":
    """What the files compute: a copy in evaluation mode on the CPU, softmax behind it where it is asked for.

    from_pixels: it takes pixels, uint8 or float32 from 0 to 255, and normalises them first.
    """
    import torch
    from torch import nn

    from deploy.folding import evaluated, folded

    class Normalise(nn.Module):
        """Pixels to what the network takes: one multiplication, one addition."""

        scale: torch.Tensor
        offset: torch.Tensor

        def __init__(self, normalisation: Normalisation) -> None:
            super().__init__()
            mean, std = torch.tensor(normalisation.mean).double(), torch.tensor(normalisation.std).double()
            self.register_buffer("scale", (1 / std).float().view(1, -1, 1, 1))
            self.register_buffer("offset", (-mean / std).float().view(1, -1, 1, 1))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.to(torch.float32) * self.scale + self.offset

    # Our own networks fold as they are built; of others, what the exporters find.
    network = folded(subject.network) if subject.architecture is not None else evaluated(subject.network)
    parts: list[nn.Module] = []
    if from_pixels:
        assert subject.normalisation is not None
        parts.append(Normalise(subject.normalisation))
    parts.append(network)
    if subject.softmax:
        parts.append(nn.Softmax(dim=1))
    return parts[0] if len(parts) == 1 else nn.Sequential(*parts).eval()
