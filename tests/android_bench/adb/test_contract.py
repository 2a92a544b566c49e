"""What every transport promises of programs that run to their end: this machine's, and a phone's in either way."""

import random
import time

import pytest
from reaching import Place

from android_bench.transport import MAX_KEPT_BYTES
from pocketnas_base.errors import DeviceError

HOSTILE = [
    "",
    " ",
    "two words",
    "'",
    '"',
    'it\'s "both"',
    "$HOME",
    "`id`",
    "$(id)",
    "a\nb\n",
    "\n",
    "a;b",
    "a&b|c>d<e",
    "*",
    "?[a-z]",
    "~",
    "\\",
    "\\n",
    "%s%n",
    "#x",
    "!x",
    "{a,b}",
    "größe 尺寸 🙂",
    "-rf",
    "--help",
    "\t\r\x01\x7f",
    "x" * 4000,
    "' " * 2000,
]
ECHO = ("sh", "-c", 'for word; do printf "%s\\0" "$word"; done', "sh")


def sh(script: str, *arguments: str) -> tuple[str, ...]:
    return ("sh", "-c", script, "sh", *arguments)


def put(place: Place, content: bytes, name: str) -> str:
    """A file of this content on the device, its path there."""
    path = f"{place.folder}/{name}"
    place.host_path(path).write_bytes(content)
    return path


def test_status_and_both_outputs_arrive_apart(place: Place) -> None:
    done = place.transport.run(sh("echo out; echo err >&2; exit 7"), timeout_s=30)
    assert (done.exit_status, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    assert 0 < done.duration_s < 30
    assert place.transport.run(("true",), timeout_s=30).exit_status == 0
    assert place.transport.run(sh("exit 255"), timeout_s=30).exit_status == 255


@pytest.mark.parametrize(("signal", "status"), [("KILL", 137), ("TERM", 143), ("SEGV", 139)])
def test_a_signal_counts_as_in_the_shell(place: Place, signal: str, status: int) -> None:
    assert place.transport.run(sh(f"kill -{signal} $$"), timeout_s=30).exit_status == status


def test_a_program_that_is_missing_or_none_is_told_by_its_status(place: Place) -> None:
    missing = place.transport.run(("/nonexistent/program", "x"), timeout_s=30)
    assert (missing.exit_status, missing.stdout) == (127, b"")
    assert b"/nonexistent/program" in missing.stderr
    folder = place.transport.run((place.folder,), timeout_s=30)
    assert (folder.exit_status, folder.stdout) == (126, b"")
    assert place.folder.encode() in folder.stderr


def test_every_byte_value_passes_in_both_outputs(place: Place) -> None:
    out = bytes(range(256)) * 3 + b"\r\n\n\r\0"
    err = bytes(reversed(range(256))) + b"\r\n"
    script = sh('cat "$1"; cat "$2" >&2', put(place, out, "out"), put(place, err, "err"))
    done = place.transport.run(script, timeout_s=30)
    assert (done.exit_status, done.stdout, done.stderr) == (0, out, err)


def test_half_a_mebibyte_of_noise_passes_in_both_outputs(place: Place) -> None:
    noise = random.Random(0).randbytes(512 * 1024)
    done = place.transport.run(sh('cat "$1"; cat "$1" >&2', put(place, noise, "noise")), timeout_s=30)
    assert done.stdout == noise
    assert done.stderr == noise


@pytest.mark.parametrize(
    "text",
    [
        "0123456789abcdef0123456789abcdef 0 done 0 0 " + "0" * 64 + "\n",
        "0123456789abcdef0123456789abcdef refused\n",
        "0123456789abcdef0123456789abcdef stderr\n",
        "exit 0\n",
    ],
)
def test_output_that_looks_like_the_end_is_output(place: Place, text: str) -> None:
    done = place.transport.run(sh('printf %s "$1"; printf %s "$1" >&2; exit 5', text), timeout_s=30)
    assert (done.exit_status, done.stdout, done.stderr) == (5, text.encode(), text.encode())


def test_of_long_output_the_end_is_kept(place: Place) -> None:
    long = random.Random(1).randbytes(MAX_KEPT_BYTES + 4321)
    path = put(place, long, "long")
    done = place.transport.run(sh('cat "$1"; cat "$1" >&2; echo end >&2; exit 3', path), timeout_s=30)
    assert done.exit_status == 3
    assert done.stdout == long[-MAX_KEPT_BYTES:]
    assert done.stderr == (long + b"end\n")[-MAX_KEPT_BYTES:]


def test_output_of_exactly_what_is_kept_is_whole(place: Place) -> None:
    exact = random.Random(2).randbytes(MAX_KEPT_BYTES)
    assert place.transport.run(("cat", put(place, exact, "exact")), timeout_s=30).stdout == exact


def test_hostile_arguments_arrive_as_they_are(place: Place) -> None:
    done = place.transport.run((*ECHO, *HOSTILE), timeout_s=30)
    assert done.exit_status == 0, done.stderr
    assert done.stdout.decode().split("\0")[:-1] == HOSTILE


def test_an_argument_that_no_program_can_have_is_refused(place: Place) -> None:
    with pytest.raises(ValueError, match="null"):
        place.transport.run(("echo", "a\0b"), timeout_s=30)
    with (
        pytest.raises(ValueError, match="null"),
        place.transport.stream(("echo", "a\0b"), silence_s=30, max_line_bytes=100) as lines,
    ):
        list(lines)


def test_a_command_that_is_too_long_is_refused_and_one_that_is_nearly_is_not(place: Place) -> None:
    with pytest.raises(DeviceError, match="echo cannot be started"):
        place.transport.run(("echo", "x" * 140_000), timeout_s=30)
    assert place.transport.run(("echo", "x" * 60_000), timeout_s=30).stdout == b"x" * 60_000 + b"\n"


def test_a_program_has_no_input_to_wait_for(place: Place) -> None:
    assert place.transport.run(("cat",), timeout_s=30).stdout == b""


def test_a_program_that_takes_too_long_is_stopped(place: Place) -> None:
    started = time.monotonic()
    with pytest.raises(DeviceError, match=r"^sleep took longer than 1 s .*stopped$"):
        place.transport.run(("sleep", "60"), timeout_s=1)
    assert 0.9 < time.monotonic() - started < 5


def test_what_a_program_leaves_in_the_background_does_not_hold_it_up(place: Place) -> None:
    started = time.monotonic()
    done = place.transport.run(sh("sleep 60 & echo hello"), timeout_s=30)
    assert (done.exit_status, done.stdout) == (0, b"hello\n")
    assert time.monotonic() - started < 10
    assert place.nothing_runs()


def test_a_closed_transport_reaches_the_device_again(place: Place) -> None:
    assert place.transport.run(("true",), timeout_s=30).exit_status == 0
    place.transport.close()
    place.transport.close()
    assert place.transport.run(("true",), timeout_s=30).exit_status == 0
