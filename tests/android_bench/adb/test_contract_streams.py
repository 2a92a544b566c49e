"""What every transport promises of programs that are read line by line."""

import itertools
import time
from pathlib import Path

import pytest
from reaching import Place, within
from test_contract import HOSTILE, sh

from android_bench.transport import MAX_KEPT_BYTES
from pocketnas_base.errors import MeasurementError

DETACHED = "setsid sh -c 'echo $$ >\"$1\"; exec sleep 60' sh {} </dev/null >/dev/null 2>&1 &"


def pid_in(path: Path) -> int:
    """The process that wrote its number there, as the device counts."""
    assert within(5, lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def is_over(place: Place, pid: int) -> bool:
    """Whether a process is gone within a few seconds, as this host sees the device."""
    if place.phone is not None:
        return place.nothing_runs()
    return within(3, lambda: "State:\tZ" in status(pid) or not status(pid))


def status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_lines_come_as_they_are_written(place: Place) -> None:
    script = sh("echo one; sleep 0.5; echo two; sleep 0.5; echo three")
    with place.transport.stream(script, silence_s=30, max_line_bytes=100) as lines:
        came = [(line, time.monotonic()) for line in lines]
        done = lines.wait()
    assert [line for line, _ in came] == [b"one", b"two", b"three"]
    assert all(later[1] - earlier[1] > 0.3 for earlier, later in itertools.pairwise(came))
    assert (done.exit_status, done.stdout, done.stderr) == (0, b"", b"")


def test_status_and_errors_come_after_the_lines(place: Place) -> None:
    with place.transport.stream(sh("echo a; echo why >&2; exit 9"), silence_s=30, max_line_bytes=100) as lines:
        assert list(lines) == [b"a"]
        done = lines.wait()
    assert (done.exit_status, done.stderr) == (9, b"why\n")
    assert done.duration_s > 0


@pytest.mark.parametrize(("script", "status"), [("echo a; kill -KILL $$", 137), ("echo a; exit 200", 200)])
def test_a_program_that_fails_has_its_status(place: Place, script: str, status: int) -> None:
    with place.transport.stream(sh(script), silence_s=30, max_line_bytes=100) as lines:
        assert list(lines) == [b"a"]
        assert lines.wait().exit_status == status


def test_a_program_that_is_missing_writes_no_line(place: Place) -> None:
    with place.transport.stream(("/nonexistent/program",), silence_s=30, max_line_bytes=100) as lines:
        assert list(lines) == []
        done = lines.wait()
    assert done.exit_status == 127
    assert b"/nonexistent/program" in done.stderr


@pytest.mark.parametrize("written", [r"whole\nhalf", r"whole\nha\0lf", r"whole\nstderr"])
def test_a_last_line_without_an_end_is_left_out(place: Place, written: str) -> None:
    with place.transport.stream(("printf", written), silence_s=30, max_line_bytes=100) as lines:
        assert list(lines) == [b"whole"]
        assert lines.wait().exit_status == 0


def test_lines_keep_every_byte_but_their_end(place: Place) -> None:
    every = bytes(value for value in range(256) if value != 10)
    place.host_path(f"{place.folder}/every").write_bytes(every + b"\n\n\r\n" + every + b"\r\n")
    with place.transport.stream(("cat", f"{place.folder}/every"), silence_s=30, max_line_bytes=300) as lines:
        assert list(lines) == [every, b"", b"\r", every + b"\r"]
        assert lines.wait().exit_status == 0


def test_hostile_arguments_arrive_as_they_are(place: Place) -> None:
    words = [word for word in HOSTILE if "\n" not in word]
    script = sh('for word; do printf "%s\\n" "$word"; done', *words)
    with place.transport.stream(script, silence_s=30, max_line_bytes=5000) as lines:
        assert [line.decode() for line in lines] == words


def test_many_lines_arrive_whole_and_in_order(place: Place) -> None:
    with place.transport.stream(("seq", "1", "200000"), silence_s=30, max_line_bytes=100) as lines:
        assert list(lines) == [b"%d" % number for number in range(1, 200_001)]
        assert lines.wait().exit_status == 0


def test_a_long_line_arrives_whole(place: Place) -> None:
    place.host_path(f"{place.folder}/long").write_bytes(b"x" * 4_000_000 + b"\nend\n")
    with place.transport.stream(("cat", f"{place.folder}/long"), silence_s=30, max_line_bytes=4_000_000) as lines:
        assert [len(line) for line in lines] == [4_000_000, 3]


@pytest.mark.parametrize("end", ["", r"\n"])
def test_a_line_that_is_too_long_is_refused(place: Place, end: str) -> None:
    script = sh(f'printf "%1000s{end}" x; sleep 60')
    with (
        pytest.raises(MeasurementError, match="a line longer than 99 bytes"),
        place.transport.stream(script, silence_s=30, max_line_bytes=99) as lines,
    ):
        list(lines)
    assert place.nothing_runs()


def test_a_flood_of_errors_blocks_nothing_and_its_end_is_kept(place: Place) -> None:
    script = sh('i=0; while [ $i -lt 40 ]; do printf "%100000s" x >&2; i=$((i+1)); done; echo end >&2; echo done')
    with place.transport.stream(script, silence_s=30, max_line_bytes=100) as lines:
        assert list(lines) == [b"done"]
        done = lines.wait()
    assert done.exit_status == 0
    assert len(done.stderr) == MAX_KEPT_BYTES
    assert done.stderr.endswith(b" xend\n")


def test_silence_is_given_up_and_the_program_stopped(place: Place) -> None:
    started = time.monotonic()
    with (
        pytest.raises(MeasurementError, match="sh was silent for 1 s and was stopped"),
        place.transport.stream(sh("echo a; sleep 60; echo b"), silence_s=1, max_line_bytes=100) as lines,
    ):
        list(lines)
    assert 0.9 < time.monotonic() - started < 8
    assert place.nothing_runs()


def test_a_program_that_only_complains_is_silent(place: Place) -> None:
    script = sh("while true; do echo still >&2; sleep 0.2; done")
    with (
        pytest.raises(MeasurementError, match="was silent for 1 s"),
        place.transport.stream(script, silence_s=1, max_line_bytes=100) as lines,
    ):
        list(lines)
    assert place.nothing_runs()


def test_a_reader_that_takes_its_time_is_not_taken_for_silence(place: Place) -> None:
    with place.transport.stream(sh("echo a; echo b; sleep 0.2; echo c"), silence_s=0.5, max_line_bytes=100) as lines:
        seen = []
        for line in lines:
            seen.append(line)
            time.sleep(0.6)
        assert lines.wait().exit_status == 0
    assert seen == [b"a", b"b", b"c"]


def test_leaving_kills_the_program_its_children_and_those_with_sessions_of_their_own(place: Place) -> None:
    note = f"{place.folder}/detached"
    script = sh(f"{DETACHED.format(note)} sleep 60 & sleep 60 | sleep 60 & echo started; wait")
    with place.transport.stream(script, silence_s=30, max_line_bytes=100) as lines:
        assert next(iter(lines)) == b"started"
        detached = pid_in(place.host_path(note))
        assert not place.nothing_runs(seconds=0)
    assert place.nothing_runs()
    assert is_over(place, detached)


def test_an_error_in_between_kills_the_program_too(place: Place) -> None:
    def interrupted() -> None:
        with place.transport.stream(sh("echo started; sleep 60"), silence_s=30, max_line_bytes=100) as lines:
            for _ in lines:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert place.nothing_runs()


def test_a_generator_that_is_closed_kills_the_program_too(place: Place) -> None:
    def reader():  # type: ignore[no-untyped-def]
        with place.transport.stream(sh("echo started; sleep 60"), silence_s=30, max_line_bytes=100) as lines:
            yield from lines

    lines = reader()
    assert next(lines) == b"started"
    lines.close()
    assert place.nothing_runs()


def test_a_stream_that_nobody_reads_is_killed(place: Place) -> None:
    with place.transport.stream(sh("echo started; sleep 60"), silence_s=30, max_line_bytes=100):
        pass
    assert place.nothing_runs()


def test_the_end_does_not_wait_for_what_is_left_in_the_background(place: Place) -> None:
    started = time.monotonic()
    with place.transport.stream(sh("sleep 60 & echo done"), silence_s=30, max_line_bytes=100) as lines:
        assert list(lines) == [b"done"]
        assert lines.wait().exit_status == 0
    assert time.monotonic() - started < 10
    assert place.nothing_runs()


def test_the_end_does_not_wait_for_a_session_of_its_own_that_holds_the_output(place: Place) -> None:
    note = f"{place.folder}/holder"
    script = sh(f"setsid sh -c 'echo $$ >\"$1\"; exec sleep 60' sh {note} & sleep 0.3; echo done")
    started = time.monotonic()
    with place.transport.stream(script, silence_s=30, max_line_bytes=100) as lines:
        assert list(lines) == [b"done"]
        assert lines.wait().exit_status == 0
    assert time.monotonic() - started < 10
    assert is_over(place, pid_in(place.host_path(note)))


def test_a_command_may_be_run_while_a_stream_is_open(place: Place) -> None:
    with place.transport.stream(sh("echo a; sleep 0.5; echo b"), silence_s=30, max_line_bytes=100) as lines:
        iterator = iter(lines)
        assert next(iterator) == b"a"
        assert place.transport.run(("echo", "between"), timeout_s=30).stdout == b"between\n"
        assert list(iterator) == [b"b"]
        assert lines.wait().exit_status == 0
