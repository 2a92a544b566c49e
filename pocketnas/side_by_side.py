"""The same command on several devices at once: each in a worker process of its own, so that one that fails, hangs or
crashes does not stop the others."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Thread

from android_bench.device import LOCAL
from pocketnas.console import say

_END_TIMEOUT_S = 60.0
_LAST_WORDS_S = 5.0


@dataclass(frozen=True, slots=True)
class Worker:
    """How the command ended on one device. stdout: what it printed there."""

    device: str
    exit_status: int
    stdout: str


def run_side_by_side(commands: Mapping[str, Sequence[str]]) -> list[Worker]:
    """Run `pocketnas WORDS...` for every device at once; what each says is passed on, with the device's name before it.

    Returns one worker a device, in their order. Interrupted, it interrupts the workers and waits for them to put their
    devices back; one that takes too long is named, and left to it.
    """
    processes: dict[str, subprocess.Popen[str]] = {}
    outputs: dict[str, str] = {}
    threads: list[Thread] = []
    try:
        for device, words in commands.items():
            process = processes[device] = _start(words)
            for read, arguments in ((_pass_on, (device, process)), (_collect, (device, process, outputs))):
                threads.append(Thread(target=read, args=arguments, daemon=True))
                threads[-1].start()
        for process in processes.values():
            process.wait()
    except BaseException:
        _interrupt(processes)
        raise
    finally:
        for thread in threads:
            thread.join(_LAST_WORDS_S)
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


def _interrupt(processes: "Mapping[str, subprocess.Popen[str]]") -> None:
    for process in processes.values():
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + _END_TIMEOUT_S
    for device, process in processes.items():
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            say(not_put_back(device, _END_TIMEOUT_S))


def not_put_back(device: str, seconds: float) -> str:
    """What to say of a device whose worker has not ended when it should have."""
    if device == LOCAL:
        return f"{device} did not end within {seconds:.0f} s"
    return f"{device} was not put back within {seconds:.0f} s; once it is idle: pocketnas doctor -d {device} --restore"


def _pass_on(device: str, process: "subprocess.Popen[str]") -> None:
    assert process.stderr is not None
    for line in process.stderr:
        say(f"{device}: {line.rstrip()}")


def _collect(device: str, process: "subprocess.Popen[str]", outputs: dict[str, str]) -> None:
    assert process.stdout is not None
    outputs[device] = process.stdout.read()
