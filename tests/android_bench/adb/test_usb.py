"""Phones on this host's USB without an adb server. libusb is a stand-in here; behind it is a real adbd."""

import socket
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lookalike.fixtures import AdbKey
from lookalike.lookalike import Lookalike

from android_bench.adb.adb_shell_channel import AdbShellChannel, usb_wire
from android_bench.adb.keys import adb_keys
from android_bench.adb.phone import open_channel
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.errors import DeviceLostError, DeviceSilentError, DeviceUnauthorizedError
from pocketnas_base.errors import DeviceError, MeasurementError, MissingDependencyError

SERIAL = "LOOKALIKE1"
ERRORS = ("Busy", "Access", "NoDevice", "NotFound", "Timeout", "IO", "Pipe")


class Bus:
    """What is plugged in: one phone, whose cable is a TCP connection. trouble: the error that opening, claiming or
    reading raises."""

    def __init__(self, phone: Lookalike) -> None:
        self.phone = phone
        self.plugged_in = True
        self.trouble: dict[str, str] = {}
        self.module = self._module()

    def check(self, step: str) -> None:
        if step in self.trouble:
            raise getattr(self.module, f"USBError{self.trouble[step]}")

    def _module(self) -> types.ModuleType:
        bus = self
        usb1 = types.ModuleType("usb1")

        class USBError(Exception):
            def __str__(self) -> str:
                return f"LIBUSB_ERROR_{type(self).__name__.removeprefix('USBError').upper()} [-1]"

        usb1.USBError = USBError  # type: ignore[attr-defined]
        for name in ERRORS:
            made = type(f"USBError{name}", (USBError,), {"__module__": "usb1"})
            setattr(usb1, f"USBError{name}", made)

        class Endpoint:
            def __init__(self, address: int) -> None:
                self.getAddress = lambda: address

        class Setting:
            def getClass(self) -> int:  # noqa: N802
                return 0xFF

            def getSubClass(self) -> int:  # noqa: N802
                return 0x42

            def getProtocol(self) -> int:  # noqa: N802
                return 1

            def getNumber(self) -> int:  # noqa: N802
                return 0

            def iterEndpoints(self) -> Iterator[Endpoint]:  # noqa: N802
                yield from (Endpoint(0x81), Endpoint(0x01))

        class Handle:
            def __init__(self) -> None:
                self.cable = socket.create_connection((bus.phone.host, bus.phone.port))

            def kernelDriverActive(self, _: int) -> bool:  # noqa: N802
                return False

            def claimInterface(self, _: int) -> None:  # noqa: N802
                bus.check("claim")

            def releaseInterface(self, _: int) -> None:  # noqa: N802
                bus.check("release")

            def close(self) -> None:
                self.cable.close()

            def bulkWrite(self, _: int, data: bytes, timeout: int) -> int:  # noqa: N802
                bus.check("write")
                self.cable.settimeout(timeout / 1000)
                self.cable.sendall(data)
                return len(data)

            def bulkRead(self, _: int, length: int, timeout: int) -> bytes:  # noqa: N802
                bus.check("read")
                self.cable.settimeout(timeout / 1000)
                try:
                    data = self.cable.recv(length)
                except TimeoutError:
                    raise usb1.USBErrorTimeout from None  # type: ignore[attr-defined]
                if not data:
                    raise usb1.USBErrorNoDevice  # type: ignore[attr-defined]
                return data

        class Device:
            def iterSettings(self) -> Iterator[Setting]:  # noqa: N802
                yield Setting()

            def getSerialNumber(self) -> str:  # noqa: N802
                bus.check("look")
                return SERIAL

            def open(self) -> Handle:
                bus.check("open")
                return Handle()

        class USBContext:
            def open(self) -> None: ...

            def getDeviceIterator(self, skip_on_error: bool) -> Iterator[Device]:  # noqa: ARG002, N802
                if bus.plugged_in:
                    yield Device()

        usb1.CLASS_VENDOR_SPEC = 0xFF  # type: ignore[attr-defined]
        usb1.ENDPOINT_DIR_MASK = 0x80  # type: ignore[attr-defined]
        usb1.USBContext = USBContext  # type: ignore[attr-defined]
        return usb1


@pytest.fixture
def bus(shared_phone: Lookalike, monkeypatch: pytest.MonkeyPatch) -> Bus:
    bus = Bus(shared_phone)
    monkeypatch.setitem(sys.modules, "usb1", bus.module)
    monkeypatch.delitem(sys.modules, "adb_shell.transport.usb_transport", raising=False)
    return bus


@pytest.fixture
def plug(bus: Bus, adb_key: AdbKey, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., PhoneTransport]]:
    """Makes the transport of a `usb` name."""
    monkeypatch.setenv("ADB_VENDOR_KEYS", str(adb_key.private))
    monkeypatch.setenv("ANDROID_USER_HOME", str(adb_key.private.parent / "nobody"))
    made: list[PhoneTransport] = []

    def make(name: str = "usb", **how: float) -> PhoneTransport:
        made.append(PhoneTransport(open_channel(name), **how))
        return made[-1]

    yield make
    bus.trouble.clear()
    for transport in made:
        transport.close()


@pytest.mark.parametrize("name", ["usb", f"usb:{SERIAL}"])
def test_a_phone_on_usb_is_a_phone(plug: Callable[..., PhoneTransport], name: str, tmp_path: Path) -> None:
    transport = plug(name)
    assert transport.name == name
    done = transport.run(("sh", "-c", "echo out; echo err >&2; exit 7"), timeout_s=10)
    assert (done.exit_status, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    (tmp_path / "file").write_bytes(bytes(range(256)) * 1000)
    transport.push(tmp_path / "file", "/data/local/tmp/usb-file")
    transport.pull("/data/local/tmp/usb-file", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "file").read_bytes()
    with transport.stream(("seq", "1", "1000"), silence_s=10, max_line_bytes=10) as lines:
        assert len(list(lines)) == 1000
        assert lines.wait().exit_status == 0


@pytest.mark.parametrize("name", ["usb", "usb:R58M123ABC"])
def test_without_the_extra_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, "usb1", None)
    monkeypatch.delitem(sys.modules, "adb_shell.transport.usb_transport", raising=False)
    monkeypatch.setattr("android_bench.adb.adb_shell_channel.adb_keys", list)
    transport = PhoneTransport(AdbShellChannel.usb(name[4:] or None))
    with pytest.raises(MissingDependencyError, match=r"the extra `usb`: pip install 'pocketnas\[usb\]'"):
        transport.run(("true",), timeout_s=5)


def test_a_libusb_that_does_not_load_is_a_missing_dependency(
    bus: Bus, plug: Callable[..., PhoneTransport], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OSError("libusb-1.0.so.0: cannot open shared object file")

    monkeypatch.setattr(bus.module, "USBContext", fail)
    with pytest.raises(MissingDependencyError, match=r"libusb 1\.0"):
        plug().run(("true",), timeout_s=5)


@pytest.mark.parametrize(
    ("step", "trouble", "match"),
    [
        ("claim", "Busy", "held by another program, most likely an adb server: .*adb kill-server"),
        ("open", "Busy", "held by another program"),
        ("open", "Access", "may not open the phone's USB port; install the udev rules"),
        ("look", "Access", "may not open the phone's USB port"),
        ("open", "NoDevice", "USB failed .LIBUSB_ERROR_NODEVICE.*plug it in again"),
        ("claim", "NotFound", "USB failed .*plug it in again"),
        ("write", "IO", "USB failed .LIBUSB_ERROR_IO.*plug it in again"),
        ("read", "Pipe", "USB failed .*plug it in again"),
    ],
)
def test_whatever_libusb_says_is_one_clear_line(
    bus: Bus, plug: Callable[..., PhoneTransport], step: str, trouble: str, match: str
) -> None:
    transport = plug(f"usb:{SERIAL}", patience_s=1)
    bus.trouble[step] = trouble
    with pytest.raises(DeviceError, match=match) as caught:
        transport.run(("true",), timeout_s=5)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"usb:{SERIAL}")
    assert isinstance(caught.value, DeviceLostError) == (trouble not in ("Busy", "Access"))
    bus.trouble.clear()
    assert transport.run(("echo", "back"), timeout_s=5).stdout == b"back\n"


def test_a_phone_that_is_not_plugged_in_is_named(bus: Bus, plug: Callable[..., PhoneTransport]) -> None:
    with pytest.raises(DeviceLostError, match=r"the phone R58M was not found on USB; .*debugging.*adb kill-server"):
        plug("usb:R58M").run(("true",), timeout_s=5)
    bus.plugged_in = False
    with pytest.raises(DeviceLostError, match=r"a phone was not found on USB"):
        plug("usb").run(("true",), timeout_s=5)


def test_a_cable_that_is_pulled_loses_the_phone(bus: Bus, plug: Callable[..., PhoneTransport]) -> None:
    transport = plug(patience_s=1)
    with pytest.raises(DeviceLostError, match="plug it in again") as caught:
        read_until_pulled(transport, bus)
    assert not isinstance(caught.value, DeviceSilentError)
    bus.trouble.clear()
    assert transport.run(("echo", "back"), timeout_s=5).stdout == b"back\n"


def read_until_pulled(transport: PhoneTransport, bus: Bus) -> None:
    with transport.stream(("sh", "-c", "echo a; sleep 1; echo b"), silence_s=5, max_line_bytes=10) as lines:
        for _ in lines:
            bus.trouble["read"] = "NoDevice"


@pytest.mark.usefixtures("bus")
def test_a_phone_whose_owner_has_not_consented_is_told_from_a_silent_one(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    asked: list[str] = []
    channel = AdbShellChannel(
        "usb", lambda: usb_wire(None), keys=lambda: adb_keys(environ), ask=asked.append, consent_timeout_s=0.5
    )
    with pytest.raises(DeviceUnauthorizedError, match="usb waits for its owner's consent"):
        PhoneTransport(channel).run(("true",), timeout_s=5)
    assert len(asked) == 1


def test_a_program_that_is_silent_is_told_from_a_phone_that_is(plug: Callable[..., PhoneTransport]) -> None:
    transport = plug(patience_s=1)
    with (
        pytest.raises(MeasurementError, match="sleep was silent for 1 s and was stopped"),
        transport.stream(("sleep", "60"), silence_s=1, max_line_bytes=10) as lines,
    ):
        list(lines)
