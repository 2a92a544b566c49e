"""Search spaces as data, architectures, and the networks made of them."""

import errno
import subprocess
from pathlib import Path

import pytest
import torch

from pocketnas_base.errors import InputError
from search.architecture import Architecture, assemble
from search.network import Network, load_network, save_weights
from search.space import SearchSpace, load_space
from search.supernet import Supernet


def test_mobile_is_the_published_space() -> None:
    space = load_space("mobile")
    assert len(space.edges) == 21
    assert space.size == 6**6 * 7**15
    assert [op.choice for op in space.edges[1].candidates] == [
        "mb3_3x3",
        "mb6_3x3",
        "mb3_5x5",
        "mb6_5x5",
        "mb3_7x7",
        "mb6_7x7",
        "zero",
    ]
    assert sum(edge.candidates[-1].kind == "zero" for edge in space.edges) == 15
    widths = [edge.out_channels for edge in space.edges]
    assert widths == [32] * 4 + [40] * 4 + [80] * 4 + [96] * 4 + [192] * 4 + [320]
    assert [edge.out_channels for edge in load_space("mobile-24").edges[:4]] == [24] * 4


def test_the_fingerprint_is_of_the_content_not_the_name() -> None:
    plain = load_space("demo").to_dict()
    renamed = SearchSpace.from_dict({**plain, "name": "other"}, source="other")
    wider = SearchSpace.from_dict({**plain, "classes": 11}, source="wider")
    assert renamed.fingerprint == load_space("demo").fingerprint != wider.fingerprint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "not valid TOML"),
        ('name = "x"', "Field required"),
        ("", "Field required"),
    ],
)
def test_a_broken_space_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as refused:
        load_space(str(path))
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernels": [4]}, "kernel must be odd"),
        ({"kernels": [3, 3]}, "listed twice"),
        ({"expansions": []}, "expansions"),
        ({"resolution": "28"}, "resolution"),
        ({"classes": 1}, "classes"),
        ({"unknown": 1}, "unknown: Extra inputs"),
    ],
)
def test_nonsense_in_a_space_is_refused_by_field(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SearchSpace.from_dict({**load_space("demo").to_dict(), **change}, source="changed")


def test_an_unknown_space_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown space 'moble'; known: demo, mobile, mobile-24"):
        load_space("moble")


def test_an_architecture_is_read_back_and_its_chain_is_checked(tmp_path: Path) -> None:
    space = load_space("demo")
    architecture = assemble(space, [0, 6, 1, 2, 6, 5, 3, 6], "some")
    architecture.save(tmp_path / "a.json")
    assert Architecture.load(tmp_path / "a.json") == architecture
    with pytest.raises(InputError, match="gives 16 channels at 14 px, but"):
        Architecture("broken", (architecture.ops[0], *architecture.ops[2:]))
    (tmp_path / "cut.json").write_text((tmp_path / "a.json").read_text()[:100])
    with pytest.raises(InputError, match="not valid JSON"):
        Architecture.load(tmp_path / "cut.json")


def test_a_path_of_the_supernet_is_the_network_of_its_architecture() -> None:
    torch.manual_seed(0)
    space, path = load_space("demo"), [3, 6, 1, 0, 6, 4, 2, 0]
    supernet, network = Supernet(space).eval(), Network(assemble(space, path, "path")).eval()
    chosen = [
        *supernet.before,
        *(supernet.candidate(edge, index) for edge, index in enumerate(path)),
        *supernet.after,
    ]
    for ours, theirs in zip(network.ops, chosen, strict=True):
        ours.load_state_dict(theirs.state_dict())
    images = torch.randn(4, 1, 28, 28)
    with torch.no_grad():
        assert torch.equal(network(images), supernet(images, path))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    space = load_space("demo")
    one, other = assemble(space, [0] * 8, "one"), assemble(space, [1] * 8, "other")
    network = Network(one)
    save_weights(network.state_dict(), tmp_path / "w.safetensors", {})
    loaded = load_network(one, tmp_path / "w.safetensors")
    assert not loaded.training
    assert torch.equal(loaded.state_dict()["ops.0.body.0.weight"], network.state_dict()["ops.0.body.0.weight"])
    with pytest.raises(InputError, match="do not fit architecture other"):
        load_network(other, tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").write_bytes(b"not tensors")
    with pytest.raises(InputError, match="cannot be read"):
        load_network(one, tmp_path / "w.safetensors")


def test_a_full_disk_is_told_as_such_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], check=False).returncode:
        pytest.skip("a small file system to fill needs the right to mount one")
    try:
        with pytest.raises(OSError, match="No space left") as full:
            save_weights({"big": torch.zeros(100_000)}, tmp_path / "w.safetensors", {})
        assert full.value.errno == errno.ENOSPC
        assert list(tmp_path.iterdir()) == []
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)
