"""Networks of somebody else's: what `pocketnas export --model tests_module:function` may be given."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


class Other(nn.Module):
    """Built unlike ours: batch norms by name, uneven padding, a gate, and a sum."""

    def __init__(self, channels: int = 1, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 16, 3, stride=2, bias=False)
        self.stem_norm = nn.BatchNorm2d(16)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(16)
        self.gate = nn.Linear(16, 16)
        self.pointwise = nn.Conv2d(16, 16, 1)
        self.head = nn.Linear(16, classes)

    def forward(self, images: Tensor) -> Tensor:
        value = functional.relu6(self.stem_norm(self.stem(functional.pad(images, (0, 1, 0, 1)))))
        inner = functional.relu6(self.depthwise_norm(self.depthwise(value)))
        gate = torch.sigmoid(self.gate(inner.mean((2, 3))))
        value = value + self.pointwise(inner * gate[:, :, None, None])
        result: Tensor = self.head(value.mean((2, 3)))
        return result


class Branching(nn.Module):
    """Decides by what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 10, 28)

    def forward(self, images: Tensor) -> Tensor:
        made: Tensor = self.layer(images).flatten(1)
        return made if images.sum() > 0 else -made


class TwoOutputs(nn.Module):
    """Gives a pair."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 10, 28)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        made = self.layer(images).flatten(1)
        return made, made + 1


class Gives(nn.Module):
    """Whatever `made` makes of a tensor [N, 10]."""

    def __init__(self, made: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.layer, self.made = nn.Conv2d(1, 10, 28), made

    def forward(self, images: Tensor) -> object:
        return self.made(self.layer(images).flatten(1))


class Sums(nn.Module):
    """A running sum, which XNNPACK does not take."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.Linear(8 * 14 * 14, 10)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.head(torch.cumsum(self.stem(images).flatten(1), 1))
        return result


class SelectTF(nn.Module):
    """TFLite has no arc tangent: a converter takes that of TensorFlow. ExecuTorch has one."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 10, 28)

    def forward(self, images: Tensor) -> Tensor:
        return torch.atan(self.layer(images).flatten(1))


class HoldsFloat32(nn.Module):
    """Its code holds a tensor of float32, so that it cannot be computed in float16."""

    def __init__(self, *, before_stem: bool) -> None:
        super().__init__()
        self.stem, self.head, self.before_stem = nn.Conv2d(1, 4, 28), nn.Linear(4, 10), before_stem

    def forward(self, images: Tensor) -> Tensor:
        factor = torch.tensor([0.5])
        value = self.stem(images * factor if self.before_stem else images).flatten(1)
        result: Tensor = self.head(value if self.before_stem else value * factor)
        return result


class Unsupported(nn.Module):
    """An operator that phones' runtimes have no kernel for."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.linalg.svdvals(images[:, 0]).flatten(1)


def other() -> nn.Module:
    """`Other` with the same weights on every call, its batch norms fed with noise."""
    torch.manual_seed(0)
    network = Other()
    with torch.no_grad():
        network.train()(torch.randn(64, 1, 28, 28))
    return network.eval()


def branching() -> nn.Module:
    """See `Branching`."""
    return Branching()


def two_outputs() -> nn.Module:
    """See `TwoOutputs`."""
    return TwoOutputs()


def named_outputs() -> nn.Module:
    """Gives a dictionary."""
    return Gives(lambda made: {"logits": made})


def of_one_image() -> nn.Module:
    """Gives one row, however many images it takes."""
    return Gives(lambda made: made[:1])


def whole_numbers() -> nn.Module:
    """Gives the class itself."""
    return Gives(lambda made: made.argmax(1, keepdim=True))


def takes_two() -> nn.Module:
    """Takes a pair."""
    return nn.Bilinear(28, 28, 10)


def sums() -> nn.Module:
    """See `Sums`."""
    torch.manual_seed(0)
    return Sums()


def select_tf() -> nn.Module:
    """See `SelectTF`."""
    torch.manual_seed(0)
    return SelectTF()


def unsupported() -> nn.Module:
    """See `Unsupported`."""
    return Unsupported()


def no_module() -> str:
    """Not a module."""
    return "a network"
