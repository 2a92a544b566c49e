"""What runs inside a phone lookalike, read from the host's /proc."""

from dataclasses import dataclass
from pathlib import Path

ADBD = "/apex/com.android.adbd/bin/adbd"


@dataclass(frozen=True)
class Process:
    """One process inside a phone.

    Attributes:
        pid: its number on the host (`os.kill` takes it).
        inner_pid: its number on the phone (what `ps` there shows).
        parent: the host's number of its parent.
        argv: its words; empty for a process that has ended and is not reaped yet.
        user: the effective user id.
    """

    pid: int
    inner_pid: int
    parent: int
    argv: tuple[str, ...]
    user: int


def descendants(root: int) -> list[Process]:
    """Every process below the one with the host's number `root`: of a phone's first process, all the others."""
    everyone = [
        process for entry in Path("/proc").iterdir() if entry.name.isdigit() and (process := _read(entry)) is not None
    ]
    found: list[Process] = []
    wave = {root}
    while wave:
        children = [process for process in everyone if process.parent in wave]
        found += children
        wave = {process.pid for process in children}
    return sorted(found, key=lambda process: process.pid)


def children(pid: int) -> list[int]:
    """Host numbers of the direct children of a process; none where it is gone."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def is_adbd(process: Process) -> bool:
    """Whether this is adbd or a child of it that has not become its program yet."""
    return process.argv[:1] == (ADBD,)


def _read(entry: Path) -> Process | None:
    """The process of one folder of /proc; None where it ended meanwhile."""
    try:
        status = dict(line.split(":\t", 1) for line in (entry / "status").read_text().splitlines() if ":\t" in line)
        argv = (entry / "cmdline").read_bytes().split(b"\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Process(
        pid=int(entry.name),
        inner_pid=int(status["NSpid"].split()[-1]),
        parent=int(status["PPid"]),
        argv=tuple(word.decode(errors="surrogateescape") for word in argv),
        user=int(status["Uid"].split()[1]),
    )
