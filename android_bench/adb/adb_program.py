"""Phones through the `adb` program and its server: sharing, pairing, TLS and USB are its job."""

import os
import re
import selectors
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from android_bench.errors import DeviceLostError, DeviceSilentError, DeviceUnauthorizedError
from pocketnas_base.errors import DeviceError, MissingDependencyError

SERVER_START_S = 30.0
_READ_BYTES = 64 * 1024
_MAX_ERROR_BYTES = 64 * 1024
# Bytes a second below which a copy counts as stuck; Wi-Fi in a bad corner is ten times as fast.
_SLOWEST_COPY = 100_000


class AdbProgram:
    """The `adb` on this host. environ: its environment; ANDROID_ADB_SERVER_PORT and ADB_VENDOR_KEYS matter."""

    def __init__(self, path: str | None = None, environ: Mapping[str, str] | None = None) -> None:
        self.environ = dict(os.environ if environ is None else environ)
        found = path or self.environ.get("ADB") or shutil.which("adb", path=self.environ.get("PATH"))
        if not found:
            raise MissingDependencyError(
                "the program adb was not found; install it (Debian: apt install adb), or name it in $ADB,"
                " or reach a phone on the network as tcp:HOST:PORT"
            )
        if shutil.which(found) is None:
            raise MissingDependencyError(f"the adb {found} cannot be started: it is no program")
        self.path = found
        setpriv = shutil.which("setpriv")
        self._bound_to_us = (setpriv, "--pdeathsig", "KILL") if setpriv else ()

    def call(self, *arguments: str, timeout_s: float) -> subprocess.CompletedProcess[bytes]:
        """Run adb to its end. Raises DeviceError when it does not end in time or cannot be started."""
        try:
            return subprocess.run(
                [self.path, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout_s,
                env=self.environ,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DeviceLostError(f"adb {arguments[0]} did not end within {timeout_s:.0f} s") from None
        except OSError as error:
            raise DeviceError(f"{self.path} cannot be started: {error.strerror}") from error

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start adb with both outputs as pipes. It ends with this program, however that ends, where the system can see
        to it (Linux). Raises DeviceError when it cannot be started."""
        try:
            return subprocess.Popen(
                [*self._bound_to_us, self.path, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self.environ,
                start_new_session=True,
            )
        except OSError as error:
            raise DeviceError(f"{self.path} cannot be started: {error.strerror}") from error

    def devices(self) -> str:
        """What `adb devices -l` prints. Starts the server when none runs."""
        done = self.call("devices", "-l", timeout_s=SERVER_START_S)
        if done.returncode != 0:
            raise DeviceError(f"adb devices failed: {_last_line(done.stderr)}")
        return done.stdout.decode(errors="replace")


class AdbProgramChannel:
    """See `channel.Channel`: one phone by its serial."""

    def __init__(self, program: AdbProgram, serial: str) -> None:
        self._program = program
        self._serial = serial

    @property
    def name(self) -> str:
        return self._serial

    @contextmanager
    def open(self, script: str, *, silence_s: float) -> Iterator[Iterator[bytes]]:
        process = self._program.start("-s", self._serial, "exec-out", script)
        try:
            yield self._chunks(process, silence_s)
        finally:
            _end(process)

    def push(self, files: Sequence[tuple[Path, str]], *, silence_s: float) -> None:
        """One call of adb for all files: links by the wanted names, in a folder of their own, are what it copies."""
        if not files:
            return
        with tempfile.TemporaryDirectory(prefix="pocketnas-push-") as scratch:
            links = []
            for source, destination in files:
                link = Path(scratch) / destination.rpartition("/")[2]
                link.symlink_to(source.resolve())
                links.append(str(link))
            size = sum(source.stat().st_size for source, _ in files)
            folder = files[0][1].rpartition("/")[0]
            self._copy(("push", *links, f"{folder}/"), silence_s + size / _SLOWEST_COPY, lambda: False)

    def pull(self, source: str, destination: Path, *, size_bytes: int, silence_s: float) -> None:
        def too_much() -> bool:
            with suppress(FileNotFoundError):
                return destination.stat().st_size > size_bytes
            return False

        self._copy(("pull", source, str(destination)), silence_s + size_bytes / _SLOWEST_COPY, too_much)

    def close(self) -> None:
        """Nothing is held: the server keeps the connection."""

    def _copy(self, arguments: Sequence[str], timeout_s: float, must_stop: Callable[[], bool]) -> None:
        process = self._program.start("-s", self._serial, *arguments)
        assert process.stderr is not None
        assert process.stdout is not None
        deadline = time.monotonic() + timeout_s
        try:
            said = bytearray()
            for chunk in _read_both(process.stdout, process.stderr, poll_s=0.5):
                said = (said + chunk)[-_MAX_ERROR_BYTES:]
                if time.monotonic() > deadline:
                    raise DeviceLostError(f"{self.name} was stuck during adb {arguments[0]}; check its cable or Wi-Fi")
                if must_stop():
                    raise DeviceError(f"{self.name} sends more of {arguments[1]} than it said there is")
            if process.wait(timeout=SERVER_START_S) != 0:
                raise self._failure(bytes(said), f"adb {arguments[0]} failed")
        finally:
            _end(process)

    def _chunks(self, process: "subprocess.Popen[bytes]", silence_s: float) -> Iterator[bytes]:
        stdout, stderr = process.stdout, process.stderr
        assert stdout is not None
        assert stderr is not None
        said = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            selector.register(stderr, selectors.EVENT_READ)
            heard = time.monotonic()
            while selector.get_map():
                for key, _ in selector.select(silence_s):
                    chunk = os.read(key.fd, _READ_BYTES)
                    if not chunk:
                        selector.unregister(key.fileobj)
                    elif key.fileobj is stdout:
                        yield chunk
                        heard = time.monotonic()
                    else:
                        said = (said + chunk)[-_MAX_ERROR_BYTES:]
                if selector.get_map() and time.monotonic() - heard >= silence_s:
                    raise DeviceSilentError(f"{self.name} was silent for {silence_s:.0f} s; check its cable or Wi-Fi")
        if process.wait(timeout=SERVER_START_S) != 0:
            raise self._failure(bytes(said), "the connection to it failed")

    def _failure(self, said: bytes, what: str) -> DeviceError:
        """What adb's last words mean (its client's own messages, packages/modules/adb)."""
        text = said.decode(errors="replace").strip()
        complaints = [line for line in text.splitlines() if "error" in line]
        last = (complaints[-1] if complaints else _last_line(said))[-300:]
        if "unauthorized" in text or "authorizing" in text:
            return DeviceUnauthorizedError(unauthorized(self.name))
        if "no permissions" in text or "insufficient permissions" in text:
            return DeviceUnauthorizedError(
                f"{self.name}: this user may not open the phone's USB port;"
                " install the udev rules (Debian: apt install android-sdk-platform-tools-common)"
            )
        if re.search(r"device '.*' not found|no devices|device offline|device still|error: closed", text):
            return DeviceLostError(f"{self.name} is not connected ({last}); `pocketnas devices` lists what is")
        if re.search(r"No space left|couldn't create|Read-only|Permission denied|remote |failed to copy", text):
            return DeviceError(f"{self.name} refused: {last}")
        return DeviceLostError(f"{self.name}: {what} ({last or 'adb said nothing'})")


def unauthorized(name: str) -> str:
    """What to tell the user while the phone's owner has not agreed."""
    return (
        f"{name} waits for its owner's consent: unlock it, accept `Allow USB debugging?` with `Always allow`,"
        " and run the same command again"
    )


def _read_both(first: IO[bytes], second: IO[bytes], *, poll_s: float) -> Iterator[bytes]:
    """Chunks of either stream until both end, and b"" whenever neither speaks for `poll_s`."""
    with selectors.DefaultSelector() as selector:
        selector.register(first, selectors.EVENT_READ)
        selector.register(second, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(poll_s)
            if not ready:
                yield b""
            for key, _ in ready:
                chunk = os.read(key.fd, _READ_BYTES)
                if chunk:
                    yield chunk
                else:
                    selector.unregister(key.fileobj)


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _last_line(text: bytes) -> str:
    return text.decode(errors="replace").strip().rpartition("\n")[2][-300:]
