"""Checkpoints: everything comes back, and nothing but this request's own checkpoint is believed."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pocketnas_base.errors import InputError
from search.accelerator import GpuMemoryError
from search.loop import Curve, run_steps
from search.network import channels_last
from search.state import State


def trained(optimizer: str, seed: int = 0) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A small net after a few steps; one of its parameters never had a gradient."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(3), nn.Linear(3, 3))
    net(torch.zeros(2, 1, 6, 6))
    kinds = {
        "sgd": lambda: torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True),
        "adam": lambda: torch.optim.Adam(net.parameters(), lr=0.01, betas=(0.0, 0.999)),
    }
    chosen: torch.optim.Optimizer = kinds[optimizer]()
    for _ in range(3):
        step(net, chosen)
    return net, chosen


def step(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    assert isinstance(net, nn.Sequential)
    out = torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    for layer in net[:-1]:
        out = layer(out)
    optimizer.zero_grad(set_to_none=True)
    out.square().mean().backward()
    optimizer.step()


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_modules_and_optimisers_go_on_as_if_nothing_had_happened(tmp_path: Path, kind: str) -> None:
    net, optimizer = trained(kind)
    state = State(numbers={"next_step": 3, "curve": [{"loss": 0.1}]})
    state.add_module("net", net)
    state.add_optimizer("optimizer", optimizer)
    state.save(tmp_path / "checkpoint", belongs_to="this")

    other, other_optimizer = trained(kind, seed=9)
    found = State.load(tmp_path / "checkpoint", belongs_to="this")
    found.restore_module("net", other)
    found.restore_optimizer("optimizer", other_optimizer)
    assert found.numbers == {"next_step": 3, "curve": [{"loss": 0.1}]}
    for _ in range(3):
        step(net, optimizer)
        step(other, other_optimizer)
    for name, value in net.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


def test_an_optimisers_state_is_laid_out_as_its_parameters(tmp_path: Path) -> None:
    """A file keeps no layout; torch adds tensors of two layouts by other code, which may round otherwise."""

    def learner() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        net = channels_last(nn.Conv2d(3, 4, 3))
        return net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

    (net, optimizer), (_, other) = learner(), learner()
    net(torch.rand(2, 3, 6, 6)).square().mean().backward()
    optimizer.step()
    state = State()
    state.add_optimizer("optimizer", optimizer)
    state.save(tmp_path / "checkpoint", belongs_to="this")
    State.load(tmp_path / "checkpoint", belongs_to="this").restore_optimizer("optimizer", other)
    for mine, restored in zip(optimizer.param_groups[0]["params"], other.param_groups[0]["params"], strict=True):
        kept, found = optimizer.state[mine]["momentum_buffer"], other.state[restored]["momentum_buffer"]
        assert torch.equal(found, kept)
        assert found.stride() == kept.stride() == restored.stride()


def test_numbers_come_back_to_the_last_bit(tmp_path: Path) -> None:
    numbers = {"third": 1 / 3, "small": 5e-324, "large": 1.7976931348623157e308, "list": [0.1, 1e-17], "none": None}
    State(numbers=numbers).save(tmp_path / "checkpoint", belongs_to="this")
    assert State.load(tmp_path / "checkpoint", belongs_to="this").numbers == numbers


def test_names_that_begin_alike_are_kept_apart() -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    state = State()
    state.add_module("net", first)
    state.add_module("network", second)
    target = nn.Linear(2, 2)
    state.restore_module("net", target)
    assert torch.equal(target.weight, first.weight)


def test_the_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    State(numbers={"next_step": 1}).save(path, belongs_to="this")
    with pytest.raises(InputError, match="was written with other settings; use those, or delete it") as caught:
        State.load(path, belongs_to="that")
    assert str(path) in str(caught.value)


def test_a_corrupt_checkpoint_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    net, _ = trained("sgd")
    state = State(numbers={"next_step": 1})
    state.add_module("net", net)
    state.save(path, belongs_to="this")
    whole = path.read_bytes()
    broken = [whole[:kept] for kept in (0, 1, 7, 8, 50, len(whole) // 2, len(whole) - 1)]
    broken += [b"\x00" * len(whole), b"\xff" * 100, b"PK\x03\x04" + whole, whole + b"more"]
    for content in broken:
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"cannot be read: .*; delete it to start anew") as caught:
            State.load(path, belongs_to="this")
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"architecture": "net"},
        {"pocketnas_state": "{"},
        {"pocketnas_state": "3"},
        {"pocketnas_state": '"text"'},
        {"pocketnas_state": "[]"},
        {"pocketnas_state": "{}"},
        {"pocketnas_state": json.dumps({"belongs_to": "this"})},
        {"pocketnas_state": json.dumps({"belongs_to": "this", "numbers": 3})},
        {"pocketnas_state": json.dumps({"belongs_to": "this", "numbers": "ab"})},
    ],
)
def test_a_safetensors_file_that_is_no_checkpoint_is_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(2)}, path, metadata)
    with pytest.raises(InputError, match="cannot be read") as caught:
        State.load(path, belongs_to="this")
    assert len(str(caught.value).splitlines()) == 1


def test_a_pickle_is_never_read(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "exploded",))  # type: ignore[return-value]

    path = tmp_path / "checkpoint.safetensors"
    torch.save({"net": Bomb()}, path)
    with pytest.raises(InputError, match="cannot be read"):
        State.load(path, belongs_to="this")
    assert not (tmp_path / "exploded").exists()


class Counting:
    """A job whose whole state is the list of the steps that were done."""

    total_steps = 7
    fingerprint = "counting"

    def __init__(self) -> None:
        self.done: list[int] = []

    def step(self, number: int) -> dict[str, float] | None:
        self.done.append(number)
        return {"square": float(number**2)} if number % 2 == 0 else None

    def add_to(self, state: State) -> None:
        state.numbers["done"] = self.done

    def restore(self, state: State) -> None:
        self.done = state.numbers["done"]


CURVE: Curve = [{"step": n, "square": n * n} for n in (0, 2, 4, 6)]


def test_every_step_is_done_once_and_told(tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    job = Counting()
    curve = run_steps(job, tmp_path / "checkpoint", lambda *words: told.append(words), "steps")
    assert job.done == list(range(7))
    assert curve == CURVE
    assert told == [(number, 7, "steps") for number in range(8)]


def test_a_finished_job_is_not_done_again(tmp_path: Path) -> None:
    run_steps(Counting(), tmp_path / "checkpoint", lambda *_: None, "steps")
    again = Counting()
    assert run_steps(again, tmp_path / "checkpoint", lambda *_: None, "steps") == CURVE
    assert again.done == list(range(7))


class Killed(BaseException):
    """What no handler in the product catches."""


@pytest.mark.parametrize("every_s", [-1.0, 1e9], ids=["after every step", "only at the end"])
def test_steps_since_the_last_checkpoint_are_done_again_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_s: float
) -> None:
    monkeypatch.setattr("search.loop.CHECKPOINT_EVERY_S", every_s)
    performed: list[int] = []

    class Watched(Counting):
        def step(self, number: int) -> dict[str, float] | None:
            performed.append(number)
            return super().step(number)

    def stop_at_four(done: int, _total: int, _what: str) -> None:
        if done == 4:
            raise Killed

    with pytest.raises(Killed):
        run_steps(Watched(), tmp_path / "checkpoint", stop_at_four, "steps")
    job = Watched()
    assert run_steps(job, tmp_path / "checkpoint", lambda *_: None, "steps") == CURVE
    assert job.done == list(range(7))
    assert performed == ([0, 1, 2, 3, 4, 5, 6] if every_s < 0 else [0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6])


@pytest.mark.parametrize(("save_s", "saved"), [(0.5, [11, 22, 33, 40]), (2.0, [11, 40])], ids=["quick", "slow"])
def test_a_twentieth_of_the_time_at_most_goes_into_saving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save_s: float, saved: list[int]
) -> None:
    """By a clock of the test's own: a step takes a second."""
    now, at = [0.0], []

    class Timed(Counting):
        total_steps = 40

        def step(self, number: int) -> dict[str, float] | None:
            now[0] += 1.0
            return super().step(number)

    def save(state: State, _path: Path, *, belongs_to: str) -> None:
        assert belongs_to == "counting"
        at.append(state.numbers["next_step"])
        now[0] += save_s

    monkeypatch.setattr("search.loop.time.monotonic", lambda: now[0])
    monkeypatch.setattr(State, "save", save)
    run_steps(Timed(), tmp_path / "checkpoint", lambda *_: None, "steps")
    assert at == saved


def test_a_step_that_needs_more_than_the_gpu_has_stops_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.loop.CHECKPOINT_EVERY_S", -1.0)

    class Greedy(Counting):
        def step(self, number: int) -> dict[str, float] | None:
            if number == 3:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return super().step(number)

    with pytest.raises(GpuMemoryError) as caught:
        run_steps(Greedy(), tmp_path / "checkpoint", lambda *_: None, "steps")
    assert str(caught.value) == (
        "step 3 needs more memory than the GPU has left; go on with more ranks, a GPU each, or start anew with a lower "
        "batch_size"
    )
    job = Counting()
    assert run_steps(job, tmp_path / "checkpoint", lambda *_: None, "steps") == CURVE
    assert job.done == list(range(7)), "the steps before it were kept"


def test_a_disk_that_is_full_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint"
    State(numbers={"next_step": 1}).save(path, belongs_to="this")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("search.network.save_file", fail)
    with pytest.raises(OSError, match="No space left"):
        State(numbers={"next_step": 2}).save(path, belongs_to="this")
    assert State.load(path, belongs_to="this").numbers == {"next_step": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint"]
