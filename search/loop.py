"""The one loop under search and training: steps, a curve, a checkpoint from which the same steps follow."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from pocketnas_base.progress import Progress
from search.accelerator import within_memory
from search.ranks import ALONE, Ranks, digest_of
from search.state import State

CHECKPOINT_EVERY_S = 10.0
QUICK_SAVE_S = 0.5
"""A checkpoint that takes longer than this comes as many times more rarely: a twentieth of the time at most goes into
saving."""
AGREEMENTS = 20
"""How often in a run several ranks compare all that steps have changed."""
MEMORY_ADVICE = "go on with more ranks, a GPU each, or start anew with a lower batch_size"

Curve = list[dict[str, float]]


class SteppedJob(Protocol):
    """Work in numbered steps, each a function of the state and its number alone: so a resumed run is the same run."""

    total_steps: int
    fingerprint: str

    def step(self, number: int) -> dict[str, float] | None:
        """Do step `number` (from 0); what it returns, if anything, is one point of the curve."""

    def add_to(self, state: State) -> None:
        """Put everything that steps change into `state`."""

    def restore(self, state: State) -> None:
        """Take it back out."""


class Scalars(Protocol):
    """Who wants to see the curve while it grows. After an interruption, steps are told again from `begin`'s on."""

    def begin(self, step: int) -> None:
        """The next step is `step`; what was said of it or of later ones is void."""

    def point(self, step: int, values: dict[str, float]) -> None:
        """One point of the curve."""

    def end(self) -> None:
        """The work stops here, done or not."""


def run_steps(
    job: SteppedJob,
    checkpoint: Path,
    progress: Progress,
    what: str,
    scalars: Scalars | None = None,
    ranks: Ranks = ALONE,
) -> Curve:
    """Run `job` from its last checkpoint, or from the start, to its end; returns the whole curve.

    A run killed at any moment loses at most the steps since the last checkpoint, and repeats them exactly. ranks: who
    runs the same job on other shares of its batches; rank 0 alone writes. Raises RankLostError when one is gone, or has
    come to other weights, and GpuMemoryError where a step needs more than the GPU has.
    """
    start, curve = 0, Curve()
    if checkpoint.exists():
        state = State.load(checkpoint, belongs_to=job.fingerprint)
        job.restore(state)
        start, curve = state.numbers["next_step"], state.numbers["curve"]

    _check_agreement(job, start, curve, ranks)
    agreement_every = max(1, job.total_steps // AGREEMENTS)
    saved_at, every_s = time.monotonic(), CHECKPOINT_EVERY_S
    with _session(scalars, start) as tell:
        for number in range(start, job.total_steps):
            progress(number, job.total_steps, what)
            with within_memory(f"step {number}", MEMORY_ADVICE):
                point = job.step(number)
            if point is not None:
                curve.append({"step": number, **point})
                tell(number, point)
            last = number + 1 == job.total_steps
            if last or (number + 1) % agreement_every == 0:
                _check_agreement(job, number + 1, curve, ranks)
            if ranks.leads and (last or time.monotonic() - saved_at > every_s):
                began = time.monotonic()
                _state(job, number + 1, curve).save(checkpoint, belongs_to=job.fingerprint)
                saved_at = time.monotonic()
                every_s = CHECKPOINT_EVERY_S * max(1.0, (saved_at - began) / QUICK_SAVE_S)
    progress(job.total_steps, job.total_steps, what)
    return curve


def _state(job: SteppedJob, next_step: int, curve: Curve) -> State:
    state = State(numbers={"next_step": next_step, "curve": curve})
    job.add_to(state)
    return state


def _check_agreement(job: SteppedJob, next_step: int, curve: Curve, ranks: Ranks) -> None:
    if ranks.size == 1:
        return
    state = _state(job, next_step, curve)
    device = next(iter(state.tensors.values())).device
    ranks.check_agreement(digest_of(state.tensors, [job.fingerprint, state.numbers]), device, f"at step {next_step}")


@contextmanager
def _session(scalars: Scalars | None, start: int) -> Iterator[Callable[[int, dict[str, float]], None]]:
    if scalars is None:
        yield lambda _step, _point: None
        return
    scalars.begin(start)
    try:
        yield scalars.point
    finally:
        scalars.end()
