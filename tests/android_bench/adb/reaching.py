"""Reaching a phone lookalike in each of the ways there are, and watching it from outside."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lookalike.fixtures import AdbKey, AdbServer
from lookalike.lookalike import Lookalike
from lookalike.processes import descendants

from android_bench.adb.adb_program import AdbProgram, AdbProgramChannel
from android_bench.adb.adb_shell_channel import AdbShellChannel, TcpSocket
from android_bench.adb.keys import adb_keys
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.adb.supervisor import DEVICE_FOLDER
from android_bench.transport import Transport

GONE_WITHIN_S = 3.0


class Reach(Protocol):
    """Makes a transport to a phone."""

    def __call__(self, phone: Lookalike, **how: Any) -> PhoneTransport: ...


@dataclass(frozen=True)
class Place:
    """One transport, and a folder on its device that may be written to. phone: None for this machine. before: this
    program's children when the test began."""

    transport: Transport
    folder: str
    phone: Lookalike | None
    before: frozenset[int] = field(default_factory=lambda: frozenset(_children()))

    def host_path(self, path: str) -> Path:
        """Where this host sees a file of the device."""
        return self.phone.path(path) if self.phone else Path(path)

    def nothing_runs(self, seconds: float = GONE_WITHIN_S) -> bool:
        """Whether what was started on the device is over within this time."""
        if self.phone is not None:
            return nothing_runs(self.phone, seconds)
        return within(seconds, lambda: _children() <= self.before)


def tcp_channel(phone: Lookalike, key: AdbKey, **how: Any) -> AdbShellChannel:
    environ = {"HOME": str(key.private.parent / "nobody"), "ADB_VENDOR_KEYS": str(key.private)}
    name = f"tcp:{phone.host}:{phone.port}"
    return AdbShellChannel(name, lambda: TcpSocket(phone.host, phone.port), keys=lambda: adb_keys(environ), **how)


def over_tcp(phone: Lookalike, key: AdbKey, **how: Any) -> PhoneTransport:
    """Without any adb program. how: of the transport."""
    return PhoneTransport(tcp_channel(phone, key), **how)


def over_program(phone: Lookalike, server: AdbServer, **how: Any) -> PhoneTransport:
    """Through adb and its server."""
    if server.state(phone) != "device":
        server.connect(phone)
    program = AdbProgram(str(server.program), server.env)
    return PhoneTransport(AdbProgramChannel(program, phone.serial), **how)


def within(seconds: float, happened: Callable[[], bool]) -> bool:
    """Whether it happens within this time."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def nothing_runs(phone: Lookalike, seconds: float = GONE_WITHIN_S) -> bool:
    """Whether the phone is quiet again within this time."""
    return within(seconds, lambda: phone.processes() == [])


def is_clean(phone: Lookalike, seconds: float = GONE_WITHIN_S) -> bool:
    """Whether neither a process nor a file of one that ran is left on the phone within this time."""

    def nothing_is_left() -> bool:
        return phone.processes() == [] and list(phone.path(f"{DEVICE_FOLDER}/run").iterdir()) == []

    return within(seconds, nothing_is_left)


def _children() -> set[int]:
    return {child.pid for child in descendants(os.getpid()) if child.argv}
