"""Phones through the adb-shell library: over TCP without any adb program, or over USB without an adb server."""

import io
import select
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from adb_shell.transport.base_transport import BaseTransport

from android_bench.adb.adb_program import unauthorized
from android_bench.adb.keys import AdbKey, adb_keys
from android_bench.errors import DeviceLostError, DeviceSilentError, DeviceUnauthorizedError
from pocketnas_base.errors import DeviceError, MissingDependencyError

if TYPE_CHECKING:
    from adb_shell.adb_device import AdbDevice

CONNECT_TIMEOUT_S = 10.0
CONSENT_TIMEOUT_S = 30.0
# adb's own packets are at most 1 MiB (MAX_PAYLOAD); whoever announces more is not adbd.
_MAX_PACKET_BYTES = 1024 * 1024 + 1024


class TcpSocket(BaseTransport):  # type: ignore[misc]
    """A TCP connection for adb-shell. Its own one waits for acknowledged segments (44 ms a command instead of 3), sends
    what fits into the socket's buffer and forgets the rest, and takes the other side's hang-up for silence."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._socket: socket.socket | None = None

    def connect(self, transport_timeout_s: float | None) -> None:
        self._socket = socket.create_connection(self._address, timeout=transport_timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._socket.setblocking(False)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def bulk_read(self, numbytes: int, transport_timeout_s: float | None) -> bytes:
        if numbytes > _MAX_PACKET_BYTES:
            raise ConnectionError(f"a packet of {numbytes} bytes was announced")
        connection = self._open()
        readable, _, _ = select.select([connection], [], [], transport_timeout_s)
        if not readable:
            raise TimeoutError(f"silent for {transport_timeout_s} s")
        data = connection.recv(numbytes)
        if not data:
            raise ConnectionError("it hung up")
        return data

    def bulk_write(self, data: bytes, transport_timeout_s: float | None) -> int:
        connection = self._open()
        rest = memoryview(data)
        while rest:
            _, writable, _ = select.select([], [connection], [], transport_timeout_s)
            if not writable:
                raise TimeoutError(f"took nothing for {transport_timeout_s} s")
            rest = rest[connection.send(rest) :]
        return len(data)

    def _open(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionError("not connected")
        return self._socket


class AdbShellChannel:
    """See `channel.Channel`. wire: makes the carrier, anew for each connection. ask: told when the phone's owner must
    consent. A failure of any kind closes the connection, with all that runs on it."""

    def __init__(
        self,
        name: str,
        wire: Callable[[], BaseTransport],
        *,
        keys: Callable[[], Sequence[AdbKey]] = adb_keys,
        ask: Callable[[str], None] = lambda _: None,
        consent_timeout_s: float = CONSENT_TIMEOUT_S,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        self._name = name
        self._wire, self._keys, self._ask = wire, keys, ask
        self._consent_timeout_s = consent_timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._device: AdbDevice | None = None

    @classmethod
    def tcp(cls, host: str, port: int, *, ask: Callable[[str], None] = lambda _: None) -> "AdbShellChannel":
        """A phone that listens on the network (`adb tcpip PORT` was said to it once)."""
        return cls(f"tcp:{host}:{port}", lambda: TcpSocket(host, port), ask=ask)

    @classmethod
    def usb(cls, serial: str | None, *, ask: Callable[[str], None] = lambda _: None) -> "AdbShellChannel":
        """A phone on this host's USB; `serial` None takes the only one. Needs the extra `usb`."""
        return cls(f"usb:{serial}" if serial else "usb", lambda: usb_wire(serial), ask=ask)

    @property
    def name(self) -> str:
        return self._name

    @contextmanager
    def open(self, script: str, *, silence_s: float) -> Iterator[Iterator[bytes]]:
        ended = False

        def chunks() -> Iterator[bytes]:
            nonlocal ended
            with self._guarded(silence_s):
                device = self._connected()
                yield from device.streaming_shell(
                    script, decode=False, transport_timeout_s=silence_s, read_timeout_s=silence_s
                )
            ended = True

        try:
            yield chunks()
        finally:
            if not ended:
                self.close()

    def push(self, files: Sequence[tuple[Path, str]], *, silence_s: float) -> None:
        for source, destination in files:
            with self._guarded(silence_s, refusal=f"{self._name} refused the file {destination}"):
                self._connected().push(
                    str(source), destination, st_mode=0o100644, transport_timeout_s=silence_s, read_timeout_s=silence_s
                )

    def pull(self, source: str, destination: Path, *, size_bytes: int, silence_s: float) -> None:
        with destination.open("wb") as file, self._guarded(silence_s, refusal=f"{self._name} refused to give {source}"):
            self._connected().pull(
                source, _Limited(file, size_bytes), transport_timeout_s=silence_s, read_timeout_s=silence_s
            )

    def close(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            device.close()

    def _connected(self) -> "AdbDevice":
        if self._device is not None:
            return self._device
        from adb_shell.adb_device import AdbDevice
        from adb_shell.auth.sign_pythonrsa import PythonRSASigner
        from adb_shell.exceptions import AdbTimeoutError, DeviceAuthError, UsbReadFailedError

        signers = [PythonRSASigner(key.public, key.private) for key in self._keys()]
        device = AdbDevice(self._wire(), default_transport_timeout_s=self._connect_timeout_s)
        asked = False

        def ask(_: object) -> None:
            nonlocal asked
            asked = True
            self._ask(f"{self._name} asks its owner: unlock it and accept `Allow USB debugging?`")

        try:
            device.connect(
                rsa_keys=signers,
                transport_timeout_s=self._connect_timeout_s,
                auth_timeout_s=self._consent_timeout_s,
                read_timeout_s=max(self._connect_timeout_s, self._consent_timeout_s),
                auth_callback=ask,
            )
        except BaseException as error:
            device.close()
            refusals = (AdbTimeoutError, DeviceAuthError, UsbReadFailedError, TimeoutError, ConnectionError)
            if asked and isinstance(error, refusals):
                raise DeviceUnauthorizedError(unauthorized(self._name)) from error
            raise
        self._device = device
        return device

    @contextmanager
    def _guarded(self, silence_s: float, *, refusal: str = "") -> Iterator[None]:
        """Give the library's errors, which have no common base, the project's names."""
        from adb_shell import exceptions as adb

        try:
            yield
        except (adb.AdbTimeoutError, adb.TcpTimeoutException, TimeoutError) as error:
            self.close()
            raise DeviceSilentError(
                f"{self._name} was silent for {silence_s:.0f} s ({error}); check that it is on and reachable"
            ) from error
        except (adb.PushFailedError, adb.AdbCommandFailureException, KeyError) as error:
            # adb-shell looks for its own command in the phone's FAIL message and loses it (KeyError).
            self.close()
            raise DeviceError(
                f"{refusal or self._name + ' refused'}; is its storage full or the folder missing?"
            ) from error
        except (adb.UsbReadFailedError, adb.UsbWriteFailedError) as error:
            self.close()
            # What libusb itself said comes with the library's error.
            raise self._usb_failure(next((e for e in error.args if isinstance(e, Exception)), error)) from error
        except adb.InvalidCommandError as error:
            self.close()
            if "STLS" in str(error):
                raise DeviceError(
                    f"{self._name} wants an encrypted connection, as wireless debugging does: pair and connect it with"
                    " adb (adb pair, adb connect), and name it by the serial that `adb devices` lists"
                ) from error
            raise self._lost(error) from error
        except (
            adb.AdbConnectionError,
            adb.DeviceAuthError,
            adb.InvalidChecksumError,
            adb.InvalidResponseError,
            adb.UsbDeviceNotFoundError,
            OSError,
            struct.error,
            ValueError,
        ) as error:
            self.close()
            raise self._lost(error) from error
        except DeviceError:
            self.close()
            raise
        except Exception as error:
            self.close()
            # python-libusb1 is an extra, so its errors can only be told by where they come from.
            if not type(error).__module__.startswith("usb1"):
                raise
            raise self._usb_failure(error) from error

    def _lost(self, error: Exception) -> DeviceLostError:
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        return DeviceLostError(
            f"the connection to {self._name} failed: {reason}; check that the phone is on and debugging is allowed"
        )

    def _usb_failure(self, error: Exception) -> DeviceError:
        if type(error).__name__ == "USBErrorTimeout":
            return DeviceSilentError(f"{self._name} fell silent; check that it is on and its cable holds")
        if type(error).__name__ == "USBErrorBusy":
            return DeviceError(
                f"{self._name} is held by another program, most likely an adb server: name the phone by its serial"
                " alone to share it, or stop the server (adb kill-server)"
            )
        if type(error).__name__ == "USBErrorAccess":
            return DeviceError(
                f"{self._name}: this user may not open the phone's USB port;"
                " install the udev rules (Debian: apt install android-sdk-platform-tools-common)"
            )
        return DeviceLostError(f"{self._name}: USB failed ({error or type(error).__name__}); plug it in again")


class _Limited(io.BytesIO):
    """Where adb-shell writes a pulled file: into `file`, and never more than was announced."""

    def __init__(self, file: BinaryIO, size_bytes: int) -> None:
        super().__init__()
        self._file, self._left = file, size_bytes

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._left -= len(data)
        if self._left < 0:
            raise DeviceError("the device sends more of a file than it said there is")
        try:
            return self._file.write(data)
        except OSError as error:
            raise DeviceError(f"a file of the device cannot be kept on this host: {error.strerror}") from error


def usb_wire(serial: str | None) -> BaseTransport:
    """The first phone on USB, or the one of that serial. Raises MissingDependencyError, DeviceLostError."""
    try:
        from adb_shell.transport.usb_transport import UsbTransport
    except (ImportError, OSError) as error:
        raise MissingDependencyError(
            "USB without an adb server needs the extra `usb`: pip install 'pocketnas[usb]' (and libusb 1.0)"
        ) from error
    from adb_shell.exceptions import UsbDeviceNotFoundError

    try:
        return UsbTransport.find_adb(serial=serial)
    except UsbDeviceNotFoundError as error:
        which = f"the phone {serial}" if serial else "a phone"
        raise DeviceLostError(
            f"{which} was not found on USB; is debugging switched on? An adb server that runs holds every phone:"
            " name the phone by its serial alone to share it, or stop the server (adb kill-server)"
        ) from error
