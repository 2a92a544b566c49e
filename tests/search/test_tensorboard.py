"""TensorBoard's own reader finds what the curve says, after an interruption too."""

from pathlib import Path

import pytest

from pocketnas_base.errors import InputError
from search.loop import Curve, run_steps
from search.state import State
from search.tensorboard import TensorBoardScalars

event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


class Squares:
    """A job whose points are squares; `stop` ends it as a kill would, in the middle of a step."""

    total_steps = 9
    fingerprint = "squares"

    def __init__(self, stop: int | None = None) -> None:
        self.stop, self.told = stop, 0.0

    def step(self, number: int) -> dict[str, float] | None:
        if number == self.stop:
            raise KeyboardInterrupt
        self.told += 0.25
        return {"square": float(number**2), "told": self.told} if number % 2 == 0 else None

    def add_to(self, state: State) -> None:
        state.numbers["told"] = self.told

    def restore(self, state: State) -> None:
        self.told = state.numbers["told"]


def read(directory: Path) -> dict[str, list[tuple[int, float]]]:
    found = event_accumulator.EventAccumulator(str(directory), size_guidance={event_accumulator.SCALARS: 0})
    found.Reload()
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def as_read(curve: Curve) -> dict[str, list[tuple[int, float]]]:
    names = {name for point in curve for name in point if name != "step"}
    return {name: [(int(point["step"]), point[name]) for point in curve if name in point] for name in names}


def run(folder: Path, job: Squares) -> Curve:
    return run_steps(job, folder / "checkpoint", lambda *_: None, "steps", TensorBoardScalars(folder / "tensorboard"))


def test_scalars_are_the_curve(tmp_path: Path) -> None:
    curve = run(tmp_path, Squares())
    assert len(curve) == 5
    assert read(tmp_path / "tensorboard") == as_read(curve)


@pytest.mark.parametrize("every_s", [-1.0, 1e9], ids=["a checkpoint every step", "none until the end"])
def test_after_an_interruption_no_step_is_told_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_s: float
) -> None:
    monkeypatch.setattr("search.loop.CHECKPOINT_EVERY_S", every_s)
    for stop in (3, 6, 6):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, Squares(stop))
    assert [step for step, _ in read(tmp_path / "tensorboard")["square"]] == [0, 2, 4], "seen while it runs"
    curve = run(tmp_path, Squares())
    assert read(tmp_path / "tensorboard") == as_read(curve)
    assert len(list((tmp_path / "tensorboard").iterdir())) == 4, "one file a session"


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.tensorboard.find_spec", lambda _: None)
    with pytest.raises(
        InputError, match=r"pip install 'pocketnas\[tensorboard\]', or set tensorboard = false"
    ) as caught:
        TensorBoardScalars(tmp_path)
    assert len(str(caught.value).splitlines()) == 1
