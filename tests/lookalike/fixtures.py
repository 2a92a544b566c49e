"""Fixtures for tests against phone lookalikes. Import those you use into a `conftest.py`:

    from lookalike.fixtures import adb_key, adb_server, phone  # noqa: F401

They skip with the reason where no lookalike can run.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from adb_shell.auth.keygen import keygen

from lookalike.lookalike import Lookalike, available
from lookalike.ports import free_port
from lookalike.testbed import adb_program

ADB_DEADLINE_S = 20.0
POLL_S = 0.05


@dataclass(frozen=True)
class AdbKey:
    """An RSA key pair in adb's format: `private` is for ADB_VENDOR_KEYS, `public` is what a phone trusts."""

    private: Path
    public: Path


@dataclass(frozen=True)
class AdbServer:
    """A real adb server of its own, which knows the test's key and no other phones.

    Attributes:
        env: the environment of programs that talk to it; PATH finds adb, ADB_VENDOR_KEYS the key.
        program: the adb program.
        port: where the server listens on 127.0.0.1.
    """

    env: dict[str, str] = field(repr=False)
    program: Path
    port: int

    def adb(
        self, *words: str, check: bool = True, timeout_s: float = ADB_DEADLINE_S
    ) -> subprocess.CompletedProcess[str]:
        """Run adb with these words. `check` raises CalledProcessError for any exit status but 0."""
        return subprocess.run(
            [str(self.program), *words], env=self.env, check=check, timeout=timeout_s, capture_output=True, text=True
        )

    def shell(self, phone: Lookalike, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command line in the shell of a connected phone."""
        return self.adb("-s", phone.serial, "shell", command, check=check)

    def connect(self, phone: Lookalike) -> str:
        """Connect the server to a phone and wait until it is a usable device; its serial.

        Raises:
            TimeoutError: it does not become one, e.g. because it does not trust the key.
        """
        deadline = time.monotonic() + ADB_DEADLINE_S
        while time.monotonic() < deadline:
            said = self.adb("connect", phone.serial, check=False).stdout
            if self.state(phone) == "device":
                return phone.serial
            time.sleep(POLL_S)
        raise TimeoutError(
            f"{phone.serial} is {self.state(phone)!r} after {ADB_DEADLINE_S:.0f} s; adb connect said {said.strip()!r}"
        )

    def disconnect(self, phone: Lookalike) -> None:
        """Let the server forget a phone."""
        self.adb("disconnect", phone.serial, check=False)

    def state(self, phone: Lookalike) -> str:
        """What `adb devices` says of a phone: device, offline, unauthorized ..., or "" where it is not listed."""
        for line in self.adb("devices").stdout.splitlines():
            words = line.split("\t")
            if words[0] == phone.serial and len(words) > 1:
                return words[1]
        return ""


@contextlib.contextmanager
def running_adb_server(key: AdbKey, home: Path, program: Path | None = None) -> Iterator[AdbServer]:
    """An adb server of this or the usual program on a free port, its settings in `home`; ended at the end."""
    program = program or adb_program()
    port = free_port()
    (home / ".android").mkdir()
    shutil.copy(key.private, home / ".android" / "adbkey")  # or else the server makes one of its own
    env = {
        "PATH": f"{os.environ['PATH']}:{program.parent}",
        "HOME": str(home),
        "ADB_VENDOR_KEYS": str(key.private),
        "ANDROID_ADB_SERVER_PORT": str(port),
        "ADB_LOCAL_TRANSPORT_MAX_PORT": "5554",  # do not look for emulators
        "ADB_MDNS_OPENSCREEN": "0",
        "TMPDIR": str(home),
    }
    with (home / "adb_server.log").open("wb") as log:
        server = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", str(program), "-L", f"tcp:{port}", "server", "nodaemon"],
            env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        _await_port(port, server, home / "adb_server.log")
        yield AdbServer(env, program, port)
    finally:
        server.kill()
        server.wait()


def make_adb_key(folder: Path) -> AdbKey:
    """A new key pair in a folder."""
    private = folder / "adbkey"
    keygen(str(private))
    private.chmod(0o600)
    return AdbKey(private, private.with_name("adbkey.pub"))


@pytest.fixture(scope="session")
def adb_key(tmp_path_factory: pytest.TempPathFactory) -> AdbKey:
    """The key that phones of these fixtures trust."""
    return make_adb_key(tmp_path_factory.mktemp("adb_key"))


@pytest.fixture
def start_phone(adb_key: AdbKey) -> Iterator[Callable[..., Lookalike]]:
    """Starts phones that trust the key, with any of `Lookalike`'s arguments; all are stopped after the test."""
    reason = available()
    if reason:
        pytest.skip(reason)
    with contextlib.ExitStack() as phones:
        yield lambda **arguments: phones.enter_context(Lookalike(**{"keys": [adb_key.public], **arguments}))


@pytest.fixture
def phone(start_phone: Callable[..., Lookalike]) -> Lookalike:
    """A phone of the test's own that trusts the key."""
    return start_phone()


@pytest.fixture(scope="module")
def shared_phone(adb_key: AdbKey) -> Iterator[Lookalike]:
    """One phone for all tests of a module, which leave it as they find it."""
    reason = available()
    if reason:
        pytest.skip(reason)
    with Lookalike(keys=[adb_key.public]) as started:
        yield started


@pytest.fixture
def adb_server(adb_key: AdbKey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbServer]:
    """A real adb server that has the key; ended after the test."""
    reason = available()
    if reason:
        pytest.skip(reason)
    with running_adb_server(adb_key, tmp_path_factory.mktemp("adb_home")) as server:
        yield server


def _await_port(port: int, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + ADB_DEADLINE_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the adb server ended with status {server.returncode}: {log.read_text()}")
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(POLL_S)
    raise TimeoutError(f"the adb server does not listen on port {port}")
