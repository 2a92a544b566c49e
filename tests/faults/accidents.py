"""What can happen to the phone itself while it is at work, done through the lookalike from the host's side."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from lookalike.processes import Process

from android_bench.adb.supervisor import DEVICE_FOLDER
from faults.stand import Stand

_DOWN_S = 0.1
OTHER_HOST = "somebody@elsewhere.1"


@dataclass
class Accident:
    """One thing that happens once. act: does it; says whether there was anything to do it to. at_ns: when it was done,
    by the monotonic clock that a lookalike shares with its host; 0 before that."""

    name: str
    stand: Stand
    do: Callable[[Stand], bool]
    at_ns: int = field(default=0, init=False)

    def act(self) -> bool:
        if not self.do(self.stand):
            return False
        self.at_ns = time.monotonic_ns()
        return True


def _kill_daemon(stand: Stand) -> bool:
    stand.phone.kill_adbd()
    time.sleep(_DOWN_S)
    stand.phone.restart_adbd()
    return True


def _kill_daemon_for_good(stand: Stand) -> bool:
    stand.phone.kill_adbd()
    return True


def _reboot(stand: Stand) -> bool:
    stand.phone.reboot(_DOWN_S)
    return True


def _change_boot_id(stand: Stand) -> bool:
    stand.phone.boot_id = str(uuid4())
    return True


def _fill(stand: Stand) -> bool:
    try:
        stand.phone.fill()
    except subprocess.CalledProcessError:
        return False  # more was written in between than was counted; the next message tries again
    return True


def _take_lock(stand: Stand) -> bool:
    """As another host does whose claim has been broken open in between."""
    until = int(float(Path("/proc/uptime").read_text().split()[0])) + 600
    folder = stand.phone.path(DEVICE_FOLDER)
    if not folder.exists():
        return False
    (folder / "lock").write_text(f"{'f' * 32} {until} {stand.phone.boot_id} {OTHER_HOST}\n")
    return True


def _kill_runner(stand: Stand) -> bool:
    return _kill(stand, lambda process, _: process.argv[0].endswith(("runner", "ld-linux-x86-64.so.2")))


def _kill_shell(stand: Stand) -> bool:
    """The shell that adbd started, which is the supervisor of one program."""
    return _kill(stand, lambda process, pids: process.parent not in pids and process.argv[0].endswith("sh"))


def _kill(stand: Stand, wanted: Callable[[Process, set[int]], bool]) -> bool:
    processes = stand.phone.processes()
    pids = {process.pid for process in processes}
    found = [process for process in processes if wanted(process, pids)]
    for process in found:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    return bool(found)


ACCIDENTS: dict[str, Callable[[Stand], bool]] = {
    "adbd killed": _kill_daemon,
    "adbd gone": _kill_daemon_for_good,
    "reboot": _reboot,
    "boot id changed": _change_boot_id,
    "storage filled": _fill,
    "lock taken": _take_lock,
    "runner killed": _kill_runner,
    "shell killed": _kill_shell,
}
