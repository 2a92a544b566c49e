"""What a file is made of: the same sums for the same network, others for whatever makes another file of it."""

import torch
from torch import Tensor, nn

from deploy.fingerprint import program_sha256, weights_sha256
from deploy.program import exported_program


class Net(nn.Module):
    """Holds numbers where neither its weights nor its look show them."""

    def __init__(self, factor: float = 1.0, table: float = 2.0, buffer: float = 3.0, weight: float = 4.0) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        nn.init.constant_(self.layer.weight, weight)
        nn.init.zeros_(self.layer.bias)
        self.factor, self.table = factor, torch.full((4,), table)
        self.register_buffer("hidden", torch.full((4,), buffer), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.layer(images.flatten(1)) * self.factor + self.table + self.hidden
        return result


class Rewritten(Net):
    """The same parts in another order."""

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = (self.layer(images.flatten(1)) + self.table) * self.factor + self.hidden
        return result


def program(network: nn.Module) -> str:
    return program_sha256(exported_program(network.eval(), torch.zeros(1, 1, 2, 2)))


def test_a_program_is_known_by_what_it_computes_whatever_its_weights_are() -> None:
    plain = program(Net())
    assert program(Net()) == plain
    assert program(Net(weight=5.0)) == plain
    assert weights_sha256(Net(weight=5.0)) != weights_sha256(Net())
    others = [Net(factor=2.0), Net(table=3.0), Net(buffer=4.0), Rewritten()]
    assert {weights_sha256(other) for other in others} == {weights_sha256(Net())}
    assert len({plain, *map(program, others)}) == 5
