"""Processes of our own that a stage starts: how they begin, how they end, and how they say what went wrong."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable
from multiprocessing.context import SpawnProcess
from typing import Literal

from pocketnas.console import os_error_line
from pocketnas_base.errors import InputError, PocketNASError

_LAST_WORDS_S = 0.5

Fault = Literal["bad input", "failed"]


def start(children: Iterable[SpawnProcess]) -> None:
    """Start them, deaf to Ctrl-C: it reaches every process of a terminal, and they leave it to this one, which ends
    them."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    for child in children:
        child.start()
    signal.signal(signal.SIGINT, handler)


def end_with_parent() -> None:
    """In a child: end when the parent has been killed. Whoever goes on in a run's directory must be alone there."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        time.sleep(_LAST_WORDS_S)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def fault_to_tell(error: PocketNASError | OSError) -> tuple[Fault, str]:
    """What a child tells of what went wrong. Raises an OSError that is not the user's to mend."""
    if isinstance(error, PocketNASError):
        return ("bad input" if error.exit_code == InputError.exit_code else "failed"), str(error)
    line = os_error_line(error)
    if line is None:
        raise error
    return "failed", line
