"""Nothing that was started on a phone outlives its reader, however that ends; seen from the host's side."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lookalike.fixtures import AdbKey, AdbServer
from lookalike.lookalike import Lookalike
from reaching import Reach, is_clean, nothing_runs, over_program, over_tcp, within

from android_bench.adb import supervisor
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.errors import DeviceLostError, MarkerMissingError
from pocketnas_base.errors import DeviceError

# A program with a child, a pipeline, and two children with sessions of their own, one of which holds the output.
BROOD = "sleep 61 & sleep 62 | cat & setsid sleep 63 & setsid sleep 64 </dev/null >/dev/null 2>&1 & echo started; wait"


def read_all(transport: PhoneTransport) -> list[bytes]:
    with transport.stream(("sh", "-c", BROOD), silence_s=60, max_line_bytes=100) as lines:
        return list(lines)


def sleepers(phone: Lookalike) -> int:
    return sum("sleep" in process.argv for process in phone.processes())


def test_a_time_out_leaves_no_process_and_no_file(shared_phone: Lookalike, transport: PhoneTransport) -> None:
    with pytest.raises(DeviceError, match="took longer than 1 s"):
        transport.run(("sh", "-c", BROOD), timeout_s=1)
    assert nothing_runs(shared_phone)
    assert is_clean(shared_phone)


def test_a_program_that_ignores_every_signal_is_stopped_too(shared_phone: Lookalike, transport: PhoneTransport) -> None:
    stubborn = "trap '' HUP INT TERM QUIT PIPE; while true; do sleep 1; done"
    with pytest.raises(DeviceError, match="took longer than 1 s"):
        transport.run(("sh", "-c", stubborn), timeout_s=1)
    assert nothing_runs(shared_phone)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell that starts the tests in the background has them ignore Ctrl-C, and Python leaves that so."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("how", ["run", "stream"])
def test_an_interrupted_host_leaves_no_process_and_no_file(
    shared_phone: Lookalike, transport: PhoneTransport, how: str
) -> None:
    """Ctrl-C, in the middle of waiting."""
    interrupt = threading.Thread(
        target=lambda: within(10, lambda: sleepers(shared_phone) >= 4) and os.kill(os.getpid(), signal.SIGINT)
    )
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        transport.run(("sh", "-c", BROOD), timeout_s=60) if how == "run" else read_all(transport)
    interrupt.join()
    assert nothing_runs(shared_phone)
    assert is_clean(shared_phone)


@contextlib.contextmanager
def other_host(work: str, phone: Lookalike, key: AdbKey, server: AdbServer | None) -> Iterator["subprocess.Popen[str]"]:
    """Another program with a transport to the phone, which does some work with it."""
    program = textwrap.dedent(f"""
        import pathlib
        from android_bench.adb.adb_program import AdbProgram, AdbProgramChannel
        from android_bench.adb.adb_shell_channel import AdbShellChannel
        from android_bench.adb.phone_transport import PhoneTransport
        if {server is None}:
            channel = AdbShellChannel.tcp({phone.host!r}, {phone.port})
        else:
            channel = AdbProgramChannel(AdbProgram(), {phone.serial!r})
        transport = PhoneTransport(channel)
    """)
    env = {"PATH": os.environ["PATH"], "HOME": str(key.private.parent), "ADB_VENDOR_KEYS": str(key.private)}
    if server is not None:
        env = {**server.env, "ADB": str(server.program)}
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [sys.executable, "-c", program + work], env={**env, "PYTHONPATH": str(root)}, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize("how", ["tcp", "program"])
@pytest.mark.parametrize(
    "work",
    [
        f"transport.run(('sh', '-c', {BROOD!r}), timeout_s=60)",
        f"with transport.stream(('sh', '-c', {BROOD!r}), silence_s=60, max_line_bytes=99) as lines: list(lines)",
    ],
    ids=["run", "stream"],
)
def test_a_host_that_is_killed_leaves_no_process_and_no_file(
    shared_phone: Lookalike, adb_key: AdbKey, how: str, work: str, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("shared_server") if how == "program" else None
    if server is not None:
        server.connect(shared_phone)
    with other_host(work, shared_phone, adb_key, server) as host:
        assert within(20, lambda: sleepers(shared_phone) >= 4)
        host.send_signal(signal.SIGKILL)
        host.wait()
        assert nothing_runs(shared_phone, 3)
    assert is_clean(shared_phone)


def test_two_transports_use_one_phone_at_once(
    shared_phone: Lookalike, adb_key: AdbKey, shared_server: AdbServer
) -> None:
    transports = [
        over_tcp(shared_phone, adb_key),
        over_program(shared_phone, shared_server),
        over_tcp(shared_phone, adb_key),
    ]
    outcomes: list[list[bytes]] = [[] for _ in transports]

    def work(number: int) -> None:
        transport = transports[number]
        for turn in range(8):
            text = f"transport {number} turn {turn} " * 2000
            outcomes[number].append(transport.run(("echo", text), timeout_s=30).stdout)
            with transport.stream(("seq", str(number), "2000"), silence_s=30, max_line_bytes=10) as lines:
                assert len(list(lines)) == 2001 - number
                assert lines.wait().exit_status == 0

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(transports))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, own in enumerate(outcomes):
        assert own == [f"transport {number} turn {turn} ".encode() * 2000 + b"\n" for turn in range(8)]
    for transport in transports:
        transport.close()


def test_what_one_transport_stops_does_not_touch_the_other(
    shared_phone: Lookalike, reach: Reach, adb_key: AdbKey
) -> None:
    one, other = reach(shared_phone), over_tcp(shared_phone, adb_key)
    with other.stream(("sh", "-c", "echo a; sleep 2; echo b"), silence_s=30, max_line_bytes=10) as lines:
        iterator = iter(lines)
        assert next(iterator) == b"a"
        with pytest.raises(DeviceError, match="took longer"):
            one.run(("sleep", "60"), timeout_s=1)
        one.close()
        assert list(iterator) == [b"b"]
        assert lines.wait().exit_status == 0
    other.close()


def test_a_phone_that_loses_its_adbd_still_ends_what_ran(phone: Lookalike, adb_key: AdbKey) -> None:
    transport = over_tcp(phone, adb_key, patience_s=0.5)
    threading.Thread(target=lambda: within(10, lambda: sleepers(phone) >= 4) and phone.kill_adbd()).start()
    with pytest.raises(DeviceLostError):
        read_all(transport)
    assert nothing_runs(phone)
    phone.restart_adbd()
    assert transport.run(("echo", "back"), timeout_s=30).stdout == b"back\n"
    assert is_clean(phone)
    transport.close()


def test_a_program_that_is_killed_on_the_phone_has_its_status(
    shared_phone: Lookalike, transport: PhoneTransport
) -> None:
    words = ("sh", "-c", "echo started; sleep 65")
    with transport.stream(words, silence_s=30, max_line_bytes=10) as lines:
        for _ in lines:
            program = min(process.pid for process in shared_phone.processes() if process.argv == words)
            os.kill(program, signal.SIGKILL)
        assert lines.wait().exit_status == 137
    assert nothing_runs(shared_phone)


@pytest.fixture
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watcher on the phone looks around every second."""
    monkeypatch.setattr(supervisor, "_STEP_S", 1)


@pytest.mark.usefixtures("short_steps")
def test_a_supervisor_that_is_killed_ends_the_stream_and_the_program(
    shared_phone: Lookalike, transport: PhoneTransport
) -> None:
    """As Android does with programs in the background when memory is short."""

    def kill_it() -> None:
        within(10, lambda: sleepers(shared_phone) >= 4)
        processes = shared_phone.processes()
        pids = {process.pid for process in processes}
        for process in processes:
            if process.parent not in pids and "sleep" not in process.argv:
                os.kill(process.pid, signal.SIGKILL)

    threading.Thread(target=kill_it).start()
    started = time.monotonic()
    with pytest.raises(MarkerMissingError, match="did not say how sh ended: the connection was cut off"):
        read_all(transport)
    assert time.monotonic() - started < 15
    assert nothing_runs(shared_phone)


@pytest.mark.usefixtures("short_steps")
def test_a_time_out_longer_than_the_watchers_steps_is_kept(transport: PhoneTransport) -> None:
    started = time.monotonic()
    with pytest.raises(DeviceError, match="sleep took longer than 2 s"):
        transport.run(("sleep", "60"), timeout_s=2)
    assert 1.9 < time.monotonic() - started < 6
    assert transport.run(("sleep", "1.5"), timeout_s=20).exit_status == 0
