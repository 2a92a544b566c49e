"""Stage `train`: the derived network and its baseline from scratch, side by side where the cores allow."""

import multiprocessing
import os
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Literal

from pocketnas.children import Fault, end_with_parent, fault_to_tell, start
from pocketnas.console import progress_bar
from pocketnas.launch import place_from_environment, ranks_of
from pocketnas.run_directory import RunDirectory
from pocketnas.stages.context import RunContext
from pocketnas.stages.training import ROLES, Role, check_trained, train_one, trainee, training_record
from pocketnas_base.errors import InputError, PocketNASError
from pocketnas_base.files import write_json
from pocketnas_base.progress import Progress, silent

if TYPE_CHECKING:
    from search.ranks import Ranks

_POLL_S = 0.5
_REPORT_EVERY_STEPS = 10

# A word from a worker: whose, what kind, steps done and in all, and a text.
_Message = tuple[Role, Literal["progress", "done"] | Fault, int, int, str]


def run(context: RunContext) -> str:
    """Write weights.safetensors, baseline/weights.safetensors and training.json."""
    waiting = _waiting(context)
    threads = context.config.host_threads
    room = threads is not None and threads * len(waiting) <= len(os.sched_getaffinity(0))
    torchrun = place_from_environment() is not None
    spread = torchrun or context.config.ranks > 1
    with progress_bar("train") as progress:
        for role in ROLES:
            if role not in waiting:
                check_trained(context, trainee(context, role), progress)
        if room and len(waiting) > 1 and not spread:
            _side_by_side(context.directory.path, waiting, progress)
        elif waiting or torchrun:
            # With nothing left to train, too: the processes that torchrun has started wait to meet this one.
            with ranks_of(context, __name__) as ranks:
                _one_after_another(context, waiting, progress, ranks)
    records = [training_record(context, role) for role in ROLES]
    write_json(context.directory.training, {"networks": records})
    return ", ".join(f"{record['name']} top-1 {record['top1']:.2f} %" for record in records)


def follow(context: RunContext, ranks: "Ranks") -> None:
    """What every rank but the first does of this stage."""
    _one_after_another(context, _waiting(context), silent, ranks)


def _waiting(context: RunContext) -> list[Role]:
    return [role for role in ROLES if not trainee(context, role).record.exists()]


def _one_after_another(context: RunContext, roles: list[Role], progress: Progress, ranks: "Ranks") -> None:
    for role in roles:
        train_one(context, trainee(context, role), progress, ranks)


def _side_by_side(run_dir: Path, roles: list[Role], progress: Progress) -> None:
    """One process per network; each checkpoints for itself, so that an interrupted stage goes on with both."""
    spawning = multiprocessing.get_context("spawn")
    messages: Queue[_Message] = spawning.Queue()
    workers = {role: spawning.Process(target=_work, args=(run_dir, role, messages), daemon=True) for role in roles}
    start(workers.values())
    done, total, running = dict.fromkeys(roles, 0), dict.fromkeys(roles, 1), set(roles)
    try:
        while running:
            try:
                role, kind, done_steps, total_steps, text = messages.get(timeout=_POLL_S)
            except Empty:
                _check_alive({role: workers[role].exitcode for role in running})
                continue
            if kind == "bad input":
                raise InputError(text)
            if kind == "failed":
                raise PocketNASError(text)
            if kind == "done":
                running.discard(role)
                continue
            done[role], total[role] = done_steps, total_steps
            progress(sum(done.values()), sum(total.values()), f"steps of {len(roles)} networks")
    finally:
        for worker in workers.values():
            worker.terminate()
            worker.join()


def _check_alive(exit_codes: dict[Role, int | None]) -> None:
    for role, code in exit_codes.items():
        if code not in (None, 0):
            raise PocketNASError(
                f"the process that trained the {role} network ended with status {code}; run it again to go on"
            )


def _work(run_dir: Path, role: Role, messages: "Queue[_Message]") -> None:
    def report(done: int, total: int, what: str) -> None:
        if done % _REPORT_EVERY_STEPS == 0 and "steps of" in what:
            messages.put((role, "progress", done, total, what))

    end_with_parent()
    try:
        context = RunContext(RunDirectory.open(run_dir))
        train_one(context, trainee(context, role), report)
        messages.put((role, "done", 0, 0, ""))
    except (PocketNASError, OSError) as error:
        kind, text = fault_to_tell(error)
        messages.put((role, kind, 0, 0, text))
