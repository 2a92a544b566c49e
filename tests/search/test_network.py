"""Networks as torch modules: shapes, initialisation, their weights on disk, and their place in the supernet."""

import math
import random
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pocketnas_base.errors import InputError
from search.architecture import Architecture, assemble
from search.network import Network, channels_last, load_network, load_weights, save_weights
from search.operators import BATCH_NORM_EPS, BATCH_NORM_MOMENTUM
from search.space import load_space
from search.supernet import Supernet
from search.zoo import load_zoo, mobilenet_v2_family

DEMO = load_space("demo")


def choices_of(seed: int) -> list[int]:
    numbers = random.Random(seed)
    return [numbers.randrange(len(edge.candidates)) for edge in DEMO.edges]


def images(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, 1, 28, 28, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def net() -> Architecture:
    return assemble(DEMO, choices_of(0), "net")


def path_weights(supernet: Supernet, path: list[int]) -> dict[str, Tensor]:
    """The weights of one path under the names that the network of that path gives them."""
    chosen = [supernet.candidate(edge, index) for edge, index in enumerate(path)]
    ops = [*supernet.before, *chosen, *supernet.after]
    return {f"ops.{n}.{key}": value for n, op in enumerate(ops) for key, value in op.state_dict().items()}


@pytest.mark.parametrize("seed", range(3))
def test_images_become_logits(seed: int) -> None:
    network = Network(assemble(DEMO, choices_of(seed), "net")).eval()
    assert network(images(3)).shape == (3, 10)


@pytest.mark.parametrize("name", ["proxyless-mobile", "proxyless-gpu"])
def test_published_nets_run_and_hold_the_published_number_of_parameters(name: str) -> None:
    published = load_zoo(name).architecture
    network = Network(published).eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == published.parameters
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 224, 224)).shape == (1, 1000)


def test_the_hand_made_family_runs() -> None:
    for family_member in mobilenet_v2_family(DEMO, (0.25, 1.0, 1.4)):
        assert Network(family_member).eval()(images(2)).shape == (2, 10)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("training", [True, False])
def test_a_path_of_the_supernet_is_the_network_of_its_architecture(seed: int, training: bool) -> None:
    torch.manual_seed(seed)
    supernet, path = Supernet(DEMO), choices_of(seed)
    supernet.train()
    supernet(images(8), path)  # running statistics that are no longer the initial ones
    network = Network(assemble(DEMO, path, "net"))
    network.load_state_dict(path_weights(supernet, path))
    supernet.train(training)
    network.train(training)
    batch = images(4, seed=1)
    with torch.no_grad():
        assert torch.equal(supernet(batch, path), network(batch))
    after = network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in path_weights(supernet, path).items())


def test_a_path_gives_its_network_gradients_and_the_other_paths_none() -> None:
    torch.manual_seed(0)
    supernet, path = Supernet(DEMO), choices_of(1)
    network = Network(assemble(DEMO, path, "net"))
    network.load_state_dict(path_weights(supernet, path))
    batch = images(4)
    supernet(batch, path).square().sum().backward()
    network(batch).square().sum().backward()
    on_path = {
        id(parameter) for edge, index in enumerate(path) for parameter in supernet.candidate(edge, index).parameters()
    }
    for edge in supernet.edges:
        for parameter in edge.parameters():
            assert (parameter.grad is not None) == (id(parameter) in on_path)
    ours = [p.grad for p in network.parameters() if p.grad is not None]
    theirs = [p.grad for p in supernet.parameters() if p.grad is not None]
    assert len(ours) == len(theirs) > 0
    assert sum(float(g.double().square().sum()) for g in ours) == sum(float(g.double().square().sum()) for g in theirs)


def test_batch_norm_is_the_papers(net: Architecture) -> None:
    norms = [layer for layer in Network(net).modules() if isinstance(layer, nn.BatchNorm2d)]
    assert norms
    assert (BATCH_NORM_EPS, BATCH_NORM_MOMENTUM) == (1e-3, 0.1)
    assert {(layer.eps, layer.momentum) for layer in norms} == {(1e-3, 0.1)}
    for layer in norms:
        assert torch.equal(layer.weight, torch.ones_like(layer.weight))
        assert torch.equal(layer.bias, torch.zeros_like(layer.bias))


def test_convolutions_start_with_he_s_spread_by_fan_out_groups_not_counted() -> None:
    torch.manual_seed(0)
    network = Network(load_zoo("proxyless-mobile").architecture)
    seen = set()
    for layer in network.modules():
        if not isinstance(layer, nn.Conv2d):
            continue
        expected = math.sqrt(2 / (layer.kernel_size[0] ** 2 * layer.out_channels))
        count = layer.weight.numel()
        assert layer.bias is None
        assert float(layer.weight.detach().std()) == pytest.approx(expected, rel=5 / math.sqrt(2 * count))
        assert abs(float(layer.weight.detach().mean())) < 5 * expected / math.sqrt(count)
        seen.add(layer.groups > 1)
    assert seen == {True, False}


def test_the_classifier_starts_uniform_without_bias(net: Architecture) -> None:
    torch.manual_seed(0)
    (linear,) = [layer for layer in Network(net).modules() if isinstance(layer, nn.Linear)]
    bound = 1 / math.sqrt(linear.in_features)
    assert float(linear.weight.detach().abs().max()) <= bound
    assert float(linear.weight.detach().std()) == pytest.approx(bound / math.sqrt(3), rel=0.1)
    assert torch.equal(linear.bias, torch.zeros_like(linear.bias))


def test_dropout_stands_before_the_classifier_only_and_only_in_training(net: Architecture) -> None:
    network = Network(net, dropout=0.5)
    rates = [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)]
    assert rates == [0.5]
    network.eval()
    assert torch.equal(network(images(2)), network(images(2)))


def test_channels_last_changes_the_layout_and_not_the_outcome(net: Architecture) -> None:
    torch.manual_seed(0)
    network = Network(net).eval()
    batch = images(2)
    with torch.no_grad():
        before = network(batch)
        changed = channels_last(network)(batch.to(memory_format=torch.channels_last))
    torch.testing.assert_close(changed, before, rtol=1e-4, atol=1e-6)
    kernels = [layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)


def test_saved_weights_come_back_bit_for_bit(net: Architecture, tmp_path: Path) -> None:
    network = channels_last(Network(net))
    network.train()
    network(images(8))
    save_weights(network.state_dict(), tmp_path / "weights.safetensors", {"architecture": net.name})
    again = load_network(net, tmp_path / "weights.safetensors")
    assert not again.training
    assert all(torch.equal(again.state_dict()[name], value) for name, value in network.state_dict().items())
    assert [entry.name for entry in tmp_path.iterdir()] == ["weights.safetensors"]


@pytest.mark.parametrize("other", [choices_of(1), choices_of(2)])
def test_weights_of_another_net_are_refused_in_one_line(net: Architecture, other: list[int], tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(Network(assemble(DEMO, other, "other")).state_dict(), path, {})
    with pytest.raises(InputError) as caught:
        load_network(net, path)
    assert str(caught.value) == f"weights {path} do not fit architecture net"


def test_unreadable_weights_are_refused_in_one_line(net: Architecture, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    with pytest.raises(InputError, match="do not exist"):
        load_weights(path)
    save_weights(Network(net).state_dict(), path, {})
    whole = path.read_bytes()
    torch.save({"ops.0": torch.zeros(3)}, tmp_path / "pickle.safetensors")
    for content in (
        b"",
        whole[:4],
        whole[:100],
        whole[: len(whole) // 2],
        whole[:-1],
        b"\xff" * 64,
        b"not weights",
        (tmp_path / "pickle.safetensors").read_bytes(),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"weights .* cannot be read") as caught:
            load_weights(path)
        assert len(str(caught.value).splitlines()) == 1
