"""This machine as a device."""

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from android_bench.device import Core, Device, DeviceInfo
from android_bench.guard import LocalGuard
from android_bench.local import LocalTransport, local_info
from android_bench.workspace import KnownFile, LocalWorkspace
from pocketnas_base.errors import DeviceError, InputError, MeasurementError
from pocketnas_base.files import sha256_bytes

TRANSPORT = LocalTransport()


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_run_gives_status_output_and_errors_apart() -> None:
    done = TRANSPORT.run(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"), timeout_s=30)
    assert (done.exit_status, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    assert done.duration_s > 0


def test_run_counts_a_signal_as_the_shell_does() -> None:
    assert TRANSPORT.run(python("import os; os.kill(os.getpid(), 9)"), timeout_s=30).exit_status == 137


def test_run_that_takes_too_long_is_stopped() -> None:
    started = time.monotonic()
    with pytest.raises(DeviceError, match="took longer than 0 s and was stopped"):
        TRANSPORT.run(["sleep", "60"], timeout_s=0.2)
    assert time.monotonic() - started < 10


def test_program_that_is_missing_is_named() -> None:
    done = TRANSPORT.run(["/nonexistent"], timeout_s=5)
    assert done.exit_status == 127
    assert b"/nonexistent: not found" in done.stderr


def test_stream_gives_lines_as_they_come() -> None:
    code = "import time\nprint('a', flush=True)\ntime.sleep(0.5)\nprint('b')\nprint('half', end='')"
    with TRANSPORT.stream(python(code), silence_s=30, max_line_bytes=10) as lines:
        arrivals = [(line, time.monotonic()) for line in lines]
        assert lines.wait().exit_status == 0
    assert [line for line, _ in arrivals] == [b"a", b"b"]
    assert arrivals[1][1] - arrivals[0][1] > 0.3


def test_stream_is_not_blocked_by_a_flood_of_errors() -> None:
    code = "import sys; sys.stderr.write('x' * 5_000_000 + 'end'); print('done')"
    with TRANSPORT.stream(python(code), silence_s=30, max_line_bytes=10) as lines:
        assert list(lines) == [b"done"]
        stderr = lines.wait().stderr
    assert stderr.endswith(b"end")
    assert len(stderr) <= 1024 * 1024


def test_silent_stream_is_given_up() -> None:
    with (
        pytest.raises(MeasurementError, match="was silent for 0 s and was stopped"),
        TRANSPORT.stream(["sleep", "60"], silence_s=0.2, max_line_bytes=10) as lines,
    ):
        list(lines)


@pytest.mark.parametrize("end", ["", "\\n"])
def test_line_that_is_too_long_is_refused(end: str) -> None:
    code = f"print('x' * 1000, end='{end}', flush=True); import time; time.sleep({0 if end else 60})"
    with (
        pytest.raises(MeasurementError, match="a line longer than 99 bytes"),
        TRANSPORT.stream(python(code), silence_s=30, max_line_bytes=99) as lines,
    ):
        list(lines)


def test_leaving_a_stream_kills_the_program_and_its_children(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {pid}; echo started; wait"
    with TRANSPORT.stream(["sh", "-c", script], silence_s=30, max_line_bytes=10) as lines:
        assert next(iter(lines)) == b"started"
    child = int(pid.read_text())
    for _ in range(100):
        stat = Path(f"/proc/{child}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.05)
    else:
        pytest.fail(f"process {child} still runs")


def test_files_are_pushed_and_pulled_whole(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    TRANSPORT.push(source, str(tmp_path / "there"))
    TRANSPORT.pull(str(tmp_path / "there"), tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"content"
    found = TRANSPORT.stat(str(tmp_path / "there"))
    assert found is not None
    assert found.size_bytes == 7
    assert TRANSPORT.stat(str(tmp_path / "nothing")) is None
    with pytest.raises(DeviceError, match="cannot be copied"):
        TRANSPORT.pull(str(tmp_path / "nothing"), tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"content"


def test_file_that_changed_since_it_was_described_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"one")
    one = KnownFile(path, sha256_bytes(b"one"))
    assert LocalWorkspace().place([one]) == {one.sha256: str(path)}
    path.write_bytes(b"two")
    with pytest.raises(DeviceError, match="has changed since it was described"):
        LocalWorkspace().place([one])


def test_this_machine_describes_itself() -> None:
    info = local_info()
    assert {core.number for core in info.cores} == os.sched_getaffinity(0)
    assert info.kernel == os.uname().release
    assert info.fingerprint == local_info().fingerprint
    assert len(info.fingerprint) == 64


def device(*cores: Core) -> Device:
    info = DeviceInfo(None, None, "arm64-v8a", None, None, None, cores)
    return Device("d", info, TRANSPORT, LocalWorkspace(), LocalGuard(TRANSPORT))


def test_default_cores_are_of_the_fastest_cluster_that_has_enough_and_of_equals_the_last() -> None:
    little, big = [Core(n, 1_800_000) for n in range(4)], [Core(n, 2_400_000) for n in (4, 5, 6)]
    phone = device(*little, *big, Core(7, 2_800_000))
    assert phone.default_cores(1) == (7,)
    assert phone.default_cores(2) == (5, 6)
    assert phone.default_cores(4) == (0, 1, 2, 3)
    assert device(Core(0, None), Core(1, None)).default_cores(1) == (1,)


def test_cores_of_one_clock_and_two_kinds_are_two_clusters() -> None:
    kinds = ["0xd46", "0xd46", "0xd46", "0xd4d", "0xd4d", "0xd47", "0xd47", "0xd4e"]
    clocks = [2_016_000] * 3 + [2_803_000] * 4 + [3_187_000]
    cores = [Core(n, khz, f"0x41:{kind}") for n, (khz, kind) in enumerate(zip(clocks, kinds, strict=True))]
    phone = device(*cores)  # Snapdragon 8 Gen 2
    assert phone.default_cores(1) == (7,)
    assert phone.default_cores(2) == (3, 4)
    with pytest.raises(InputError, match="no 4 equal cores: its largest cluster has 3"):
        phone.default_cores(4)


def test_a_core_without_a_known_kind_leaves_the_fingerprint_as_it_was() -> None:
    plain = device(Core(0, 1_800_000)).info
    fields = {**asdict(plain), "cores": [{"number": 0, "max_freq_khz": 1_800_000}]}
    assert plain.fingerprint == sha256_bytes(json.dumps(fields, sort_keys=True).encode())
    assert device(Core(0, 1_800_000, "0x41:0xd41")).info.fingerprint != plain.fingerprint


def test_more_threads_than_equal_cores_are_refused() -> None:
    with pytest.raises(InputError, match="device d has no 2 equal cores: its largest cluster has 1; name cores"):
        device(Core(0, 1_800_000), Core(1, 2_800_000)).default_cores(2)
