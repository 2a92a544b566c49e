"""Activations and squeeze-and-excitation of spaces: where they stand, what they cost, and what stays as it was."""

from typing import Any

import pytest
import torch

from pocketnas_base.errors import InputError
from search.architecture import Architecture, assemble
from search.network import Network
from search.space import SearchSpace, load_space

# Fingerprints taken before activations and squeeze-and-excitation were there.
FINGERPRINTS = {
    "demo": "50a6cf58d396df7399ad8f5648aad8faaf657ef2aa596e159e2e5f7e87ad1997",
    "mobile": "05e7eefac014638a89e7fd68d35babdbe091a883bb44f40eb2e3933edccf177b",
    "mobile-24": "0e3a08ac388544e7a1f6a22b2e888b757041f5cb8869146e3b8eeaa337a7337b",
}


def space_of(**fields: Any) -> SearchSpace:
    return SearchSpace.from_dict(load_space("demo").to_dict() | {"name": "mine"} | fields, source="mine.toml")


def stages_of(**fields: Any) -> list[dict[str, Any]]:
    first, *others = [stage.model_dump(exclude_defaults=True) for stage in load_space("demo").stages]
    return [first | fields, *others]


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_a_space_without_these_keys_is_the_space_that_it_was(name: str) -> None:
    assert load_space(name).fingerprint == FINGERPRINTS[name]
    assert all((op.activation, op.squeeze_excite) == ("relu6", 0) for op in load_space(name).op_specs())
    assert all("squeeze_excite" not in op.to_dict() for op in load_space(name).op_specs())


def test_the_spaces_activation_is_that_of_every_convolution() -> None:
    space = space_of(activation="hswish")
    for op in space.op_specs():
        assert op.activation == ("hswish" if op.kind in ("conv", "mbconv") else "relu6")
    plain = load_space("demo").op_specs()
    assert [op.key.removesuffix("_hswish") for op in space.op_specs()] == [op.key for op in plain]
    assert [(op.macs, op.parameters) for op in space.op_specs()] == [(op.macs, op.parameters) for op in plain]


def test_each_part_may_have_an_activation_of_its_own() -> None:
    space = space_of(
        activation="swish",
        stem={"width": 16, "kernel": 3, "stride": 2, "activation": "hswish"},
        first={"width": 8, "kernel": 3, "expansion": 1, "activation": "relu"},
        stages=stages_of(activation="relu6"),
        head={"width": 128, "activation": "relu"},
    )
    assert [op.activation for op in space.before] == ["hswish", "relu"]
    assert [edge.candidates[0].activation for edge in space.edges] == ["relu6"] * 2 + ["swish"] * 6
    assert [op.activation for op in space.after] == ["relu", "relu6"]


def test_squeeze_and_excitation_is_a_choice_kernel_by_kernel() -> None:
    space = space_of(kernels=[3, 5], expansions=[6], squeeze_excite=[0, 0.25])
    choices = ["mb6_3x3", "mb6_3x3_se0.25", "mb6_5x5", "mb6_5x5_se0.25"]
    for edge in space.edges:
        assert [op.choice for op in edge.candidates if op.kind == "mbconv"] == choices
    assert space.before[1].squeeze_excite == 0
    keys = [op.key for op in space.op_specs()]
    assert len(set(keys)) == len(keys)


def test_one_share_is_what_every_block_has_and_a_stage_may_have_its_own() -> None:
    space = space_of(
        squeeze_excite=0.25,
        first={"width": 8, "kernel": 3, "expansion": 1, "squeeze_excite": 0.5},
        stages=stages_of(squeeze_excite=[0]),
    )
    shares = [{op.squeeze_excite for op in edge.candidates if op.kind == "mbconv"} for edge in space.edges]
    assert shares == [{0.0}] * 2 + [{0.25}] * 6
    assert space.before[1].choice == "mb1_3x3_se0.5"
    assert SearchSpace.from_dict(space.to_dict(), source="again") == space


def test_fingerprints_know_activation_and_squeeze_and_excitation() -> None:
    spaces = [
        load_space("demo"),
        space_of(activation="hswish"),
        space_of(squeeze_excite=0.25),
        space_of(squeeze_excite=[0, 0.25]),
        space_of(squeeze_excite=[0.25, 0]),
        space_of(stages=stages_of(activation="hswish")),
        space_of(stages=stages_of(squeeze_excite=0.25)),
        space_of(first={"width": 8, "kernel": 3, "expansion": 1, "squeeze_excite": 0.25}),
    ]
    assert len({space.fingerprint for space in spaces}) == len(spaces)
    assert space_of(squeeze_excite=[0.25]).fingerprint == space_of(squeeze_excite=0.25).fingerprint
    assert space_of(activation="relu6", squeeze_excite=0).fingerprint == load_space("demo").fingerprint


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"activation": "gelu"}, "activation: Input should be 'relu6', 'relu', 'hswish' or 'swish'"),
        ({"squeeze_excite": 2}, "squeeze_excite must be a share from 0 to 1 with at most four decimals, not 2"),
        ({"squeeze_excite": -0.25}, "squeeze_excite must be a share"),
        ({"squeeze_excite": 0.12345}, "squeeze_excite must be a share"),
        ({"squeeze_excite": []}, "squeeze_excite: Value should have at least 1 item"),
        ({"squeeze_excite": [0, "0.25"]}, "squeeze_excite.1: Input should be a valid number"),
        ({"squeeze_excite": [0, 0.0]}, "squeeze_excite: the same value is listed twice"),
        ({"stages": stages_of(squeeze_excite=[1, 1.0])}, "stages.0.squeeze_excite: the same value is listed twice"),
        ({"stages": stages_of(activation="tanh")}, "stages.0.activation: Input should be"),
        ({"first": {"width": 8, "kernel": 3, "expansion": 1, "squeeze_excite": 7}}, "squeeze_excite must be a share"),
    ],
)
def test_what_no_block_has_is_refused_in_one_line(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        space_of(**fields)
    assert message in str(caught.value)
    assert str(caught.value).startswith("space mine.toml: ")
    assert len(str(caught.value).splitlines()) == 1


def test_an_architecture_comes_back_from_json_and_its_network_trains() -> None:
    space = space_of(kernels=[3], expansions=[3], activation="hswish", squeeze_excite=[0, 0.25])
    architecture = assemble(space, [1] * len(space.edges), "net")
    assert Architecture.from_dict(architecture.to_dict(), source="net") == architecture
    torch.manual_seed(0)
    network = Network(architecture)
    assert sum(parameter.numel() for parameter in network.parameters()) == architecture.parameters
    loss = network(torch.randn(2, 1, 28, 28)).square().mean()
    loss.backward()
    gates = [part for part in network.modules() if type(part).__name__ == "SqueezeExcite"]
    assert len(gates) == len(space.edges)
    assert all(gate.reduce.weight.grad.abs().sum() > 0 for gate in gates)
