"""Search spaces: what the built-in ones hold, and what is said of a space file that cannot be used."""

import copy
import itertools
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from latency.opspec import EMPTY
from pocketnas_base.errors import InputError
from search.space import SearchSpace, builtin_spaces, load_space

CHAINS = [name for name in builtin_spaces() if isinstance(load_space(name), SearchSpace)]

SMALL: dict[str, Any] = {
    "name": "small",
    "resolution": 28,
    "image_channels": 1,
    "classes": 10,
    "kernels": [3, 5],
    "expansions": [3, 6],
    "zero": True,
    "stem": {"width": 8, "kernel": 3, "stride": 2},
    "first": {"width": 8, "kernel": 3, "expansion": 1},
    "stages": [{"width": 8, "cells": 2, "stride": 1}, {"width": 16, "cells": 2, "stride": 2}],
    "head": {"width": 32},
}


def changed(**fields: object) -> dict[str, Any]:
    return {**copy.deepcopy(SMALL), **fields}


def refusal(value: object) -> str:
    """The one line that says why plain data is no space."""
    with pytest.raises(InputError) as caught:
        SearchSpace.from_dict(value, source="mine.toml")
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith("space mine.toml: ")
    return message


def test_the_built_in_spaces() -> None:
    assert builtin_spaces() == ("demo", "mobile", "mobile-24", "proxyless-cifar")
    assert [load_space(name).name for name in builtin_spaces()] == list(builtin_spaces())


@pytest.mark.parametrize("name", ["mobile", "mobile-24"])
def test_the_published_space_has_21_blocks_of_which_15_may_be_left_out(name: str) -> None:
    space = load_space(name)
    assert len(space.edges) == 21
    assert [len(edge.candidates) for edge in space.edges].count(7) == 15
    assert [len(edge.candidates) for edge in space.edges].count(6) == 6
    assert space.size == 6**6 * 7**15


def test_the_published_spaces_differ_in_the_width_of_the_first_stage() -> None:
    widths = {name: [stage.width for stage in load_space(name).stages] for name in ("mobile", "mobile-24")}
    assert widths == {"mobile": [32, 40, 80, 96, 192, 320], "mobile-24": [24, 40, 80, 96, 192, 320]}
    for name in widths:
        space = load_space(name)
        assert [space.before[0].out_channels, space.before[1].out_channels] == [32, 16]
        assert [space.after[0].out_channels, space.after[1].out_channels] == [1280, 1000]
        assert [edge.candidates[0].stride for edge in space.edges].count(2) == 4
        assert space.after[0].resolution == 7


@pytest.mark.parametrize("name", CHAINS)
def test_candidates_are_ordered_kernel_by_kernel_and_zero_is_last_where_a_block_can_be_skipped(name: str) -> None:
    for edge in load_space(name).edges:
        blocks = ["mb3_3x3", "mb6_3x3", "mb3_5x5", "mb6_5x5", "mb3_7x7", "mb6_7x7"]
        skippable = edge.candidates[0].stride == 1 and edge.in_channels == edge.out_channels
        assert [op.choice for op in edge.candidates] == blocks + ["zero"] * skippable
        assert all(op.residual == skippable for op in edge.candidates[:6])
        assert {(op.in_channels, op.out_channels, op.resolution) for op in edge.candidates} == {
            (edge.in_channels, edge.out_channels, edge.candidates[0].resolution)
        }


@pytest.mark.parametrize("name", CHAINS)
def test_the_operators_follow_from_one_another(name: str) -> None:
    space = load_space(name)
    chain = [*space.before, *(edge.candidates[0] for edge in space.edges), *space.after]
    assert chain[0].resolution == space.resolution
    for before, after in itertools.pairwise(chain):
        assert (before.out_channels, before.out_resolution) == (after.in_channels, after.resolution)


@pytest.mark.parametrize("name", builtin_spaces())
def test_a_table_measures_each_operator_once_the_empty_model_first_and_zero_never(name: str) -> None:
    space = load_space(name)
    ops = space.op_specs()
    assert ops[0] == EMPTY
    assert len(set(ops)) == len(ops)
    assert all(op.kind != "zero" for op in ops)
    needed = {*space.before, *space.after, *(op for edge in space.edges for op in edge.candidates if op.kind != "zero")}
    assert set(ops) == {EMPTY, *needed}


def test_only_the_first_cell_of_a_stage_has_its_stride() -> None:
    space = SearchSpace.from_dict(SMALL, source="small")
    assert [edge.name for edge in space.edges] == ["stage1.cell1", "stage1.cell2", "stage2.cell1", "stage2.cell2"]
    assert [edge.candidates[0].stride for edge in space.edges] == [1, 1, 2, 1]
    assert [edge.candidates[0].resolution for edge in space.edges] == [14, 14, 14, 7]
    assert [len(edge.candidates) for edge in space.edges] == [5, 5, 4, 5]
    assert not any(op.kind == "zero" for edge in space.edges for op in edge.candidates[:-1])


def test_without_zero_no_block_can_be_left_out() -> None:
    space = SearchSpace.from_dict(changed(zero=False), source="small")
    assert [len(edge.candidates) for edge in space.edges] == [4] * 4
    assert space.size == 4**4


def test_a_space_comes_back_from_its_plain_data() -> None:
    space = load_space("mobile")
    assert SearchSpace.from_dict(space.to_dict(), source="again") == space


def test_the_fingerprint_knows_everything_but_the_name() -> None:
    space = SearchSpace.from_dict(SMALL, source="small")
    assert SearchSpace.from_dict(changed(name="other"), source="small").fingerprint == space.fingerprint
    others = [
        changed(resolution=32),
        changed(image_channels=3),
        changed(classes=100),
        changed(kernels=[5, 3]),
        changed(expansions=[3]),
        changed(zero=False),
        changed(stem={"width": 8, "kernel": 5, "stride": 2}),
        changed(first={"width": 16, "kernel": 3, "expansion": 1}),
        changed(stages=SMALL["stages"][:1]),
        changed(head={"width": 64}),
    ]
    prints = {SearchSpace.from_dict(other, source="other").fingerprint for other in others}
    assert len(prints) == len(others)
    assert space.fingerprint not in prints


def test_a_space_file_says_the_same_as_the_built_in_space(tmp_path: Path) -> None:
    text = (resources.files("search") / "spaces" / "demo.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('name = "demo"', 'name = "mine"'))
    mine, demo = load_space(str(path)), load_space("demo")
    assert (mine.name, mine.fingerprint) == ("mine", demo.fingerprint)
    assert mine.op_specs() == demo.op_specs()


@pytest.mark.parametrize("name", builtin_spaces())
def test_a_space_at_another_resolution_says_so(name: str) -> None:
    space = load_space(name)
    sized = load_space(f"{name}@{space.resolution + 32}")
    assert sized == space.at_resolution(space.resolution + 32)
    assert (sized.name, sized.resolution) == (f"{name}@{space.resolution + 32}", space.resolution + 32)
    assert sized.fingerprint != space.fingerprint
    assert sized.size == space.size
    assert [op.choice for op in sized.op_specs()] == [op.choice for op in space.op_specs()]
    ratio = sized.resolution / space.resolution
    assert sized.edges[0].candidates[0].resolution == pytest.approx(ratio * space.edges[0].candidates[0].resolution)
    assert space.at_resolution(space.resolution) is space
    assert load_space(f"{name}@{space.resolution}") == space
    assert sized.at_resolution(space.resolution).fingerprint == space.fingerprint


def test_a_space_of_a_file_at_another_resolution(tmp_path: Path) -> None:
    text = (resources.files("search") / "spaces" / "demo.toml").read_text()
    (tmp_path / "mine@home.toml").write_text(text.replace('name = "demo"', 'name = "mine"'))
    assert load_space(str(tmp_path / "mine@home.toml")).name == "mine"
    assert load_space(f"{tmp_path / 'mine@home.toml'}@64").name == "mine@64"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mobile@16", "space mobile takes images of 32 to 4096 px, not of 16"),
        ("mobile@0", "space mobile takes images of 32 to 4096 px, not of 0"),
        ("demo@3", "space demo takes images of 4 to 4096 px, not of 3"),
        ("mobile@4097", "space mobile takes images of 32 to 4096 px, not of 4097"),
        ("mobile@9999999", "unknown space 'mobile@9999999'"),
        ("mobile@", "unknown space 'mobile@'"),
        ("mobile@-1", "unknown space 'mobile@-1'"),
        ("mobile@١٩٢", "unknown space 'mobile@١٩٢'"),
        ("@192", "unknown space '@192'"),
        ("demo" + "@28" * 1000, "unknown space 'demo@28@28"),
        ("none.toml@192", "space none.toml does not exist"),
    ],
)
def test_a_resolution_that_a_space_cannot_take_is_one_line(name: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_space(name)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["moble", "Demo", "", "demo.json", "../demo", "two\nlines"])
def test_an_unknown_space_lists_the_known_ones(name: str) -> None:
    with pytest.raises(
        InputError, match=r"known: demo, mobile, mobile-24, proxyless-cifar, or the path of a \.toml file"
    ) as caught:
        load_space(name)
    assert repr(name) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name = demo", "not valid TOML: Invalid value (at line 1, column 8)"),
        (b"kernels = [3, 5", "not valid TOML"),
        (b"\xff\xfe", "not valid TOML"),
        (b"a = " + b"[" * 100_000, "not valid TOML"),
        (b"x" * (1024 * 1024 + 1), "at most 1048576 are read"),
        (b"", "name: Field required"),
    ],
    ids=["bare word", "unclosed", "not text", "nested", "too large", "empty"],
)
def test_a_file_that_is_no_space_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_space(str(path))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_space_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml does not exist"):
        load_space(str(tmp_path / "none.toml"))


@pytest.mark.parametrize("field", sorted(SMALL))
def test_a_missing_field_is_named(field: str) -> None:
    assert refusal({name: value for name, value in SMALL.items() if name != field}).endswith(f"{field}: Field required")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kernel": [3]}, "kernel: Extra inputs are not permitted"),
        ({"stem": {**SMALL["stem"], "expansion": 1}}, "stem.expansion: Extra inputs are not permitted"),
        ({"stages": [{"width": 8, "cells": 1}]}, "stages.0.stride: Field required"),
        ({"resolution": "28"}, "resolution: Input should be a valid integer"),
        ({"resolution": 28.0}, "resolution: Input should be a valid integer"),
        ({"zero": 1}, "zero: Input should be a valid boolean"),
        ({"stages": "many"}, "stages: Input should be a valid list"),
        ({"stem": 8}, "stem: Input should be a valid dictionary"),
        ({"kernels": [3, "5"]}, "kernels.1: Input should be a valid integer"),
        ({"kernels": []}, "kernels: List should have at least 1 item"),
        ({"kernels": [3, 4]}, "mbconv: kernel must be odd, not 4"),
        ({"kernels": [3, 3]}, "kernels: the same value is listed twice"),
        ({"kernels": [-3]}, "mbconv: kernel must be a whole number"),
        ({"expansions": [0]}, "mbconv: expansion must be a whole number"),
        ({"expansions": [3, 3]}, "expansions: the same value is listed twice"),
        ({"stages": []}, "stages: List should have at least 1 item"),
        ({"stages": [{"width": 0, "cells": 1, "stride": 1}]}, "stages.0.width: Input should be greater than"),
        ({"stages": [{"width": 8, "cells": 10**9, "stride": 1}]}, "stages.0.cells: Input should be less than"),
        ({"resolution": 10**9}, "resolution: Input should be less than"),
        ({"classes": 1}, "classes: Input should be greater than"),
        ({"name": "../up"}, "name: String should match pattern"),
        ({"name": "two\nlines"}, "name: String should match pattern"),
    ],
)
def test_wrong_types_unknown_keys_and_impossible_values_are_refused(fields: dict[str, Any], message: str) -> None:
    assert message in refusal(changed(**fields))


@pytest.mark.parametrize("value", [None, [], "demo", 3])
def test_something_else_than_fields_is_refused(value: object) -> None:
    assert "the file: Input should be a valid dictionary" in refusal(value)


@pytest.mark.parametrize("name", builtin_spaces())
def test_the_built_in_files_are_plain_toml(name: str) -> None:
    plain = tomllib.loads((resources.files("search") / "spaces" / f"{name}.toml").read_text())
    assert load_space(name).to_dict() == plain
