"""A teacher: its loss and the gradient of it, and one clear line where it does not fit."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pocketnas_base.errors import InputError
from search.architecture import Architecture, assemble
from search.data.batches import Normalisation
from search.distillation import distillation_loss, function_teacher, network_teacher
from search.network import Network, save_weights
from search.space import load_space

DEMO = load_space("demo")
NET = assemble(DEMO, [0] * len(DEMO.edges), "net")
LARGE = assemble(DEMO, [len(edge.candidates) - 2 for edge in DEMO.edges], "large")
NORMALISATION = Normalisation((0.25,), (0.5,))
HOW = {"weight": 0.9, "temperature": 4.0}


def logits(seed: int, shape: tuple[int, int] = (6, 10)) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3


@settings(max_examples=30, deadline=None)
@given(st.floats(0.5, 20), st.integers(0, 1000))
def test_the_gradient_is_the_difference_of_softened_probabilities(temperature: float, seed: int) -> None:
    student, teacher = logits(seed).requires_grad_(True), logits(seed + 1)
    distillation_loss(student, teacher, temperature).backward()  # type: ignore[no-untyped-call]
    q, p = (student.detach() / temperature).softmax(1), (teacher / temperature).softmax(1)
    assert student.grad is not None
    torch.testing.assert_close(student.grad, temperature * (q - p) / len(student))


def test_the_loss_is_the_divergence_summed_by_hand() -> None:
    student, teacher = logits(1), logits(2)
    p, q = (teacher / 2).softmax(1), (student / 2).softmax(1)
    by_hand = 4 * (p * (p / q).log()).sum(1).mean()
    assert float(distillation_loss(student, teacher, 2.0)) == pytest.approx(float(by_hand))
    assert float(distillation_loss(teacher, teacher, 2.0)) == pytest.approx(0.0, abs=1e-12)


def saved(architecture: Architecture, path: Path) -> Path:
    torch.manual_seed(1)
    save_weights(Network(architecture).state_dict(), path, {})
    return path


def test_a_network_of_ours_teaches_and_is_not_trained(tmp_path: Path) -> None:
    teacher = network_teacher(LARGE, saved(LARGE, tmp_path / "large.safetensors"), NET, **HOW)
    assert not teacher.module.training
    assert not any(parameter.requires_grad for parameter in teacher.module.parameters())
    same = network_teacher(LARGE, tmp_path / "large.safetensors", NET, **HOW)
    warmer = network_teacher(LARGE, tmp_path / "large.safetensors", NET, weight=0.9, temperature=5.0)
    assert teacher.fingerprint == same.fingerprint
    assert teacher.fingerprint != warmer.fingerprint
    weights = Network(LARGE)
    save_weights(weights.state_dict(), tmp_path / "other.safetensors", {})
    assert network_teacher(LARGE, tmp_path / "other.safetensors", NET, **HOW).fingerprint != teacher.fingerprint


def one_line(caught: pytest.ExceptionInfo[InputError]) -> str:
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_a_network_that_does_not_fit_is_one_clear_line(tmp_path: Path) -> None:
    weights = saved(LARGE, tmp_path / "large.safetensors")
    colour = assemble(load_space("mobile"), [0] * len(load_space("mobile").edges), "mobile")
    with pytest.raises(InputError) as caught:
        network_teacher(colour, weights, NET, **HOW)
    assert one_line(caught).startswith("teacher mobile has image channels 3, the network it would teach 1; use a")
    many = replace(LARGE, ops=(*LARGE.ops[:-1], replace(LARGE.ops[-1], out_channels=20)))
    with pytest.raises(InputError) as caught:
        network_teacher(many, weights, NET, **HOW)
    assert "has classes 20, the network it would teach 10" in one_line(caught)
    with pytest.raises(InputError) as caught:
        network_teacher(NET, weights, NET, **HOW)
    assert "do not fit architecture net" in one_line(caught)
    with pytest.raises(InputError) as caught:
        network_teacher(LARGE, tmp_path / "none.safetensors", NET, **HOW)
    assert "none.safetensors do not exist" in one_line(caught)


MODULE = """
import torch
from torch import nn

def good(*, classes, channels, resolution, mean, std):
    assert (mean, std) == ((0.25,), (0.5,))
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * resolution**2, classes)).train()

def few(*, classes, channels, resolution, **_):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * resolution**2, classes - 1))

def wide(**_):
    return nn.Sequential(nn.Flatten(), nn.Linear(99, 10))

class Broken(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x):
        return self.answer

def nan(**_):
    return Broken(torch.full((2, 10), float("nan")))

def words(**_):
    return Broken("cat")

def nothing(**_):
    return None

def needs_more(*, width):
    return width

def raises(**_):
    raise ValueError("no such\\nfile")

constant = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module of the user's own in the working directory."""
    name = f"own_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / f"{name}_broken.py").write_text("import pocketnas_has_no_such_module\n")
    (tmp_path / f"{name}_unfinished.py").write_text("def good(:\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [entry for entry in __import__("sys").path if entry])
    return name


def test_a_function_of_the_users_own_teaches(module: str) -> None:
    teacher = function_teacher(f"{module}:good", NET, NORMALISATION, **HOW)
    assert not teacher.module.training
    assert teacher.module(torch.zeros(5, 1, 28, 28)).shape == (5, 10)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (":few", r"answers \[2, 1, 28, 28\] with \[2, 9\]; logits must be \[2, 10\], one per class"),
        (":wide", r"cannot take images of \[2, 1, 28, 28\]: mat1 and mat2 shapes cannot be multiplied"),
        (":nan", "answers a black image with logits that are not finite"),
        (":words", "must return a tensor of logits, not a str"),
        (":nothing", "returned a NoneType; it must return a torch.nn.Module"),
        (":needs_more", r"failed: TypeError: needs_more\(\) got an unexpected keyword argument"),
        (":raises", r"failed: ValueError: no such file \(.*\.py, line \d+\)"),
        (":constant", "is no function but a int"),
        (":absent", r"has no absent"),
        ("_absent:good", "there is no module own_.*_absent in "),
        ("_broken:good", "cannot be imported: ModuleNotFoundError: No module named 'pocketnas_has_no_such_module'"),
        ("_unfinished:good", "cannot be imported: SyntaxError"),
        ("", "is not of the form module:function"),
    ],
)
def test_a_function_that_does_not_fit_is_one_clear_line(module: str, spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        function_teacher(f"{module}{spec}", NET, NORMALISATION, **HOW)
    assert one_line(caught).startswith("teacher ")


@pytest.mark.parametrize("how", [{"weight": 0.0, "temperature": 1.0}, {"weight": 0.5, "temperature": 0.0}], ids=str)
def test_values_that_mean_nothing_are_refused(module: str, how: dict[str, float]) -> None:
    with pytest.raises(InputError, match="must"):
        function_teacher(f"{module}:good", NET, NORMALISATION, **how)
