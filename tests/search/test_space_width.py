"""Spaces under a width multiplier: how widths are rounded, and how the name says it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketnas_base.errors import InputError
from search.space import SearchSpace, load_space

CHAINS = ("demo", "mobile", "mobile-24")

multipliers = st.integers(1, 40_000).map(lambda number: number / 10_000)


@given(multiplier=multipliers, name=st.sampled_from(CHAINS))
@settings(deadline=None)
def test_widths_are_multiples_of_8_and_never_below_90_percent(multiplier: float, name: str) -> None:
    space, scaled = load_space(name), load_space(name).at_width(multiplier).scaled
    before = [space.stem.width, space.first.width, *(stage.width for stage in space.stages)]
    after = [scaled.stem.width, scaled.first.width, *(stage.width for stage in scaled.stages)]
    if multiplier == 1:
        assert after == before
        return
    for asked, made in zip((width * multiplier for width in before), after, strict=True):
        assert made % 8 == 0
        assert made >= 0.9 * asked
        assert made == 8 or made < asked + 8
    assert (scaled.head.width == space.head.width) == (multiplier < 1 or scaled.head.width == space.head.width)
    assert scaled.head.width >= space.head.width


@given(multiplier=multipliers, pixels=st.integers(32, 512))
@settings(deadline=None, max_examples=30)
def test_a_name_with_width_and_resolution_is_the_space_that_it_names(multiplier: float, pixels: int) -> None:
    space = load_space("mobile").at_resolution(pixels).at_width(multiplier)
    assert load_space(space.name) == space
    assert space == load_space("mobile").at_width(multiplier).at_resolution(pixels)
    assert space.scaled.op_specs() == space.op_specs()
    assert space.scaled.fingerprint == space.fingerprint


def test_operators_have_the_multiplied_widths() -> None:
    space = load_space("mobile@x0.75@192")
    assert (space.name, space.width_multiplier, space.resolution) == ("mobile@x0.75@192", 0.75, 192)
    # MobileNet's rounding: 12 to 16 (8 would be less than 90 % of it), 30 to 32, 60 to 64; the head stays below 1.
    assert [op.out_channels for op in space.before] == [24, 16]
    assert [edge.out_channels for edge in space.edges][::4] == [24, 32, 64, 72, 144, 240]
    assert [op.out_channels for op in space.after] == [1280, 1000]
    assert load_space("mobile@192@x0.75") == space
    assert load_space("mobile@x1.4").after[0].out_channels == 1792
    assert load_space("mobile@x1") == load_space("mobile")


def test_a_multiplier_takes_the_place_of_the_one_before() -> None:
    half = load_space("mobile").at_width(0.75).at_width(0.5)
    assert half == load_space("mobile@x0.5")
    assert half.at_width(1).fingerprint == load_space("mobile").fingerprint


def test_a_file_with_a_multiplier_holds_what_its_widths_written_out_hold() -> None:
    plain = load_space("demo").to_dict() | {"name": "mine"}
    halved = SearchSpace.from_dict(plain | {"width_multiplier": 0.5}, source="mine.toml")
    assert halved.name == "mine"
    assert halved.to_dict()["width_multiplier"] == 0.5
    assert halved.fingerprint == load_space("demo@x0.5").fingerprint
    written_out = SearchSpace.from_dict(halved.scaled.to_dict(), source="mine.toml")
    assert written_out.op_specs() == halved.op_specs()
    assert written_out.fingerprint == halved.fingerprint != load_space("demo").fingerprint


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mobile@x0", "space mobile takes a width multiplier above 0 and at most 16"),
        ("mobile@x17", "space mobile takes a width multiplier above 0 and at most 16"),
        ("mobile@x0.12345", "unknown space 'mobile@x0.12345'"),
        ("mobile@x", "unknown space 'mobile@x'"),
        ("proxyless-cifar@x0.5", "space proxyless-cifar takes no width multiplier"),
        ("mobile@x0.5@x0.5", "unknown space 'mobile@x0.5'"),
        ("demo" + "@x0.5@28" * 500, "unknown space 'demo@x0.5@28"),
    ],
)
def test_a_multiplier_that_is_none_is_one_line(name: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_space(name)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "width_multiplier: Input should be greater than 0"),
        (16.5, "width_multiplier: Input should be less than or equal to 16"),
        ("0.75", "width_multiplier: Input should be a valid number"),
        (0.12345, "width_multiplier: at most four decimals"),
        (float("nan"), "width_multiplier: "),
    ],
)
def test_a_multiplier_of_a_file_that_is_none_is_one_line(value: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        SearchSpace.from_dict(load_space("demo").to_dict() | {"width_multiplier": value}, source="mine.toml")
    assert f"space mine.toml: {message}" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
