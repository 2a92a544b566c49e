"""The runner as a process: started in odd ways, in odd places, and left alone."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from running import failed, measured, planned
from tiny_models import Model

from android_bench.plan import PlannedModel, render
from android_bench.protocol import Protocol
from android_bench.results import parse_line
from android_bench.runner.build import Runner

LOADERS = ("ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1")


@pytest.fixture
def plan(case: tuple[Runner, Model], quick: Protocol, tmp_path: Path) -> Path:
    path = tmp_path / "plan.jsonl"
    path.write_bytes(render(quick, "version", [planned(case[1])] * 3))
    return path


def check(done: "subprocess.CompletedProcess[bytes]") -> None:
    assert done.returncode == 0, done.stderr.decode()
    lines = [parse_line(line) for line in done.stdout.splitlines()]
    assert [line.type for line in lines] == ["hello", *["measurement"] * 3, "done"]
    assert all((measured(line).output_error or 0) < 1e-6 for line in lines[1:-1])


def test_runner_is_started_by_a_loader(case: tuple[Runner, Model], plan: Path) -> None:
    loaders = [path for name in LOADERS for path in Path("/").glob(f"lib*/{name}")]
    if not loaders:
        pytest.skip("this machine's C library has no loader that can be called")
    libraries = case[0].libraries[0].parent
    command = [loaders[0], "--library-path", libraries, case[0].path, plan]
    check(subprocess.run(command, capture_output=True, timeout=60, check=False, env={}))


def test_runner_ends_when_nobody_reads(case: tuple[Runner, Model], plan: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [case[0].path, plan]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert done.returncode == 1
    assert done.stderr.endswith(b"pocketnas runner: nobody reads the results\n")


def test_runner_ends_when_its_reader_goes_away(case: tuple[Runner, Model], quick: Protocol, tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_bytes(render(quick, "version", [planned(case[1])] * 10_000))
    with subprocess.Popen([case[0].path, path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert parse_line(process.stdout.readline().rstrip(b"\n")).type == "hello"
        process.stdout.close()
        assert process.wait(timeout=30) == 1


def test_runner_writes_no_results_into_a_file_that_took_the_place_of_its_output(
    case: tuple[Runner, Model], quick: Protocol, tmp_path: Path
) -> None:
    written = tmp_path / "written"
    path = tmp_path / "plan.jsonl"
    path.write_bytes(render(quick, "version", [planned(case[1], output_paths=(str(written),))]))
    command = ["sh", "-c", 'exec "$0" "$1" >&-', case[0].path, path]
    done = subprocess.run(command, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == b"pocketnas runner: standard output is closed\n"
    assert not written.exists()


def test_runner_needs_neither_standard_input_nor_standard_error(case: tuple[Runner, Model], plan: Path) -> None:
    command = ["sh", "-c", 'exec "$0" "$1" <&- 2>&-', case[0].path, plan]
    check(subprocess.run(command, capture_output=True, timeout=60, check=False))


def test_paths_may_be_as_long_as_the_kernel_takes_them(
    case: tuple[Runner, Model], quick: Protocol, tmp_path: Path
) -> None:
    directory = tmp_path
    while len(str(directory)) < 4095 - 260:
        directory /= "d" * 200
    directory.mkdir(parents=True)
    model, plan = (directory / (letter * (4095 - 1 - len(str(directory)))) for letter in "mp")
    assert len(os.fsencode(model)) == 4095
    shutil.copy(case[1].path, model)
    plan.write_bytes(render(quick, "version", [PlannedModel("m", str(model)), PlannedModel("longer", f"{model}m")]))
    done = subprocess.run([case[0].path, plan], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0
    _, good, bad, _ = [parse_line(line) for line in done.stdout.splitlines()]
    assert measured(good).id == "m"
    assert bad.type == "error"
    done = subprocess.run([case[0].path, f"{plan}p"], capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.endswith(b": cannot open it: File name too long\n")
    assert done.stderr.count(b"\n") == 1


def can_hide_proc() -> bool:
    """Not so without root's rights, which a container may lack, or on a root that is no mount point."""
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/proc"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


HIDES_PROC = pytest.mark.skipif(not can_hide_proc(), reason="hiding /proc needs unshare, mount and the right to mount")


def run_without_proc(runner: Runner, plan: Path, then: str, directory: Path) -> "subprocess.CompletedProcess[bytes]":
    (directory / "cpuinfo").write_bytes(Path("/proc/cpuinfo").read_bytes())
    script = f'mount -t tmpfs none /proc && {then} && exec "$0" "$1"'
    command = ["unshare", "-m", "sh", "-c", script, runner.path, plan]
    return subprocess.run(command, cwd=directory, capture_output=True, timeout=60, check=False)


@HIDES_PROC
def test_runner_measures_where_it_cannot_read_about_itself(
    case: tuple[Runner, Model], plan: Path, tmp_path: Path
) -> None:
    done = run_without_proc(case[0], plan, "cp cpuinfo /proc", tmp_path)
    check(done)
    line = measured(parse_line(done.stdout.splitlines()[1]))
    assert (line.cpus_allowed, line.allowed_cores, line.peak_rss_kb) == ("", (), None)
    assert line.voluntary_switches is not None
    assert line.cores_ran != []


@HIDES_PROC
def test_runtime_that_cannot_read_its_processor_is_an_error(
    case: tuple[Runner, Model], plan: Path, tmp_path: Path
) -> None:
    done = run_without_proc(case[0], plan, "true", tmp_path)
    if case[0].runtime == "executorch":
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith(b"pocketnas runner: ExecuTorch has no thread pool")
    else:
        assert done.returncode == 0
        lines = [parse_line(line) for line in done.stdout.splitlines()]
        assert [failed(line).kind for line in lines[1:-1]] == ["model"] * 3
