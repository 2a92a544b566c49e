"""The same command on several devices at once: each in a worker process of its own, so that one that fails, hangs or
crashes does not stop the others."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Thread

from pocketnas.console import say

_END_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Worker:
    """How the command ended on one device. stdout: what it printed there."""

    device: str
    exit_status: int
    stdout: str


def run_side_by_side(commands: Mapping[str, Sequence[str]]) -> list[Worker]:
    """Run `pocketnas WORDS...` for every device at once; what each says is passed on, with the device's name before it.

    Returns one worker a device, in their order. Interrupted, it interrupts the workers and waits for them to put their
    devices back.
    """
    processes = {device: _start(words) for device, words in commands.items()}
    threads = [Thread(target=_pass_on, args=(device, process)) for device, process in processes.items()]
    outputs: dict[str, str] = {}
    readers = [Thread(target=_collect, args=(device, process, outputs)) for device, process in processes.items()]
    for thread in (*threads, *readers):
        thread.start()
    try:
        for process in processes.values():
            process.wait()
    except BaseException:
        for process in processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in processes.values():
            process.wait(_END_TIMEOUT_S)
        raise
    finally:
        for thread in (*threads, *readers):
            thread.join(_END_TIMEOUT_S)
    return [Worker(device, process.returncode, outputs[device]) for device, process in processes.items()]


def _start(words: Sequence[str]) -> "subprocess.Popen[str]":
    # In a group of its own: Ctrl-C on the terminal reaches it once, through this program.
    return subprocess.Popen(
        [sys.executable, "-m", "pocketnas", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=dict(os.environ),
        start_new_session=True,
    )


def _pass_on(device: str, process: "subprocess.Popen[str]") -> None:
    assert process.stderr is not None
    for line in process.stderr:
        say(f"{device}: {line.rstrip()}")


def _collect(device: str, process: "subprocess.Popen[str]", outputs: dict[str, str]) -> None:
    assert process.stdout is not None
    outputs[device] = process.stdout.read()
