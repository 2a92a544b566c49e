"""Operators of tree cells as modules: what they compute, and the published cells' shuffle beside what stands here."""

import pytest
import torch
from test_tree_space import drawn, small
from torch import Tensor, nn
from torch.nn import functional

from latency.cells import GROUPS
from latency.opspec import OpSpec
from pocketnas_base.errors import InputError
from search.layout import Edge
from search.network import Network
from search.operators import build_operator
from search.paths import sample_pair
from search.seeds import seeded
from search.supernet import Supernet
from search.updates.two_path import pair_logits

OPS = (
    OpSpec("convbn", 3, 8, 3, 1, 1, 8),
    OpSpec("reduce", 8, 6, 1, 1, 1, 8),
    OpSpec("expand", 6, 24, 1, 1, 1, 8),
    OpSpec("groupconv", 6, 6, 3, 1, 1, 8),
    OpSpec("groupconv", 6, 6, 3, 1, 2, 8),
    OpSpec("sepconv", 6, 6, 5, 1, 1, 8),
    OpSpec("dilconv", 6, 6, 3, 1, 1, 8),
    OpSpec("avgpool", 6, 6, 3, 1, 1, 8),
    OpSpec("maxpool", 6, 6, 3, 1, 1, 8),
    OpSpec("norm", 6, 6, 1, 1, 1, 8),
    OpSpec("normrelu", 6, 6, 1, 1, 1, 8),
    OpSpec("add", 6, 9, 1, 1, 2, 8),
)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.key)
def test_parameters_work_and_shape_are_what_the_operator_says(op: OpSpec) -> None:
    module = build_operator(op).eval()
    convolutions: list[int] = []

    def count(layer: nn.Module, _inputs: object, output: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        convolutions.append(layer.weight[0].numel() * output[0].numel())

    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    out = module(torch.randn(2, op.in_channels, op.resolution, op.resolution))
    assert out.shape == (2, op.out_channels, op.out_resolution, op.out_resolution)
    assert sum(parameter.numel() for parameter in module.parameters()) == op.parameters
    assert sum(convolutions) == op.macs
    assert OpSpec.from_dict(op.to_dict()) == op


def test_a_shortcut_is_averaged_and_padded_with_channels_of_zeros() -> None:
    x, other = torch.randn(2, 3, 8, 8), torch.randn(2, 5, 4, 4)
    out = build_operator(OpSpec("add", 3, 5, 1, 1, 2, 8))(x, other)
    assert torch.allclose(out[:, :3], functional.avg_pool2d(x, 2) + other[:, :3])
    assert torch.equal(out[:, 3:], other[:, 3:])


def test_an_average_counts_no_pixel_outside_the_image() -> None:
    out = build_operator(OpSpec("avgpool", 1, 1, 3, 1, 1, 4))(torch.ones(1, 1, 4, 4))
    assert torch.equal(out, torch.ones(1, 1, 4, 4))


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("sepconv", {"expansion": 3}, "expansion must be 1"),
        ("norm", {"kernel": 3}, "kernel must be 1"),
        ("sepconv", {"stride": 2}, "stride must be 1"),
        ("maxpool", {"out_channels": 8}, "as many channels out"),
        ("groupconv", {"in_channels": 5}, "divisible by 2"),
        ("add", {"out_channels": 4}, "at least as many"),
        ("add", {"stride": 3}, "cannot be averaged"),
        ("pool", {}, "unknown operator kind 'pool'"),
    ],
)
def test_an_operator_that_cannot_be_is_refused(kind: str, fields: dict[str, int], message: str) -> None:
    plain = OpSpec("norm", 6, 6, 1, 1, 1, 8).to_dict() | {"kind": kind} | fields
    with pytest.raises(InputError, match=message):
        OpSpec.from_dict(plain)


def test_two_convolutions_in_groups_are_one_that_is_shuffled_and_split() -> None:
    """The published root: n to 2n channels in two groups, a channel shuffle, a split. Here: a convolution in two groups
    for each half. Half h of the shuffled outputs has h's share of either group, in turns."""
    width = 8
    published = nn.Conv2d(width, 2 * width, 3, 1, 1, groups=GROUPS, bias=False)
    x = torch.randn(2, width, 6, 6)
    shuffled = published(x).unflatten(1, (GROUPS, width)).transpose(1, 2).flatten(1, 2)
    for number, half in enumerate(shuffled.chunk(2, dim=1)):
        ours = build_operator(OpSpec("groupconv", width, width, 3, 1, 1, 6))
        (convolution,) = [layer for layer in ours.modules() if isinstance(layer, nn.Conv2d)]
        share = width // 2
        kept = [group * width + number * share + index for group in range(GROUPS) for index in range(share)]
        convolution.weight.data = published.weight.data[kept]
        in_turns = ours(x).unflatten(1, (GROUPS, share)).transpose(1, 2).flatten(1, 2)
        assert torch.allclose(in_turns, half, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_a_network_computes_cell_by_cell_what_the_paper_draws(seed: int) -> None:
    """Against the cells written down again as nested sums."""
    space = small(depth=2)
    net = drawn(space, seed)
    torch.manual_seed(seed)
    network = Network(net).train()
    modules = iter(network.ops)

    def node(x: Tensor, depth: int) -> Tensor:
        total: Tensor | None = None
        for _ in range(2):
            y: Tensor = next(modules)(x)
            y = node(y, depth - 1) if depth > 1 else y
            if total is not None:
                next(modules)
                y = total + y
            total = y
        assert total is not None
        return total

    def logits(images: Tensor) -> Tensor:
        x: Tensor = next(modules)(images)
        for block in range(2):
            reduced, halves = next(modules)(x), []
            for _ in range(2):
                root = next(modules)(reduced)
                tree = node(root, 2)
                halves.append(root + next(modules)(tree))
                next(modules)
            next(modules)
            expanded: Tensor = next(modules)(halves[0] + halves[1])
            next(modules)
            shortcut = x if block == 0 else functional.avg_pool2d(x, 2)
            x = expanded.clone()
            x[:, : shortcut.shape[1]] += shortcut
        x = next(modules)(x)
        out: Tensor = next(modules)(x)
        return out

    images = torch.randn(4, 1, 16, 16)
    with torch.no_grad():
        assert torch.allclose(network(images), logits(images), atol=1e-5)
    assert next(modules, None) is None
    assert sum(parameter.numel() for parameter in network.parameters()) == net.parameters


def test_a_path_of_the_supernet_is_the_network_of_its_architecture() -> None:
    space = small(depth=2)
    torch.manual_seed(0)
    supernet, net = Supernet(space), drawn(space, 4)
    path, chosen = [], iter(net.ops)
    for place in space.places:
        op = next(chosen)
        if isinstance(place.content, Edge):
            path.append(place.candidates.index(op))
    fixed = iter([*supernet.before, *supernet.after])
    edges = iter(enumerate(path))
    network = Network(net)
    for module, place in zip(network.ops, space.places, strict=True):
        source = supernet.candidate(*next(edges)) if isinstance(place.content, Edge) else next(fixed)
        module.load_state_dict(source.state_dict())
    images = torch.randn(4, 1, 16, 16)
    with torch.no_grad():
        assert torch.equal(supernet(images, path), network(images))


def test_a_pair_of_paths_teaches_the_edges_of_a_tree() -> None:
    space = small()
    supernet = Supernet(space).double()
    alpha = torch.zeros(len(space.edges), 4, dtype=torch.float64, requires_grad=True)
    pair = sample_pair(alpha.detach().softmax(1), seeded(0, "pair"))
    with supernet.weights_frozen():
        logits = pair_logits(supernet, torch.randn(3, 1, 16, 16, dtype=torch.float64), pair, alpha)
        logits.square().sum().backward()
    assert alpha.grad is not None
    assert bool((alpha.grad.gather(1, pair.both) != 0).all())
    assert int((alpha.grad != 0).sum()) == 2 * len(space.edges)
