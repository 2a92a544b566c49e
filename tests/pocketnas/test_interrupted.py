"""A command that is asked to end puts its phone back, says one line, and tells which signal it was."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
from lookalike.fixtures import AdbKey
from lookalike.lookalike import Lookalike

MEASURING = """
import sys, time
from pocketnas import cli

@cli.app.command()
def measuring(device: str) -> None:
    from android_bench.adb.phone import open_phone
    with open_phone(device).guard.session():
        print("begun", flush=True)
        time.sleep(60)

cli.main()
"""
BRIGHTNESS = "system.screen_brightness"


@pytest.fixture
def start(phone: Lookalike, adb_key: AdbKey) -> Callable[..., "subprocess.Popen[str]"]:
    """A command that has begun to measure on the phone."""

    def start(**how: object) -> "subprocess.Popen[str]":
        environ = {
            **os.environ,
            "ADB_VENDOR_KEYS": str(adb_key.private),
            "HOME": str(adb_key.private.parent),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        command = [sys.executable, "-c", MEASURING, "measuring", f"tcp:{phone.host}:{phone.port}"]
        process = subprocess.Popen(
            command, **{"stderr": subprocess.PIPE, **how}, env=environ, stdout=subprocess.PIPE, text=True
        )  # type: ignore[call-overload]
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n", process.communicate()
        assert phone.setting(BRIGHTNESS) == "0"
        return process

    return start


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_puts_the_phone_back(
    phone: Lookalike, start: Callable[..., "subprocess.Popen[str]"], number: int, status: int
) -> None:
    process = start()
    process.send_signal(number)
    if number != signal.SIGINT:
        process.send_signal(number)  # as `timeout` does: its child first, then the whole group
    _, err = process.communicate(timeout=30)
    assert process.returncode == status, err
    (line,) = err.splitlines()
    assert line.startswith("pocketnas: interrupted; nothing is lost")
    assert phone.setting(BRIGHTNESS) == "102"


def test_a_terminal_that_is_closed_puts_the_phone_back(
    phone: Lookalike, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    terminal, end = pty.openpty()
    process = start(stdin=end, stderr=end, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY))
    os.close(end)
    os.close(terminal)
    process.communicate(timeout=30)
    assert process.returncode == 129
    assert phone.setting(BRIGHTNESS) == "102"


def test_nohup_goes_on(start: Callable[..., "subprocess.Popen[str]"]) -> None:
    process = start(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 143
