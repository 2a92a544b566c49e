"""What may answer on a phone's port instead of its adbd, or not at all."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lookalike.fixtures import AdbKey
from lookalike.lookalike import Lookalike
from lookalike.ports import free_port
from reaching import over_tcp, tcp_channel

from android_bench.adb.adb_shell_channel import AdbShellChannel, TcpSocket
from android_bench.adb.keys import adb_keys
from android_bench.adb.phone import open_channel, parse_address, transport_kind
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.errors import DeviceLostError, DeviceSilentError
from pocketnas_base.errors import DeviceError, InputError


def message(command: bytes, payload: bytes = b"", first: int = 0x01000001, second: int = 1024 * 1024) -> bytes:
    """One message of adb's protocol (AOSP: packages/modules/adb/protocol.txt)."""
    number = struct.unpack("<I", command)[0]
    return struct.pack("<6I", number, first, second, len(payload), sum(payload), number ^ 0xFFFFFFFF) + payload


@contextlib.contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a peer that answers each connection in its own way."""
    with socket.create_server(("127.0.0.1", free_port())) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError):
                        answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=5)


def stranger(port: int, key: AdbKey) -> PhoneTransport:
    environ = {"HOME": str(key.private.parent), "ADB_VENDOR_KEYS": str(key.private)}
    channel = AdbShellChannel(
        f"tcp:127.0.0.1:{port}",
        lambda: TcpSocket("127.0.0.1", port),
        keys=lambda: adb_keys(environ),
        connect_timeout_s=0.5,
        consent_timeout_s=0.5,
    )
    return PhoneTransport(channel, patience_s=0.5)


def says(*parts: bytes, then_s: float = 0.0) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        for part in parts:
            connection.sendall(part)
        time.sleep(then_s)

    return answer


@pytest.mark.parametrize(
    ("answer", "error", "match"),
    [
        (says(then_s=1.0), DeviceSilentError, "was silent"),
        (says(), DeviceLostError, "it hung up|reset by peer"),
        (says(message(b"STLS"), then_s=0.3), DeviceError, "wants an encrypted connection.*adb pair, adb connect"),
        (says(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4), DeviceLostError, "the connection to .* failed"),
        (says(b"SSH-2.0-OpenSSH_9.2\r\n"), DeviceLostError, "the connection to .* failed"),
        (says(bytes(200)), DeviceLostError, "the connection to .* failed"),
        (says(message(b"CNXN", b"device::")[:20]), DeviceLostError, "it hung up|reset by peer"),
        (says(message(b"CNXN")[:12] + struct.pack("<3I", 2**31, 0, 0)), DeviceLostError, "2147483648 bytes"),
        (says(message(b"CNXN", b"device::\0")), DeviceLostError, "it hung up|reset by peer|Broken pipe"),
        (says(message(b"AUTH", b"x" * 5, 1, 0)), DeviceLostError, "the connection to .* failed|owner's consent"),
    ],
)  # fmt: skip
def test_whatever_answers_instead_of_a_phone_is_one_clear_line(
    adb_key: AdbKey, answer: Callable[[socket.socket], None], error: type[Exception], match: str
) -> None:
    with answering(answer) as port:
        transport = stranger(port, adb_key)
        started = time.monotonic()
        with pytest.raises(error, match=match) as caught:
            transport.run(("true",), timeout_s=0.5)
        assert time.monotonic() - started < 5
        assert "\n" not in str(caught.value)
        assert f"tcp:127.0.0.1:{port}" in str(caught.value)
        assert len(str(caught.value)) < 500


def test_a_port_where_nobody_listens_is_named(adb_key: AdbKey) -> None:
    port = free_port()
    with pytest.raises(DeviceLostError, match=f"the connection to tcp:127.0.0.1:{port} failed: .*refused"):
        stranger(port, adb_key).run(("true",), timeout_s=5)


def test_a_host_that_does_not_exist_is_named() -> None:
    channel = AdbShellChannel(
        "tcp:no-such-host.invalid:5555", lambda: TcpSocket("no-such-host.invalid", 5555), keys=list
    )
    with pytest.raises(DeviceLostError, match=r"the connection to tcp:no-such-host\.invalid:5555 failed"):
        PhoneTransport(channel).run(("true",), timeout_s=5)


def test_a_phone_that_goes_away_is_lost_and_found_again(phone: Lookalike, adb_key: AdbKey) -> None:
    transport = over_tcp(phone, adb_key, patience_s=1)
    assert transport.run(("true",), timeout_s=5).exit_status == 0
    phone.kill_adbd()
    for _ in range(2):
        with pytest.raises(DeviceLostError) as caught:
            transport.run(("true",), timeout_s=5)
        assert not isinstance(caught.value, DeviceSilentError)
    phone.restart_adbd()
    assert transport.run(("echo", "back"), timeout_s=5).stdout == b"back\n"
    phone.power_off()
    with pytest.raises(DeviceLostError):
        transport.run(("true",), timeout_s=5)
    phone.power_on()
    assert transport.run(("echo", "back"), timeout_s=5).stdout == b"back\n"
    transport.close()


def test_a_phone_that_falls_silent_is_given_up_and_found_again(
    phone: Lookalike, adb_key: AdbKey, tmp_path: Path
) -> None:
    channel = tcp_channel(phone, adb_key, connect_timeout_s=0.5)
    transport = PhoneTransport(channel, patience_s=0.5)
    (tmp_path / "file").write_bytes(b"x" * 8_000_000)
    transport.push(tmp_path / "file", "/data/local/tmp/file")
    for work in (
        lambda: transport.run(("true",), timeout_s=0.5),
        lambda: channel.push([(tmp_path / "file", "/data/local/tmp/other")], silence_s=0.5),
        lambda: channel.pull("/data/local/tmp/file", tmp_path / "back", size_bytes=8_000_000, silence_s=0.5),
    ):
        phone.pause_adbd()
        started = time.monotonic()
        with pytest.raises(DeviceSilentError, match=r"was silent for \d s .*check that it is on and reachable"):
            work()
        assert time.monotonic() - started < 15
        phone.resume_adbd()
        assert transport.run(("echo", "back"), timeout_s=5).stdout == b"back\n"
    transport.close()


def test_a_pull_that_brings_more_than_there_is_is_stopped(
    shared_phone: Lookalike, adb_key: AdbKey, tmp_path: Path
) -> None:
    channel = tcp_channel(shared_phone, adb_key)
    shared_phone.path("/data/local/tmp/long").write_bytes(b"x" * 200_000)
    with pytest.raises(DeviceError, match="more of a file than it said there is"):
        channel.pull("/data/local/tmp/long", tmp_path / "long", size_bytes=199_999, silence_s=5)
    channel.pull("/data/local/tmp/long", tmp_path / "long", size_bytes=200_000, silence_s=5)
    assert (tmp_path / "long").stat().st_size == 200_000
    channel.close()


def test_a_copy_that_is_refused_is_no_lost_connection(shared_phone: Lookalike, adb_key: AdbKey, tmp_path: Path) -> None:
    channel = tcp_channel(shared_phone, adb_key)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(DeviceError, match="is its storage full or the folder missing") as caught:
        channel.push([(tmp_path / "file", "/system/file")], silence_s=2)
    assert not isinstance(caught.value, DeviceLostError)
    with pytest.raises(DeviceError, match="refused to give /data/nothing") as caught:
        channel.pull("/data/nothing", tmp_path / "back", size_bytes=1, silence_s=2)
    assert not isinstance(caught.value, DeviceLostError)
    channel.close()


# Names


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("tcp:192.168.1.20:5555", ("192.168.1.20", 5555)),
        ("tcp:phone.local:1", ("phone.local", 1)),
        ("tcp:phone_2-a:65535", ("phone_2-a", 65535)),
        ("tcp:[::1]:5555", ("::1", 5555)),
        ("tcp:[fe80::1%wlan0]:5555", ("fe80::1%wlan0", 5555)),
    ],
)
def test_an_address_is_a_host_and_a_port(name: str, address: tuple[str, int]) -> None:
    assert parse_address(name) == address


@pytest.mark.parametrize(
    "name",
    [
        "tcp:",
        "tcp:host",
        "tcp:host:",
        "tcp::5555",
        "tcp:host:0",
        "tcp:host:65536",
        "tcp:host:99999999999",
        "tcp:host:-1",
        "tcp:host:5555 ",
        "tcp:host:\N{ARABIC-INDIC DIGIT FIVE}",
        "tcp:::1:5555",
        "tcp:[]:5555",
        "tcp:a b:5555",
        "tcp:host:5555:5555",
        "tcp:host:5555\n",
    ],
)
def test_what_is_no_address_is_refused_with_an_example(name: str) -> None:
    with pytest.raises(InputError, match=r"is no address: give tcp:HOST:PORT, such as tcp:192\.168\.1\.20:5555"):
        open_channel(name)


@pytest.mark.parametrize(
    "name", ["", " ", "-s", "--help", "a;b", "$(id)", "a\nb", "a'b", "x" * 300, "größe", "a/b", "local;rm"]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="is no device: give an adb serial, tcp:HOST:PORT, usb:SERIAL, or local"):
        open_channel(name)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("R58M123ABC", "adb-usb"),
        ("192.168.1.20:5555", "adb-network"),
        ("adb-R58M-abc._adb-tls-connect._tcp", "adb-network"),
        ("tcp:192.168.1.20:5555", "tcp"),
        ("usb", "usb"),
        ("usb:R58M123ABC", "usb"),
    ],
)
def test_a_name_says_how_the_phone_is_reached(name: str, kind: str) -> None:
    assert transport_kind(name) == kind
