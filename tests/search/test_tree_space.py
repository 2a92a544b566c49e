"""Tree cells on a PyramidNet as data: the published net counted, files read back, and what is refused."""

import copy
import random
from pathlib import Path

import pytest

from pocketnas_base.errors import InputError
from search.architecture import Architecture, assemble
from search.hand_made import hand_made_choices, hand_made_family
from search.layout import Space
from search.space import load_space
from search.tree_space import TreeSpace
from search.zoo import load_zoo

PLAIN = {
    "name": "small-tree",
    "resolution": 16,
    "image_channels": 1,
    "classes": 4,
    "pyramid": {"stem": 8, "alpha": 8, "blocks": [1, 1], "bottleneck": 2},
    "tree": {"branches": 2, "depth": 1, "operators": ["sepconv_3x3", "dilconv_3x3", "maxpool_3x3", "identity"]},
}


def small(**tree: object) -> TreeSpace:
    plain = copy.deepcopy(PLAIN)
    plain["tree"] = {**plain["tree"], **tree}  # type: ignore[dict-item]
    return TreeSpace.from_dict(plain, source="small-tree")


def drawn(space: Space, seed: int) -> Architecture:
    numbers = random.Random(seed)
    return assemble(space, [numbers.randrange(len(edge.candidates)) for edge in space.edges], "net")


def test_the_published_net_has_the_published_number_of_parameters() -> None:
    """5,731,530 is what the layers of the authors' configuration file hold; the paper says 5.7 M."""
    entry = load_zoo("proxyless-cifar10")
    net, space = entry.architecture, load_space("proxyless-cifar")
    assert net.parameters == 5_731_530
    assert round(net.parameters / 1e6, 1) == entry.published.params_millions
    assert (net.resolution, net.image_channels, net.classes, net.space) == (32, 3, 10, space.name)
    searched = [op.choice for place, op in zip(space.places, net.ops, strict=True) if len(place.candidates) > 1]
    counts = {name: searched.count(name) for name in dict.fromkeys(searched)}
    assert counts == {
        "sepconv_3x3": 83,
        "dilconv_3x3": 90,
        "sepconv_5x5": 85,
        "sepconv_7x7": 116,
        "avgpool_3x3": 89,
        "maxpool_3x3": 89,
        "zero": 96,
    }


def test_the_paper_s_space_is_54_blocks_of_12_edges() -> None:
    space = load_space("proxyless-cifar")
    assert isinstance(space, TreeSpace)
    assert len(space.edges) == 54 * 12
    assert space.size == 7**648
    assert space.widths[:4] == (18, 18, 20, 22)
    assert (space.widths[18], space.widths[36], space.widths[-1]) == (46, 74, 100)
    assert [op.key for op in space.after[-3:]] == [
        "add_s1_392-400_r8",
        "normrelu_s1_400-400_r8",
        "classifier_s1_400-10_r8",
    ]
    assert {edge.candidates[-1].kind for edge in space.edges} == {"zero"}
    assert space.chain.places[0] == (space.before[0],)


def test_a_node_sums_its_branches_and_a_half_adds_what_it_came_from() -> None:
    """One block, one level: the values that each operator takes, by hand."""
    plain = copy.deepcopy(PLAIN)
    plain["pyramid"] = {"stem": 8, "alpha": 4, "blocks": [1], "bottleneck": 2}
    space = TreeSpace.from_dict(plain, source="small-tree")
    described = [(place.candidates[0].kind, place.inputs) for place in space.places]
    half = ["groupconv", "sepconv", "sepconv", "add", "norm", "add"]
    assert [kind for kind, _ in described] == [
        "convbn",
        "reduce",
        *half,
        *half,
        "add",
        "expand",
        "add",
        "normrelu",
        "classifier",
    ]
    assert [inputs for _, inputs in described] == [
        (0,), (1,),
        (2,), (3,), (3,), (4, 5), (6,), (3, 7),
        (2,), (9,), (9,), (10, 11), (12,), (9, 13),
        (8, 14), (15,), (1, 16), (17,), (18,),
    ]  # fmt: skip
    assert space.places[16].candidates[0].key == "add_s1_8-24_r16"
    assert [edge.name for edge in space.edges] == [
        "block1.tree1.1", "block1.tree1.2", "block1.tree2.1", "block1.tree2.2",
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_an_architecture_survives_its_file(seed: int, tmp_path: Path) -> None:
    net = drawn(small(depth=2), seed)
    net.save(tmp_path / "net.json")
    assert Architecture.load(tmp_path / "net.json") == net
    assert net.inputs is not None


def test_a_space_survives_its_file_and_knows_itself() -> None:
    space = load_space("proxyless-cifar")
    assert TreeSpace.from_dict(space.to_dict(), source="again") == space
    other = space.at_resolution(64)
    assert (other.name, load_space("proxyless-cifar@64")) == ("proxyless-cifar@64", other)
    assert other.fingerprint != space.fingerprint
    assert other.at_resolution(32).fingerprint == space.fingerprint
    with pytest.raises(InputError, match="divisible by 4, 30 px is not"):
        space.at_resolution(30)
    with pytest.raises(InputError, match="takes images of 4 to 4096 px"):
        space.at_resolution(2)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("resolution", 17, "divisible by 2"),
        ("tree", {"branches": 2, "depth": 1, "operators": ["conv_3x3"]}, "unknown 'conv_3x3'; known: sepconv_3x3"),
        ("tree", {"branches": 2, "depth": 1, "operators": ["identity", "sepconv_3x3"]}, "identity is listed last"),
        ("tree", {"branches": 2, "depth": 1, "operators": ["sepconv_3x3", "sepconv_3x3"]}, "listed twice"),
        ("tree", {"branches": 2, "depth": 1, "operators": []}, "tree.operators"),
        ("tree", {"branches": 2, "depth": 1, "operators": ["identity"]}, "identity alone leaves nothing"),
        ("tree", {"branches": 4, "depth": 4, "operators": ["sepconv_3x3"]}, None),
        ("pyramid", {"stem": 8, "alpha": 8, "blocks": [1, 0], "bottleneck": 2}, "needs a block"),
        ("pyramid", {"stem": 8, "alpha": 8, "blocks": [9, 64], "bottleneck": 2}, None),
        ("pyramid", {"stem": 8, "alpha": float("nan"), "blocks": [1], "bottleneck": 2}, "pyramid.alpha"),
        ("stem", 3, "stem"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(key: str, value: object, message: str | None) -> None:
    plain = {**copy.deepcopy(PLAIN), key: value}
    if message is None:
        assert len(TreeSpace.from_dict(plain, source="it").edges) > 100
        return
    with pytest.raises(InputError, match=message) as caught:
        TreeSpace.from_dict(plain, source="it")
    assert "\n" not in str(caught.value)


def test_a_space_of_more_edges_than_anyone_searches_is_refused() -> None:
    plain = copy.deepcopy(PLAIN)
    plain["pyramid"] = {"stem": 8, "alpha": 8, "blocks": [9, 9], "bottleneck": 2}
    plain["tree"] = {"branches": 4, "depth": 4, "operators": ["sepconv_3x3"]}
    with pytest.raises(InputError, match="24480 searchable edges are more than 10000"):
        TreeSpace.from_dict(plain, source="it")


def test_a_network_whose_values_do_not_fit_is_refused() -> None:
    net = drawn(small(), 0)
    assert net.inputs is not None
    plain = net.to_dict()
    for inputs, message in [
        ([[9]] + [list(taken) for taken in net.inputs[1:]], "cannot take values"),
        ([list(taken) for taken in net.inputs[:-1]], "operators, inputs of"),
        ([[0]] * len(net.ops), "cannot take values|but .* takes"),
        ([list(taken) for taken in net.inputs[:-1]] + [[1]], "takes|nothing takes"),
        ("all", "list of lists"),
        ([["a"]], "whole numbers"),
    ]:
        with pytest.raises(InputError, match=message):
            Architecture.from_dict({**plain, "inputs": inputs}, source="it")


def test_the_hand_made_family_is_pyramids_of_separable_convolutions() -> None:
    space = small(depth=2)
    family = hand_made_family(space, (0.5, 1.0, 2.0))
    assert [net.name for net in family] == ["pyramid-x0.5", "pyramid-x1.0", "pyramid-x2.0"]
    assert [net.macs for net in family] == sorted({net.macs for net in family})
    assert family[1].ops == assemble(space, hand_made_choices(space), "same").ops
    with pytest.raises(InputError, match="width multiplier"):
        hand_made_family(space, [0])
    without = small(operators=["maxpool_3x3", "identity"])
    assert len(hand_made_family(without, [1.0])) == 1
    with pytest.raises(InputError, match="all-sepconv_3x3 net"):
        hand_made_choices(without)
