"""OpSpec: what is refused, what it counts, and that it says the same after a trip through plain data."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from block_cases import BLOCKS
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from latency.opspec import ACTIVATIONS, EMPTY, MAX_DIMENSION, OpSpec, zero
from pocketnas_base.errors import InputError
from search.operators import build_operator
from search.space import load_space
from search.zoo import load_zoo

BLOCK = OpSpec("mbconv", 24, 40, 5, 6, 2, 28)
NETS = ("proxyless-mobile", "proxyless-gpu")


def operators() -> list[OpSpec]:
    """Every operator of the demo space, and those of published nets: other sizes, kernels and strides."""
    found = [op for op in load_space("demo").op_specs() if op != EMPTY]
    found += [op for name in NETS for op in load_zoo(name).architecture.ops if op.kind != "zero"]
    found += BLOCKS
    return list(dict.fromkeys(found))


@contextmanager
def counting(module: nn.Module) -> Iterator[list[int]]:
    """Multiply-accumulates of each convolution and linear layer that runs, from the shapes that really occur."""
    counted: list[int] = []

    def count(layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        counted.append(output.numel() * layer.weight[0].numel())

    handles = [
        layer.register_forward_hook(count) for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    yield counted
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("op", operators(), ids=lambda op: op.key)
def test_counts_and_shapes_are_those_of_the_torch_module(op: OpSpec) -> None:
    module = build_operator(op).eval()
    image = torch.zeros(1, op.in_channels, op.resolution, op.resolution)
    with counting(module) as counted, torch.inference_mode():
        output = module(image)
    assert op.macs == sum(counted)
    assert op.parameters == sum(parameter.numel() for parameter in module.parameters())
    expected = (1, op.out_channels) if op.kind == "classifier" else (1, op.out_channels, *[op.out_resolution] * 2)
    assert tuple(output.shape) == expected


def test_zero_and_the_empty_model_count_nothing() -> None:
    left_out = zero(24, 14)
    image = torch.rand(2, 24, 14, 14)
    assert torch.equal(build_operator(left_out)(image), image)
    assert (left_out.macs, left_out.parameters, EMPTY.macs, EMPTY.parameters) == (0, 0, 0, 0)
    assert (left_out.out_channels, left_out.out_resolution) == (24, 14)
    with pytest.raises(InputError, match="is not a module"):
        build_operator(EMPTY)


@pytest.mark.parametrize(
    ("op", "key"),
    [
        (BLOCK, "mb6_5x5_s2_24-40_r28"),
        (OpSpec("mbconv", 16, 16, 3, 3, 1, 14, residual=True), "mb3_3x3_s1_16-16_r14_res"),
        (OpSpec("mbconv", 16, 16, 3, 3, 1, 14, True, "hswish"), "mb3_3x3_s1_16-16_r14_res_hswish"),
        (replace(BLOCK, squeeze_excite=0.25), "mb6_5x5_se0.25_s2_24-40_r28"),
        (replace(BLOCK, activation="swish", squeeze_excite=0.5), "mb6_5x5_se0.5_s2_24-40_r28_swish"),
        (OpSpec("conv", 3, 32, 3, 1, 2, 224), "conv_3x3_s2_3-32_r224"),
        (OpSpec("classifier", 1280, 1000, 1, 1, 1, 7), "classifier_s1_1280-1000_r7"),
        (zero(24, 14), "zero_s1_24-24_r14"),
        (EMPTY, "empty_s1_1-1_r1"),
    ],
)
def test_keys_are_readable(op: OpSpec, key: str) -> None:
    assert op.key == key


@pytest.mark.parametrize("name", ["mobile", "mobile-24", "demo"])
def test_keys_are_unique_within_a_space(name: str) -> None:
    ops = load_space(name).op_specs()
    assert len({op.key for op in ops}) == len(ops)


def test_odd_resolutions_are_rounded_up_as_torch_does() -> None:
    op = OpSpec("mbconv", 4, 8, 7, 3, 2, 7)
    assert build_operator(op)(torch.zeros(2, 4, 7, 7)).shape == (2, 8, op.out_resolution, op.out_resolution)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "pool"}, r"unknown operator kind 'pool'; known: conv, mbconv, classifier, zero, empty, convbn"),
        ({"in_channels": 0}, "in_channels must be a whole number from 1 to 65536, not 0"),
        ({"out_channels": -8}, "out_channels must be a whole number"),
        ({"resolution": MAX_DIMENSION + 1}, "resolution must be a whole number"),
        ({"stride": 1.0}, r"stride must be a whole number .* not 1\.0"),
        ({"expansion": True}, "expansion must be a whole number .* not True"),
        ({"kernel": "3"}, "kernel must be a whole number .* not '3'"),
        ({"kernel": float("nan")}, "kernel must be a whole number .* not nan"),
        ({"kernel": 4}, "kernel must be odd, not 4"),
        ({"residual": 1}, "residual must be true or false, not 1"),
        ({"residual": True}, "a residual needs stride 1 and as many channels out as in"),
        ({"residual": True, "stride": 1}, "a residual needs stride 1"),
        ({"activation": "gelu"}, "unknown activation 'gelu'; known: relu6, relu, hswish, swish"),
        ({"kind": "classifier", "activation": "relu"}, "classifier takes no activation, so it cannot be relu"),
        ({"kind": "conv", "squeeze_excite": 0.25}, "conv: squeeze_excite is for an mbconv alone"),
        ({"squeeze_excite": 1.5}, r"squeeze_excite must be a share from 0 to 1 .* not 1\.5"),
        ({"squeeze_excite": True}, "squeeze_excite must be a share .* not True"),
        ({"squeeze_excite": float("nan")}, "squeeze_excite must be a share .* not nan"),
        ({"squeeze_excite": "0.25"}, "squeeze_excite must be a share .* not '0.25'"),
    ],
)
def test_what_no_operator_can_be_is_refused_in_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        OpSpec.from_dict({**BLOCK.to_dict(), **change})
    assert "\n" not in str(caught.value)


sizes = st.integers(1, MAX_DIMENSION)
valid = st.builds(
    OpSpec,
    st.sampled_from(["conv", "mbconv", "classifier", "zero", "empty"]),
    sizes,
    sizes,
    st.integers(0, 20).map(lambda half: 2 * half + 1),
    sizes,
    sizes,
    sizes,
)


@given(valid, st.booleans(), st.sampled_from(ACTIVATIONS), st.integers(0, 10_000))
def test_plain_data_gives_the_same_operator_back(op: OpSpec, residual: bool, activation: str, share: int) -> None:
    if op.kind in ("conv", "mbconv"):
        op = replace(op, activation=activation)
    if op.kind == "mbconv":
        op = replace(op, squeeze_excite=share / 10_000)
    if residual:
        op = replace(op, out_channels=op.in_channels, stride=1, residual=True)
    again = OpSpec.from_dict(json.loads(json.dumps(op.to_dict())))
    assert again == op
    assert hash(again) == hash(op)
    assert again.key == op.key


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "mbconv",
        {},
        {name: value for name, value in BLOCK.to_dict().items() if name != "kernel"},
        {**BLOCK.to_dict(), "groups": 1},
    ],
)
def test_missing_and_unknown_fields_are_refused(value: object) -> None:
    with pytest.raises(InputError, match="an operator needs exactly the fields") as caught:
        OpSpec.from_dict(value)
    assert "\n" not in str(caught.value)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(sorted({**BLOCK.to_dict(), "squeeze_excite": 0})), anything, min_size=1))
def test_whatever_a_file_says_is_an_operator_or_one_line(fields: dict[str, object]) -> None:
    plain = {**BLOCK.to_dict(), **fields}
    op, problem = None, ""
    try:
        op = OpSpec.from_dict(plain)
    except InputError as error:
        problem = str(error)
    assert len(problem.splitlines()) == (op is None)
    assert op is None or {"squeeze_excite": 0, **op.to_dict()} == {"squeeze_excite": 0, **plain}
