"""Several ranks for one piece of work: started here, on this host, or by torchrun, on several."""

import multiprocessing
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Literal

from pocketnas.children import Fault, end_with_parent, fault_to_tell, start
from pocketnas.console import say
from pocketnas_base.errors import InputError, PocketNASError

if TYPE_CHECKING:
    from pocketnas.stages.context import RunContext
    from search.ranks import Ranks

SPREAD_STAGES = ("search", "train")
"""The stages that several processes do together. Their modules have a function `follow` for all but the first."""

_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_NUMBERS = _TORCHRUN[:4]
_POLL_S = 0.5
_END_TIMEOUT_S = 60.0
_GRACE_S = 30.0
"""A rank that waits on a GPU for one that is gone is not told so; it is ended after this."""

_LOST = 3
"""The exit status of a rank that ends because another is gone."""

_Message = tuple[int, Literal["ready"] | Fault, str]


def place_from_environment() -> "Ranks | None":
    """Which of torchrun's processes this is; None where it has started none, or a single one. Raises InputError."""
    if any(name not in os.environ for name in _TORCHRUN):
        return None
    try:
        rank, size, local, local_size = (int(os.environ[name]) for name in _NUMBERS)
    except ValueError:
        raise InputError(f"{', '.join(_NUMBERS)} in the environment must be whole numbers") from None
    if size < 2:
        return None
    from search.ranks import Ranks

    return Ranks(rank, size, local, local_size)


def follows() -> bool:
    """Whether this is one of torchrun's processes, and not the first."""
    place = place_from_environment()
    return place is not None and not place.leads


def refuse_several_processes(what: str) -> None:
    """Raises InputError where torchrun has started several processes: `what` is the work of one."""
    if place_from_environment() is not None:
        raise InputError(
            f"{what} is done by one process; torchrun is for: pocketnas search RUN_DIR, with or without --targets, and "
            "pocketnas train RUN_DIR"
        )


def follow(context: "RunContext", module: str) -> None:
    """What one of torchrun's processes, and not the first, does: the `follow` of the module of this name."""
    with ranks_of(context, module) as ranks:
        import_module(module).follow(context, ranks)


@contextmanager
def ranks_of(context: "RunContext", module: str) -> Iterator["Ranks"]:
    """This process among the ranks of some work: those that torchrun has started, or else as many as the run's
    configuration says, which are started on this host and end with this block. module: the name of the one whose
    function `follow` is what all ranks but the first do.

    Raises InputError and PocketNASError, with what another rank had to say before it ended.
    """
    from search.ranks import ALONE, Ranks, joined

    place = place_from_environment()
    if place is not None:
        with joined(place, device=context.torch_device(place)) as ranks:
            yield ranks
    elif context.config.ranks == 1:
        yield ALONE
    else:
        place = Ranks(0, context.config.ranks, local_size=context.config.ranks)
        device = context.torch_device(place)
        with tempfile.TemporaryDirectory(prefix="pocketnas-ranks-") as folder:
            meeting = Path(folder) / "meeting"
            with (
                _followers(context, module, place.size, meeting),
                joined(place, device=device, meeting=meeting) as ranks,
            ):
                yield ranks


@contextmanager
def _followers(context: "RunContext", module: str, size: int, meeting: Path) -> Iterator[None]:
    from search.ranks import RankLostError

    spawning = multiprocessing.get_context("spawn")
    messages: Queue[_Message] = spawning.Queue()
    followers = [
        spawning.Process(
            target=_follow, args=(context.directory.path, module, rank, size, meeting, messages), daemon=True
        )
        for rank in range(1, size)
    ]
    over = threading.Event()
    try:
        start(followers)
        _await_ready(followers, messages)
        threading.Thread(target=_watch, args=(followers, over), daemon=True).start()
        yield
        for follower in followers:
            follower.join(_END_TIMEOUT_S)
    except RankLostError as error:
        raise _reason(followers, messages, error) from error
    finally:
        over.set()
        for follower in followers:
            if follower.pid is not None:
                follower.terminate()
                follower.join()


def _await_ready(followers: Sequence[SpawnProcess], messages: "Queue[_Message]") -> None:
    """Wait until every follower has loaded what it needs: whoever cannot says so before anybody waits for it."""
    missing = len(followers)
    while missing:
        try:
            message = messages.get(timeout=_POLL_S)
        except Empty:
            for rank, follower in enumerate(followers, start=1):
                if follower.exitcode is not None:
                    raise PocketNASError(f"rank {rank} ended with status {follower.exitcode} as it began") from None
            continue
        if message[1] != "ready":
            raise _error(message)
        missing -= 1


def _reason(followers: Sequence[SpawnProcess], messages: "Queue[_Message]", error: Exception) -> Exception:
    """What is known of why another rank is gone."""
    try:
        return _error(messages.get(timeout=_POLL_S))
    except Empty:
        pass
    for rank, follower in enumerate(followers, start=1):
        follower.join(_POLL_S)
        if follower.exitcode not in (None, 0, _LOST):
            return PocketNASError(
                f"rank {rank} ended with status {follower.exitcode}; the same command again goes on from the last "
                f"checkpoint"
            )
    return error


def _error(message: _Message) -> PocketNASError:
    rank, kind, text = message
    return InputError(text) if kind == "bad input" else PocketNASError(f"rank {rank}: {text}")


def _watch(followers: Sequence[SpawnProcess], over: threading.Event) -> None:
    """End this process where a follower has failed and this one still waits for it."""
    running = list(followers)
    while running and not over.is_set():
        connection.wait([follower.sentinel for follower in running], timeout=_POLL_S)
        failed = [follower for follower in running if follower.exitcode not in (None, 0)]
        if failed and not over.wait(_GRACE_S):
            say(f"pocketnas: rank {followers.index(failed[0]) + 1} is gone; the same command again goes on")
            os._exit(1)
        running = [follower for follower in running if follower.exitcode is None]


def _follow(run_dir: Path, module: str, rank: int, size: int, meeting: Path, messages: "Queue[_Message]") -> None:
    """The whole life of a rank but the first."""
    end_with_parent()
    try:
        from pocketnas.run_directory import RunDirectory
        from pocketnas.stages.context import RunContext
        from search.ranks import RankLostError, Ranks, joined

        context, place = RunContext(RunDirectory.open(run_dir)), Ranks(rank, size, rank, size)
        device = context.torch_device(place)
        messages.put((rank, "ready", ""))
        try:
            with joined(place, device=device, meeting=meeting) as ranks:
                import_module(module).follow(context, ranks)
        except RankLostError:
            # Whoever is the cause of it says why.
            os._exit(_LOST)
    except (PocketNASError, OSError) as error:
        messages.put((rank, *fault_to_tell(error)))
        messages.close()
        messages.join_thread()
        os._exit(1)
