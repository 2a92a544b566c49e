"""Architectures: plain data that follows its space, and files that are believed only when they fit together."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from latency.opspec import EMPTY, OpSpec, zero
from pocketnas_base.errors import InputError
from search.architecture import Architecture, assemble
from search.space import builtin_spaces, load_space

DEMO = load_space("demo")


def drawn(seed: int) -> Architecture:
    numbers = random.Random(seed)
    return assemble(DEMO, [numbers.randrange(len(edge.candidates)) for edge in DEMO.edges], f"net-{seed}")


def refusal(value: object, source: str = "net.json") -> str:
    with pytest.raises(InputError) as caught:
        Architecture.from_dict(value, source=source)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(f"architecture {source}: ")
    return message


def plain(**fields: object) -> dict[str, Any]:
    return {**drawn(0).to_dict(), **fields}


@pytest.mark.parametrize("name", [name for name in builtin_spaces() if load_space(name).inputs is None])
def test_choices_become_the_candidates_at_their_edges(name: str) -> None:
    space = load_space(name)
    choices = [len(edge.candidates) - 1 for edge in space.edges]
    net = assemble(space, choices, "last")
    assert net.ops == (*space.before, *(edge.candidates[-1] for edge in space.edges), *space.after)
    assert (net.name, net.space) == ("last", name)
    assert (net.resolution, net.image_channels, net.classes) == (space.resolution, space.image_channels, space.classes)
    assert any(op.kind == "zero" for op in net.ops)


def test_a_choice_too_few_or_out_of_range_is_an_error() -> None:
    with pytest.raises(ValueError, match="argument"):
        assemble(DEMO, [0], "short")
    with pytest.raises(IndexError):
        assemble(DEMO, [99] * len(DEMO.edges), "far")


@pytest.mark.parametrize("seed", range(3))
def test_a_saved_architecture_comes_back_as_it_was(tmp_path: Path, seed: int) -> None:
    net = drawn(seed)
    net.save(tmp_path / "net.json")
    assert Architecture.load(tmp_path / "net.json") == net
    assert json.loads((tmp_path / "net.json").read_text()) == net.to_dict()


def test_counts_are_sums_over_the_operators() -> None:
    net = drawn(1)
    assert net.macs == sum(op.macs for op in net.ops) > 0
    assert net.parameters == sum(op.parameters for op in net.ops) > 0


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[" * 100_000], ids=["empty", "truncated", "not text", "nested"]
)
def test_a_file_that_is_not_json_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not valid JSON") as caught:
        Architecture.load(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    drawn(0).save(path)
    whole = path.read_bytes()
    for kept in range(0, len(whole) - 2, 97):
        path.write_bytes(whole[:kept])
        with pytest.raises(InputError, match="is not valid JSON"):
            Architecture.load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"architecture .*none\.json does not exist"):
        Architecture.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "needs the fields schema_version, name, space, ops"),
        ([], "needs the fields"),
        ({"schema_version": 1}, "needs the fields"),
        (plain(kind="net"), "needs the fields"),
        (plain(schema_version=2), "schema version 2, this tool reads 1"),
        (plain(name=3), "name must be a line of text"),
        (plain(name="two\nlines"), "name must be a line of text"),
        (plain(space=[]), "space the same or null"),
        (plain(ops={}), "ops a list"),
        (plain(ops=[]), "the last operator must be a classifier"),
        (plain(ops=[3, 4]), "an operator needs exactly the fields"),
        (plain(ops=plain()["ops"][:-1]), "the last operator must be a classifier"),
        (plain(ops=plain()["ops"][:1] + plain()["ops"][2:]), "gives 16 channels at 14 px, but"),
        (plain(ops=[plain()["ops"][-1], plain()["ops"][-1]]), "cannot stand before another operator"),
        (plain(ops=[EMPTY.to_dict(), plain()["ops"][-1]]), "cannot stand before another operator"),
    ],
)
def test_what_does_not_fit_together_is_refused(value: object, message: str) -> None:
    assert message in refusal(value)


def test_resolutions_must_follow_too() -> None:
    stem = OpSpec("conv", 1, 8, 3, 1, 2, 28)
    head = OpSpec("classifier", 8, 10, 1, 1, 1, 28)
    with pytest.raises(InputError, match=r"gives 8 channels at 14 px, but classifier.* takes 8 at 28 px"):
        Architecture("net", (stem, head))
    fitting = OpSpec("classifier", 8, 10, 1, 1, 1, 14)
    assert Architecture("net", (stem, zero(8, 14), fitting)).macs == stem.macs + fitting.macs
