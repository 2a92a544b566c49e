"""What the adb program and its server may do to us, and the way out of it in each message."""

import os
import threading
import time
from pathlib import Path

import pytest
from lookalike.fixtures import AdbServer, make_adb_key, running_adb_server
from lookalike.lookalike import Lookalike
from reaching import nothing_runs, over_program, within

from android_bench.adb.adb_program import AdbProgram, AdbProgramChannel
from android_bench.adb.phone import open_channel, open_phone
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.errors import DeviceLostError, DeviceSilentError, DeviceUnauthorizedError
from pocketnas_base.errors import DeviceError, MissingDependencyError


def reached(server: AdbServer, serial: str) -> PhoneTransport:
    return PhoneTransport(AdbProgramChannel(AdbProgram(str(server.program), server.env), serial), patience_s=2)


def end_server(server: AdbServer) -> None:
    """As `adb kill-server` of somebody else would."""
    server.adb("kill-server", check=False)


def stand_in(folder: Path, script: str) -> AdbProgram:
    """A program in adb's place."""
    program = folder / "adb"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return AdbProgram(str(program), {"PATH": os.environ["PATH"]})


# Phones that cannot be used


def test_an_unauthorized_phone_asks_for_its_owner(phone: Lookalike, tmp_path_factory: pytest.TempPathFactory) -> None:
    stranger = make_adb_key(tmp_path_factory.mktemp("key"))
    with running_adb_server(stranger, tmp_path_factory.mktemp("home")) as server:
        server.adb("connect", phone.serial, check=False)
        assert within(10, lambda: server.state(phone) == "unauthorized")
        transport = reached(server, phone.serial)
        with pytest.raises(DeviceUnauthorizedError, match=r"waits for its owner's consent: unlock it, accept"):
            transport.run(("true",), timeout_s=10)
        with pytest.raises(DeviceUnauthorizedError):
            transport.stat("/data/local/tmp")
        phone.trust(stranger.public)
        server.disconnect(phone)
        server.connect(phone)
        assert transport.run(("echo", "hello"), timeout_s=10).stdout == b"hello\n"


@pytest.mark.parametrize("serial", ["R58M123ABC", "127.0.0.1:1", "no such thing"])
def test_an_unknown_phone_is_named(shared_server: AdbServer, serial: str) -> None:
    transport = reached(shared_server, serial)
    with pytest.raises(DeviceLostError, match=f"^{serial} is not connected .*`pocketnas devices` lists what is$"):
        transport.run(("true",), timeout_s=10)


def test_an_offline_phone_is_named(phone: Lookalike, shared_server: AdbServer) -> None:
    transport = over_program(phone, shared_server, patience_s=2)
    phone.kill_adbd()
    assert within(10, lambda: shared_server.state(phone) in ("offline", ""))
    with pytest.raises(DeviceLostError, match="is not connected"):
        transport.run(("true",), timeout_s=10)
    phone.restart_adbd()
    shared_server.connect(phone)
    assert transport.run(("echo", "back"), timeout_s=10).stdout == b"back\n"


def test_a_phone_that_falls_silent_is_given_up(phone: Lookalike, shared_server: AdbServer) -> None:
    transport = over_program(phone, shared_server, patience_s=1)
    phone.pause_adbd()
    started = time.monotonic()
    with pytest.raises(DeviceSilentError, match="was silent for 2 s; check its cable or Wi-Fi"):
        transport.run(("true",), timeout_s=1)
    assert time.monotonic() - started < 6
    phone.resume_adbd()
    assert transport.run(("echo", "back"), timeout_s=10).stdout == b"back\n"


def test_a_copy_that_stands_still_is_given_up(phone: Lookalike, shared_server: AdbServer, tmp_path: Path) -> None:
    transport = over_program(phone, shared_server)
    (tmp_path / "file").write_bytes(b"x" * 10_000)
    channel = AdbProgramChannel(AdbProgram(str(shared_server.program), shared_server.env), phone.serial)
    phone.pause_adbd()
    with pytest.raises(DeviceLostError, match="was stuck during adb push; check its cable or Wi-Fi"):
        channel.push([(tmp_path / "file", "/data/local/tmp/file")], silence_s=0.5)
    phone.resume_adbd()
    transport.push(tmp_path / "file", "/data/local/tmp/file")


# Programs that cannot be used


def test_without_adb_the_message_says_what_to_install_and_what_does_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ADB", raising=False)
    with pytest.raises(MissingDependencyError, match=r"apt install adb.*\$ADB.*tcp:HOST:PORT") as caught:
        open_channel("R58M123ABC")
    assert "\n" not in str(caught.value)


def test_adb_can_be_named(monkeypatch: pytest.MonkeyPatch, shared_server: AdbServer) -> None:
    monkeypatch.setenv("ADB", str(shared_server.program))
    monkeypatch.setenv("PATH", "")
    assert AdbProgram().path == str(shared_server.program)
    assert AdbProgram(environ={"ADB": str(shared_server.program), "PATH": ""}).path == str(shared_server.program)


@pytest.mark.parametrize("kind", ["missing", "not executable", "folder"])
def test_an_adb_that_does_not_start_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "adb"
    if kind == "not executable":
        path.write_text("#!/bin/sh")
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(MissingDependencyError, match=f"the adb {path} cannot be started: it is no program"):
        AdbProgram(environ={"ADB": str(path)})


def test_an_adb_of_another_machine_is_named(tmp_path: Path) -> None:
    program = stand_in(tmp_path, "")
    Path(program.path).write_bytes(b"\x7fELF")
    with pytest.raises(DeviceError, match=program.path):
        PhoneTransport(AdbProgramChannel(program, "R58M123ABC")).run(("true",), timeout_s=5)


@pytest.mark.parametrize(
    ("script", "error", "match"),
    [
        ("exit 0", DeviceLostError, "did not say how true ended: the connection was cut off"),
        ("echo hello; exit 0", DeviceLostError, "did not say how true ended"),
        ("exit 1", DeviceLostError, "the connection to it failed .adb said nothing"),
        ("kill -SEGV $$", DeviceLostError, "the connection to it failed"),
        ("echo 'error: something new' >&2; exit 1", DeviceLostError, "error: something new"),
        ("echo 'error: device unauthorized.' >&2; exit 1", DeviceUnauthorizedError, "owner's consent"),
        ("echo 'error: device still authorizing' >&2; exit 1", DeviceUnauthorizedError, "owner's consent"),
        (
            "echo 'error: insufficient permissions for device: user in plugdev group; are your udev rules wrong?' >&2;"
            "exit 1",
            DeviceUnauthorizedError,
            "udev rules",
        ),
        (
            "echo 'error: no permissions (missing udev rules? user is in the plugdev group)' >&2; exit 1",
            DeviceUnauthorizedError,
            "udev rules",
        ),
        ("echo 'error: device offline' >&2; exit 1", DeviceLostError, "not connected .error: device offline"),
        ("echo \"error: device 'x' not found\" >&2; exit 1", DeviceLostError, "not connected"),
        ("echo 'error: closed' >&2; exit 1", DeviceLostError, "not connected"),
        ("head -c 3000000 /dev/zero | tr '\\0' e >&2; exit 1", DeviceLostError, "the connection to it failed"),
        ("cat /dev/zero", DeviceError, "answered true with more than was asked for"),
    ],
)  # fmt: skip
def test_whatever_adb_says_is_one_clear_line(tmp_path: Path, script: str, error: type[Exception], match: str) -> None:
    transport = PhoneTransport(AdbProgramChannel(stand_in(tmp_path, script), "R58M"), patience_s=2)
    with pytest.raises(error, match=match) as caught:
        transport.run(("true",), timeout_s=5)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("R58M")
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ("adb: error: failed to copy 'a' to 'b': couldn't create file: Read-only file system", "refused: .*Read-only"),
        ("adb: error: failed to copy 'a' to 'b': remote No space left on device", "refused: .*No space left"),
        ("adb: error: failed to read copy response: EOF", "adb push failed .adb: error: failed to read"),
    ],
)  # fmt: skip
def test_a_refused_copy_gives_adbs_reason(tmp_path: Path, said: str, match: str) -> None:
    channel = AdbProgramChannel(stand_in(tmp_path, f'echo "{said}"; exit 1'), "R58M")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(DeviceError, match=match):
        channel.push([(tmp_path / "file", "/data/local/tmp/file")], silence_s=5)


def test_a_pull_that_brings_more_than_there_is_is_stopped(tmp_path: Path) -> None:
    script = 'for word; do last=$word; done; head -c 100000 /dev/zero >"$last"; sleep 60'
    channel = AdbProgramChannel(stand_in(tmp_path, script), "R58M")
    started = time.monotonic()
    with pytest.raises(DeviceError, match="R58M sends more of /data/x than it said there is"):
        channel.pull("/data/x", tmp_path / "x", size_bytes=99_999, silence_s=30)
    assert time.monotonic() - started < 5


# A server that dies


def test_a_server_that_dies_in_between_is_started_anew(phone: Lookalike, adb_server: AdbServer) -> None:
    transport = over_program(phone, adb_server, patience_s=2)
    assert transport.run(("true",), timeout_s=10).exit_status == 0
    end_server(adb_server)
    try:
        with pytest.raises(DeviceLostError, match=r"is not connected|the connection to it failed"):
            transport.run(("true",), timeout_s=10)
        adb_server.connect(phone)
        assert transport.run(("echo", "back"), timeout_s=10).stdout == b"back\n"
    finally:
        end_server(adb_server)  # the second one is nobody's child


def test_a_server_that_dies_while_a_program_runs_ends_it(phone: Lookalike, adb_server: AdbServer) -> None:
    transport = over_program(phone, adb_server, patience_s=1)
    threading.Thread(
        target=lambda: (
            within(10, lambda: any("sleep" in process.argv for process in phone.processes())),
            end_server(adb_server),
        )
    ).start()
    try:
        with pytest.raises(DeviceLostError) as caught:
            transport.run(("sleep", "60"), timeout_s=30)
        assert "\n" not in str(caught.value)
        assert nothing_runs(phone)
    finally:
        end_server(adb_server)


def test_the_list_of_devices_is_adbs(phone: Lookalike, shared_server: AdbServer) -> None:
    shared_server.connect(phone)
    listed = AdbProgram(str(shared_server.program), shared_server.env).devices()
    assert f"{phone.serial}" in listed


def test_a_list_of_devices_that_does_not_come_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="adb devices failed: why"):
        stand_in(tmp_path, "echo why >&2; exit 1").devices()
    with pytest.raises(DeviceLostError, match="adb devices did not end within 0 s"):
        stand_in(tmp_path, "exec sleep 60").call("devices", timeout_s=0.3)


def test_a_phone_is_opened_by_its_serial(
    phone: Lookalike, shared_server: AdbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared_server.connect(phone)
    for name, value in shared_server.env.items():
        monkeypatch.setenv(name, value)
    device = open_phone(phone.serial)
    assert (device.id, device.info.abi) == (phone.serial, "x86_64")
    assert device.info.model == "PocketNAS Lookalike"
    assert device.info.os_version == "Android 14"
    assert device.transport.run(("echo", "hello"), timeout_s=10).stdout == b"hello\n"
