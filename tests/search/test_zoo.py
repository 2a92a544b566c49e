"""The zoo: published nets count what was published, hand-made nets follow the space."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from pocketnas_base.errors import InputError
from pocketnas_base.rounding import make_divisible
from search.network import Network, channels_last
from search.space import builtin_spaces, load_space
from search.zoo import describe, load_architecture, load_zoo, mobilenet_v2_family, zoo_names

# MACs and parameters recomputed from the published configurations at 224x224; in millions these are the published
# 320.4/4.08, 439.2/4.36, 465.3/7.12 and 580.9/6.86 (ProxylessNAS's evaluation logs) and 300/3.5 (MobileNetV2).
COUNTS = {
    "proxyless-mobile": (320_427_584, 4_080_512),
    "proxyless-cpu": (439_243_864, 4_361_648),
    "proxyless-gpu": (465_260_160, 7_119_848),
    "proxyless-mobile-14": (580_883_408, 6_857_568),
    "mobilenet-v2": (300_774_272, 3_504_872),
}
OF_IMAGENET = sorted(COUNTS)
COUNTS["proxyless-cifar10"] = (1_213_155_872, 5_731_530)


def test_the_zoo_is_complete():
    assert set(zoo_names()) == set(COUNTS)


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_a_net_is_trainable_and_holds_what_it_says(name: str):
    net = load_zoo(name).architecture
    assert (net.name, net.macs, net.parameters) == (name, *COUNTS[name])
    network = channels_last(Network(net)).train()
    assert sum(parameter.numel() for parameter in network.parameters()) == net.parameters
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    # The least size that its strides leave a pixel of: what is trained depends on no other.
    size = 32 if net.resolution == 224 else 8
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    loss = functional.cross_entropy(network(images), torch.tensor([0, 1]))
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss)
    moved = [not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True)]
    assert all(torch.isfinite(parameter).all() for parameter in network.parameters())
    assert sum(moved) >= 0.9 * len(moved)


@pytest.mark.parametrize("name", OF_IMAGENET)
def test_counts_are_the_published_ones(name: str):
    entry = load_zoo(name)
    net = entry.architecture
    assert (net.resolution, net.image_channels, net.classes) == (224, 3, 1000)
    assert entry.published.top1_percent is not None
    assert entry.published.pixel1_latency_ms is not None
    assert entry.published.macs_millions == pytest.approx(net.macs / 1e6, rel=3e-3)
    if entry.published.params_millions is not None:
        assert round(net.parameters / 1e6, 2) == entry.published.params_millions


def test_left_out_blocks_are_kept_as_zero():
    zeros = {name: sum(op.kind == "zero" for op in load_zoo(name).architecture.ops) for name in OF_IMAGENET}
    assert zeros == {
        "proxyless-mobile": 2,
        "proxyless-cpu": 2,
        "proxyless-gpu": 8,
        "proxyless-mobile-14": 2,
        "mobilenet-v2": 0,
    }


def test_proxyless_mobile_lies_in_the_mobile_space():
    space, net = load_space("mobile"), load_zoo("proxyless-mobile").architecture
    assert net.ops[:2] == space.before
    assert net.ops[-2:] == space.after
    for op, edge in zip(net.ops[2:-2], space.edges, strict=True):
        assert op in edge.candidates


def test_description_adds_up():
    about = describe(load_zoo("proxyless-mobile").architecture)
    assert json.loads(json.dumps(about)) == about
    assert list(about) == ["name", "params", "macs", "blocks"]
    blocks = about["blocks"]
    assert isinstance(blocks, list)
    assert sum(block["macs"] for block in blocks) == about["macs"]
    assert sum(block["params"] for block in blocks) == about["params"]
    assert {"kind", "in_channels", "out_channels", "kernel", "expansion", "stride", "resolution"} <= set(blocks[3])


def test_an_architecture_is_found_by_name_or_by_path(tmp_path: Path):
    net = load_architecture("proxyless-gpu")
    net.save(tmp_path / "net.json")
    assert load_architecture(str(tmp_path / "net.json")) == net
    with pytest.raises(InputError, match="does not exist"):
        load_architecture(str(tmp_path / "none.json"))


@pytest.mark.parametrize("name", ["proxyless", "sources", "../space", ""])
def test_an_unknown_name_lists_the_zoo(name: str):
    with pytest.raises(InputError, match="mobilenet-v2, proxyless-cifar10, proxyless-cpu"):
        load_architecture(name)
    with pytest.raises(InputError, match="mobilenet-v2, proxyless-cifar10, proxyless-cpu"):
        load_zoo(name)


@pytest.mark.parametrize(
    ("value", "expected"), [(32 * 0.75, 24), (16 * 0.35, 8), (24 * 0.35, 8), (1280 * 1.4, 1792), (12, 16), (11.9, 16)]
)
def test_widths_are_made_divisible(value: float, expected: int):
    assert make_divisible(value) == expected


@pytest.mark.parametrize("name", [name for name in builtin_spaces() if load_space(name).inputs is None])
def test_the_family_follows_the_space(name: str):
    space = load_space(name)
    family = mobilenet_v2_family(space, (0.5, 0.75, 1.0, 1.4))
    assert [net.name for net in family] == [f"mobilenet-v2-x{multiplier}" for multiplier in (0.5, 0.75, 1.0, 1.4)]
    assert [net.macs for net in family] == sorted({net.macs for net in family})
    for net in family:
        assert len(net.ops) == len(space.edges) + 4
        assert [op.stride for op in net.ops[2:-2]] == [edge.candidates[0].stride for edge in space.edges]
        assert [op.resolution for op in net.ops[2:-2]] == [edge.candidates[0].resolution for edge in space.edges]
        assert {op.choice for op in net.ops[2:-2]} == {"mb6_3x3"}
        assert net.classes == space.classes
    assert [net.ops[-1].in_channels for net in family[:3]] == [space.head.width] * 3
    assert family[3].ops[-1].in_channels == make_divisible(space.head.width * 1.4)
    plain = family[2]
    assert all(op in edge.candidates for op, edge in zip(plain.ops[2:-2], space.edges, strict=True))


@pytest.mark.parametrize("multiplier", [0, -1, 17, float("nan"), float("inf")])
def test_impossible_multipliers_are_refused(multiplier: float):
    with pytest.raises(InputError, match="width multiplier"):
        mobilenet_v2_family(load_space("demo"), [multiplier])


def test_the_family_of_a_scaled_space_starts_from_its_widths() -> None:
    (net,) = mobilenet_v2_family(load_space("mobile@x0.75"), [1.0])
    assert [net.ops[0].out_channels, net.ops[2].out_channels, net.ops[-1].in_channels] == [24, 24, 1280]
