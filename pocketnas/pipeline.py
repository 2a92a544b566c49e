"""The whole loop: stages in order, each done once, each resumable."""

import time
from importlib import import_module

from pocketnas.console import say
from pocketnas.launch import SPREAD_STAGES, follow, follows, refuse_several_processes
from pocketnas.run_directory import RunDirectory
from pocketnas.stages.context import RunContext
from pocketnas_base.errors import InputError

STAGES = ("environment", "table", "search", "baseline", "train", "export", "rebench", "report")


def run_all(directory: RunDirectory) -> None:
    """Run every stage that is not done yet."""
    refuse_several_processes("a whole run")
    context = RunContext(directory)
    for stage in STAGES:
        if not directory.is_done(stage):
            _run(context, stage)


def run_one(directory: RunDirectory, stage: str, *, use_table: str | None = None, max_ms: float | None = None) -> None:
    """Run one stage; those after it count as not done, since what they read has changed.

    use_table: for the stage `table`, one to take over instead of measuring it. max_ms: for the stage `search`, what no
    derived net may be predicted to exceed.

    Of several processes that torchrun has started, the first does all that, and the others its share of the steps.

    Raises InputError when the stage is done already: its results are kept until someone deletes them on purpose.
    """
    if directory.is_done(stage):
        raise InputError(f"stage {stage} of {directory.path} is done; start another run to do it differently")
    if stage not in SPREAD_STAGES:
        refuse_several_processes(f"stage {stage}")
    context = RunContext(directory, use_table=use_table, max_ms=max_ms)
    if follows():
        follow(context, f"pocketnas.stages.{stage}")
        return
    if not directory.is_done("environment"):
        _run(context, "environment")
    _run(context, stage)
    directory.forget(STAGES[STAGES.index(stage) + 1 :])


def _run(context: RunContext, stage: str) -> None:
    started = time.monotonic()
    say(f"{stage:<12} ...")
    with context.directory.recording(stage):
        outcome: str = import_module(f"pocketnas.stages.{stage}").run(context)
    say(f"{stage:<12} {outcome}  [{time.monotonic() - started:.1f} s]")
