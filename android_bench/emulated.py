"""Models run once by the arm64 bundle in the emulator qemu: for what they compute, not for how long it takes."""

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

from android_bench.job import Job
from android_bench.plan import PlannedModel, render
from android_bench.protocol import Protocol
from android_bench.results import DoneLine, ErrorLine, HelloLine, MeasurementLine, parse_line
from android_bench.runner.bundle import Bundle
from pocketnas_base.errors import MeasurementError

OLDEST_QEMU = 10
"""Version 7 shows arm64 programs this machine's own /proc/cpuinfo, on which LiteRT crashes, and computes some int8
products wrongly."""

_PROGRAMS = ("qemu-aarch64-static", "qemu-aarch64")
_TIMEOUT_S = 600.0
_ONCE = Protocol(
    processes=1, min_processes=1, warmup_min_runs=0, warmup_min_ns=0, warmup_max_ns=0, min_runs=1, min_ns=0, max_runs=1
)


def find_qemu() -> str | None:
    """The path of a qemu for arm64 programs that is new enough: $POCKETNAS_QEMU, else one on PATH; None where there is
    none."""
    named = os.environ.get("POCKETNAS_QEMU")
    found = [named] if named else [shutil.which(program) for program in _PROGRAMS]
    return next((path for path in found if path and _version(path) >= OLDEST_QEMU), None)


def run_emulated(bundle: Bundle, job: Job, qemu: str, folder: Path) -> None:
    """Run a job's model once on its inputs, in `folder`, which must be empty.

    Raises MeasurementError when it cannot be run, or answers something else than the job's references.
    """
    for file in bundle.files:
        place = folder / file.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.path, place)
        place.chmod(0o755 if file.executable else 0o644)
    names = ["model" + job.artifact.path.suffix, "input", "reference"]
    for source, name in zip((job.artifact.path, *job.inputs, *job.references), names, strict=True):
        shutil.copyfile(source, folder / name)
    model = PlannedModel(job.id, names[0], (names[1],), (names[2],), job.max_output_error)
    (folder / "plan.jsonl").write_bytes(render(replace(_ONCE, threads=1), bundle.runtime_version, [model]))
    command = [qemu, *bundle.command, "plan.jsonl"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False, env={}, cwd=folder)
    except subprocess.TimeoutExpired:
        raise MeasurementError(f"{job.id} did not run through within {_TIMEOUT_S:.0f} s") from None
    lines = [parse_line(line) for line in done.stdout.splitlines()]
    for line in lines:
        if isinstance(line, ErrorLine):
            raise MeasurementError(line.message)
    kinds = [type(line) for line in lines]
    if done.returncode != 0 or kinds != [HelloLine, MeasurementLine, DoneLine]:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise MeasurementError(said[-1][:300] if said else f"the runner ended with status {done.returncode}")


def _version(path: str) -> int:
    try:
        shown = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    match = re.search(r"version (\d+)\.", shown)
    return int(match[1]) if match else 0
