"""Where faults are tried: a phone lookalike, a proxy before it, an adb server, and the two ways through the proxy."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Literal, Self

from lookalike.fixtures import make_adb_key, running_adb_server
from lookalike.furnish import SETTINGS
from lookalike.lookalike import Lookalike
from lookalike.ports import is_listening
from lookalike.processes import Process

from android_bench.adb.adb_program import AdbProgram, AdbProgramChannel
from android_bench.adb.adb_shell_channel import CONNECT_TIMEOUT_S, AdbShellChannel, TcpSocket
from android_bench.adb.channel import Channel
from android_bench.adb.keys import adb_keys
from android_bench.adb.phone import identify, phone_info
from android_bench.adb.phone_guard import PhoneGuard
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.adb.phone_workspace import PhoneWorkspace
from android_bench.adb.quiet import JOURNAL
from android_bench.adb.supervisor import DEVICE_FOLDER
from android_bench.device import Device
from android_bench.transport import Completed, LineStream
from faults.proxy import Proxy

Route = Literal["adb-shell", "adb"]
ROUTES: tuple[Route, ...] = ("adb-shell", "adb")

PATIENCE_S = 0.7
# Nothing that is tried here takes a phone that well a tenth of this, and every stall has to be sat out.
LONGEST_S = 2.0
STALL_S = PATIENCE_S + LONGEST_S + 0.5
GONE_WITHIN_S = 4.0
_CONNECT_WITHIN_S = 20.0


class HurriedTransport(PhoneTransport):
    """A phone's transport that waits for nothing longer than `LONGEST_S`, whatever it is allowed."""

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        return super().run(argv, timeout_s=min(timeout_s, LONGEST_S))

    @contextmanager
    def stream(self, argv: Sequence[str], *, silence_s: float, max_line_bytes: int) -> Iterator[LineStream]:
        with super().stream(argv, silence_s=min(silence_s, LONGEST_S), max_line_bytes=max_line_bytes) as lines:
            yield lines


class Stand:
    """A context. phone: the lookalike. proxy: what every connection to it goes through. folder: of this host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for name in ("key", "home"):
                (self.folder / name).mkdir(parents=True)
            self._key = make_adb_key(self.folder / "key")
            self.phone = stack.enter_context(Lookalike(keys=[self._key.public], root_size_mb=128))
            self.proxy = stack.enter_context(Proxy(self.phone.port))
            self._server = stack.enter_context(running_adb_server(self._key, self.folder / "home"))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def name(self, route: Route) -> str:
        """What messages call the phone."""
        return f"tcp:127.0.0.1:{self.proxy.port}" if route == "adb-shell" else f"127.0.0.1:{self.proxy.port}"

    def transport(self, route: Route) -> PhoneTransport:
        """A way to the phone, with little patience."""
        return HurriedTransport(self._channel(route, PATIENCE_S), patience_s=PATIENCE_S)

    def patient_transport(self, route: Route) -> PhoneTransport:
        """A way to the phone for what must succeed, however busy this machine is."""
        return PhoneTransport(self._channel(route, CONNECT_TIMEOUT_S))

    def device(self, transport: PhoneTransport) -> Device:
        """The phone, identified."""
        identity = identify(transport)
        info = phone_info(transport, identity)
        guard = PhoneGuard(transport, identity, cooling_s=1.0, cooling_step_s=0.2, return_s=4.0, return_step_s=0.1)
        return Device(transport.name, info, transport, PhoneWorkspace(transport, info.abi), guard)

    def reset(self, route: Route) -> None:
        """A phone that is well, quiet, unlocked and connected, with models and runners still on it."""
        self.mend(route)
        for process in self.left():
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        for path in (f"{DEVICE_FOLDER}/lock", JOURNAL):
            self.phone.path(path).unlink(missing_ok=True)
        for name, value in SETTINGS.items():
            self.phone.set(f"settings/{name}", value)

    def mend(self, route: Route) -> None:
        """End whatever has befallen the phone and its connection, and leave the rest to the next call."""
        self.proxy.arm(None)
        self.proxy.hang_up()
        self.phone.free()
        if not is_listening(self.phone.port):
            self.phone.restart_adbd()
        if route == "adb":
            self._connect()

    def left(self) -> list[Process]:
        """What still runs on the phone `GONE_WITHIN_S` from now."""
        deadline = monotonic() + GONE_WITHIN_S
        while (running := self.phone.processes()) and monotonic() < deadline:
            sleep(0.02)
        return running

    def unsettled(self) -> list[str]:
        """Settings that are not what they were before `reset`."""
        return [
            f"{name}={self.phone.setting(name)}"
            for name, value in SETTINGS.items()
            if self.phone.setting(name) != value
        ]

    def _channel(self, route: Route, connect_timeout_s: float) -> Channel:
        if route == "adb":
            return AdbProgramChannel(AdbProgram(str(self._server.program), self._server.env), self.name(route))
        environ = {"HOME": str(self.folder), "ADB_VENDOR_KEYS": str(self._key.private)}
        return AdbShellChannel(
            self.name(route),
            lambda: TcpSocket("127.0.0.1", self.proxy.port),
            keys=lambda: adb_keys(environ),
            consent_timeout_s=PATIENCE_S,
            connect_timeout_s=connect_timeout_s,
        )

    def _connect(self) -> None:
        name, deadline = self.name("adb"), monotonic() + _CONNECT_WITHIN_S
        self._server.adb("disconnect", name, check=False)
        while f"{name}\tdevice" not in self._server.adb("devices").stdout:
            if monotonic() > deadline:
                raise TimeoutError(f"the adb server does not connect to {name}: {self.phone.log()[-2000:]}")
            self._server.adb("connect", name, check=False)
