"""Everything that can be seen: phones in every state, side by side, and what to do about each."""

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from lookalike.fixtures import AdbServer
from lookalike.lookalike import Lookalike
from lookalike.ports import free_port

from android_bench import inventory
from android_bench.adb.advice import advice, is_network_serial
from android_bench.adb.greeting import TOOLS, greet
from android_bench.adb.lock import PhoneLock
from android_bench.adb.phone import open_channel, transport_kind
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.errors import DamagedTransferError, DeviceLostError, DeviceSilentError, MarkerMissingError
from android_bench.inventory import SeenDevice, take_inventory
from android_bench.parsers.adb_devices import AdbDevice
from pocketnas_base.errors import DeviceError, InputError

StartPhone = Callable[..., Lookalike]
OLD = {"ro.build.version.sdk": "25", "ro.build.version.release": "7.1"}


@pytest.fixture
def server(adb_server: AdbServer, monkeypatch: pytest.MonkeyPatch) -> AdbServer:
    """An adb server that this process talks to."""
    for name, value in adb_server.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ADB", str(adb_server.program))
    return adb_server


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "PATIENCE_S", 1.0)


def by_id(names: dict[str, str] | None = None) -> dict[str, SeenDevice]:
    return {device.id: device for device in take_inventory(names or {}).devices}


@pytest.mark.usefixtures("impatient")
def test_phones_in_every_state_are_listed_side_by_side(server: AdbServer, start_phone: StartPhone) -> None:
    fit, busy, silent, gone, stranger = (start_phone(keys=[]) if n == 4 else start_phone() for n in range(5))
    old, wrong_abi = start_phone(properties=OLD), start_phone(properties={"ro.product.cpu.abilist": "armeabi-v7a"})
    for phone in (fit, busy, silent, gone, old, wrong_abi):
        server.connect(phone)
    server.adb("connect", stranger.serial, check=False)
    held = PhoneTransport(open_channel(busy.serial))
    PhoneLock(held, busy.serial, holder="anna@desk").take(lease_s=600)
    silent.pause_adbd()
    gone.kill_adbd()
    until(lambda: server.state(gone) != "device")

    began = time.monotonic()
    seen = by_id()
    assert time.monotonic() - began < 6, "one that does not answer holds up the list"

    assert next(iter(seen)) == "local"
    assert seen["local"].is_ready
    told = seen[fit.serial]
    assert (told.state, told.advice, told.transport, told.name) == ("ready", "", "adb-network", None)
    assert (told.model, told.soc) == ("PocketNAS Lookalike", "PocketNAS LK1")
    assert (told.os_version, told.abi) == ("Android 14", "x86_64")
    assert seen[busy.serial].state == "busy"
    assert "anna@desk measures on it, for at most " in seen[busy.serial].advice
    assert f"pocketnas doctor -d {busy.serial} --unlock" in seen[busy.serial].advice
    assert seen[busy.serial].model == "PocketNAS Lookalike"
    assert seen[silent.serial].state == "unreachable"
    assert "was silent for 1 s; check its cable or Wi-Fi" in seen[silent.serial].advice
    assert seen[gone.serial].state == "offline"
    assert f"adb connect {gone.serial}" in seen[gone.serial].advice
    assert seen[stranger.serial].state == "unauthorized"
    assert "accept `Allow USB debugging?`" in seen[stranger.serial].advice
    assert seen[stranger.serial].model is None
    assert seen[old.serial].state == seen[wrong_abi.serial].state == "unsupported"
    assert "runs Android 7.1; Android 8 or newer is needed" in seen[old.serial].advice
    assert "runs programs for armeabi-v7a" in seen[wrong_abi.serial].advice
    assert seen[wrong_abi.serial].abi == "armeabi-v7a"
    silent.resume_adbd()


@pytest.mark.usefixtures("impatient")
def test_names_of_the_users_own_are_looked_up(server: AdbServer, start_phone: StartPhone) -> None:
    phone, stranger = start_phone(), start_phone(keys=[])
    server.connect(phone)
    dead = free_port()
    names = {
        "cable": phone.serial,
        "wifi": f"tcp:127.0.0.1:{phone.port}",
        "stranger": f"tcp:127.0.0.1:{stranger.port}",
        "dead": f"tcp:127.0.0.1:{dead}",
        "drawer": "R58M12ABCDE",
        "desk": "local",
    }
    seen = {device.name: device for device in take_inventory(names).devices}
    assert len(seen) == len(names)
    assert (seen["desk"].id, seen["desk"].state) == ("local", "ready")
    assert (seen["cable"].transport, seen["cable"].state) == ("adb-network", "ready")
    assert (seen["wifi"].transport, seen["wifi"].state, seen["wifi"].model) == ("tcp", "ready", seen["cable"].model)
    assert seen["stranger"].state == "unauthorized"
    assert "waits for its owner's consent" in seen["stranger"].advice
    assert seen["dead"].state == "unreachable"
    assert "Connection refused" in seen["dead"].advice
    assert (seen["drawer"].transport, seen["drawer"].state) == ("adb-usb", "not connected")
    assert "adb knows no such phone" in seen["drawer"].advice


@pytest.mark.usefixtures("impatient")
def test_a_port_where_nobody_speaks_adb_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        name = f"tcp:127.0.0.1:{listener.getsockname()[1]}"
        seen = by_id({"mute": name})[name]
    assert seen.state == "unreachable"
    assert "silent" in seen.advice


def test_without_an_adb_program_this_machine_is_listed_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADB", raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    found = take_inventory({"drawer": "R58M12ABCDE"})
    assert found.adb_problem is not None
    assert found.adb_problem.startswith("the program adb was not found; install it (Debian: apt install adb)")
    local, drawer = found.devices
    assert (local.id, local.state) == ("local", "ready")
    assert (drawer.state, drawer.advice) == ("not connected", found.adb_problem)


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo 'cannot bind to 127.0.0.1:5037: Address already in use' >&2; exit 1", "Address already in use"),
        ("echo 'error: protocol fault \033[31m(no status)' >&2; exit 1", "error: protocol fault \ufffd[31m(no status)"),
        ("echo garbage", "no line says 'List of devices attached'"),
        ("printf '\\377\\376\\n'", "no line says"),
    ],
)
def test_trouble_with_the_adb_server_is_told_in_one_line(
    script: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adb = tmp_path / "adb"
    adb.write_text(f"#!/bin/sh\n{script}\n")
    adb.chmod(0o755)
    monkeypatch.setenv("ADB", str(adb))
    found = take_inventory({})
    assert [device.id for device in found.devices] == ["local"]
    assert found.adb_problem is not None
    assert problem in found.adb_problem
    assert found.adb_problem.isprintable()


@pytest.mark.parametrize("serial", ["????????????", "(no serial number)", "-rf", "[fe80::1%wlan0]:5555"])
@pytest.mark.parametrize("state", ["device", "no permissions; see [http://developer.android.com/tools/device.html]"])
def test_a_phone_of_any_serial_is_listed(
    serial: str, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adb = tmp_path / "adb"
    adb.write_text(
        f"#!/bin/sh\n[ $1 = devices ] || exit 1\necho 'List of devices attached\n{serial}  {state} usb:1-1'\n"
    )
    adb.chmod(0o755)
    monkeypatch.setenv("ADB", str(adb))
    _, phone = take_inventory({}).devices
    assert phone.id == serial
    assert not phone.is_ready
    assert phone.advice


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("unauthorized", "unlock it and accept `Allow USB debugging?` with `Always allow`"),
        ("authorizing", "wait a few seconds"),
        ("connecting", "wait a few seconds"),
        ("offline", "plug it in again, or: adb reconnect offline"),
        ("no permissions", "android-sdk-platform-tools-common"),
        ("recovery", "in its recovery, not in Android: adb -s R58M reboot"),
        ("sideload", "adb -s R58M reboot"),
        ("rescue", "adb -s R58M reboot"),
        ("bootloader", "fastboot reboot"),
        ("host", "adb calls it 'host'"),
        ("detached", "adb kill-server"),
    ],
)
def test_every_state_of_adb_comes_with_what_to_do(state: str, words: str) -> None:
    told = advice(AdbDevice("R58M", state, None, None, None, None, note="user in plugdev group"))
    assert words in told
    assert len(told.splitlines()) == 1
    assert ("user in plugdev group" in told) == (state == "no permissions")


def test_a_ready_phone_needs_no_advice() -> None:
    assert advice(AdbDevice("R58M", "device", None, None, None, None)) == ""


@pytest.mark.parametrize(
    ("serial", "over_network"),
    [
        ("R58M12ABCDE", False),
        ("0123456789ABCDEF", False),
        ("192.168.1.20:41234", True),
        ("[fe80::1%wlan0]:5555", True),
        ("adb-R58M12ABCDE-xYz12a._adb-tls-connect._tcp", True),
        ("adb-R58M12ABCDE-xYz12a (2)._adb-tls-connect._tcp.", True),
        ("emulator-5554", True),
    ],
)
def test_serials_tell_how_adb_reaches_a_phone(serial: str, over_network: bool) -> None:
    assert is_network_serial(serial) == over_network
    assert transport_kind(serial) == ("adb-network" if over_network else "adb-usb")


@pytest.mark.parametrize(
    "name", ["", "-x", "tcp:", "tcp:host", "tcp:host:0", "tcp:host:70000", "a;b", "$(reboot)", "a/b"]
)
def test_what_is_no_name_of_a_device_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"is no (device|address)"):
        transport_kind(name)


class SaidOnly:
    """A channel on which something else than a phone speaks: what it answers is made from the script's own mark."""

    name = "R58M"

    def __init__(self, answer: Callable[[bytes], Sequence[bytes]]) -> None:
        self._answer = answer

    @contextmanager
    def open(self, script: str, *, silence_s: float) -> Iterator[Iterator[bytes]]:
        assert silence_s > 0
        first, second = script.split("echo ")[1].split(";")[0].split("''")
        yield iter(self._answer(f"{first}{second}\n".encode()))

    def push(self, files: Sequence[tuple[Path, str]], *, silence_s: float) -> None:
        raise NotImplementedError

    def pull(self, source: str, destination: Path, *, size_bytes: int, silence_s: float) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is held."""


PROPERTIES = b"[ro.product.model]: [Old One]\n[ro.build.version.sdk]: [26]\n"


def test_missing_tools_are_named_before_anything_depends_on_them() -> None:
    found = greet(SaidOnly(lambda mark: [PROPERTIES + mark + b"sha256sum\nflock\n" + mark]))
    assert found.missing_tools == ("flock", "sha256sum")
    assert found.identity.model == "Old One"
    complete = greet(SaidOnly(lambda mark: [PROPERTIES.replace(b"\n", b"\r\n"), mark.replace(b"\n", b"\r\n"), mark]))
    assert complete.missing_tools == ()
    assert set(found.missing_tools) < set(TOOLS)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda _: [b""], MarkerMissingError),
        (lambda _: [PROPERTIES], MarkerMissingError),
        (lambda mark: [PROPERTIES, mark], MarkerMissingError),
        (lambda mark: [PROPERTIES, mark, mark, mark], MarkerMissingError),
        (lambda mark: [mark, mark], DeviceError),
        (lambda mark: [b"no properties", mark, mark], DeviceError),
        (lambda _: [b"x" * 2_000_000], DamagedTransferError),
    ],
    ids=["nothing", "no marks", "one mark", "three marks", "no getprop", "noise", "no end"],
)
def test_what_is_no_greeting_is_an_error_of_the_device(
    answer: Callable[[bytes], Sequence[bytes]], error: type[DeviceError]
) -> None:
    with pytest.raises(error) as caught:
        greet(SaidOnly(answer))
    assert len(str(caught.value).splitlines()) == 1


def test_who_never_comes_to_an_end_is_not_waited_for() -> None:
    def trickle() -> Iterator[bytes]:
        while True:
            time.sleep(0.05)
            yield b"["

    began = time.monotonic()
    with pytest.raises(DeviceSilentError, match="took longer than"):
        greet(SaidOnly(lambda _: trickle()), within_s=0.3)  # type: ignore[arg-type, return-value]
    assert time.monotonic() - began < 2


def test_a_connection_that_breaks_is_told_as_such(server: AdbServer, start_phone: StartPhone) -> None:
    phone = start_phone()
    server.connect(phone)
    server.disconnect(phone)
    with pytest.raises(DeviceLostError, match="is not connected"):
        greet(open_channel(phone.serial))


def until(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
