"""`pocketnas check DEPLOY_DIR`: files, manifest, stock interpreters, our runner, and arm64 under emulation."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from android_bench.emulated import OLDEST_QEMU, find_qemu, run_emulated
from android_bench.job import Job
from android_bench.local import open_local
from android_bench.protocol import Protocol
from android_bench.runner.abi import Abi, host_abi
from android_bench.runner.bundle import build_bundle, newest_bundle
from android_bench.session import measure
from android_bench.store import SampleStore
from deploy.bundle_check import Finding, RanFile, check_files
from pocketnas.console import print_json, say
from pocketnas_base.artifact import Precision, Runtime
from pocketnas_base.errors import DeviceError, InputError, MeasurementError, MissingDependencyError

ARM64: Abi = "arm64-v8a"

# The same kernels on the same machine, so next to nothing; int8 may round a value to its neighbour.
_SAME_MACHINE: dict[Precision, float] = {"fp32": 1e-4, "fp16": 1e-3}
# Another machine's kernels: arm64 sums in another order, and computes fp16 in fp16 where it can.
_ARM64: dict[Precision, float] = {"fp32": 1e-3, "fp16": 2e-2}
_INTEGERS = 5e-2

_ONCE = Protocol(
    processes=1, min_processes=1, warmup_min_runs=0, warmup_min_ns=0, warmup_max_ns=0, min_runs=1, min_ns=0, max_runs=1
)


def check_bundle(folder: Path, *, emulate: bool, as_json: bool) -> int:
    """Print every finding, one line each; returns the exit status, 1 where there is any. emulate: also run the files by
    the arm64 bundle, where qemu is installed and the bundle was built before."""
    with tempfile.TemporaryDirectory(prefix="pocketnas-check-") as scratch:
        workshop = Path(scratch)
        (workshop / "files").mkdir()
        sound, findings = check_files(folder, workshop / "files")
        not_checked: list[str] = []
        findings += _by_runner(sound, workshop, not_checked)
        if emulate and host_abi() != ARM64:
            findings += _by_arm64(sound, workshop, not_checked)
    if as_json:
        document = {"findings": [asdict(finding) for finding in findings], "not_checked": not_checked}
        print_json({**document, "files": [one.file.artifact.path.name for one in sound]})
    else:
        for finding in findings:
            print(finding)
        for reason in not_checked:
            say(f"not checked: {reason}")
        if not findings:
            print(f"{folder}: {len(sound)} files are what the manifest says, and run")
    return 1 if findings else 0


def _by_runner(sound: Sequence[RanFile], workshop: Path, not_checked: list[str]) -> list[Finding]:
    def run(one: RanFile) -> None:
        path = workshop / f"{one.file.artifact.path.name}.sqlite"
        with SampleStore.open(path) as store:
            measure(device, [_job(one, _SAME_MACHINE)], _ONCE, store)

    try:
        device = open_local(say=say)
    except MissingDependencyError as error:
        not_checked.append(f"in the runner, on this machine: {error}")
        return []
    return _found(sound, run, "on this machine, in the runner", not_checked)


def _by_arm64(sound: Sequence[RanFile], workshop: Path, not_checked: list[str]) -> list[Finding]:
    qemu = find_qemu()
    if qemu is None:
        not_checked.append(f"on arm64: it needs qemu-aarch64 {OLDEST_QEMU} or newer on PATH, or in $POCKETNAS_QEMU")
        return []
    runtimes: list[Runtime] = sorted({one.file.artifact.runtime for one in sound})
    ready = [runtime for runtime in runtimes if newest_bundle(runtime, ARM64) is not None]
    for runtime in runtimes:
        if runtime not in ready:
            not_checked.append(f"{runtime} on arm64: build its runner first: pocketnas runner build --abi {ARM64}")

    def run(one: RanFile) -> None:
        runtime = one.file.artifact.runtime
        place = workshop / f"{one.file.artifact.path.name}.arm64"
        place.mkdir()
        run_emulated(build_bundle(runtime, ARM64, say=say), _job(one, _ARM64), qemu, place)

    able = [one for one in sound if one.file.artifact.runtime in ready]
    return _found(able, run, "on arm64, emulated", not_checked)


def _found(
    sound: Sequence[RanFile], run: Callable[[RanFile], None], where: str, not_checked: list[str]
) -> list[Finding]:
    findings = []
    for one in sound:
        name = one.file.artifact.path.name
        try:
            run(one)
        except (MeasurementError, DeviceError, InputError) as error:
            findings.append(Finding(name, f"{where}: {error}"))
        except MissingDependencyError as error:
            not_checked.append(f"{name} {where}: {error}")
    return findings


def _job(one: RanFile, most_error: dict[Precision, float]) -> Job:
    artifact = one.file.artifact
    error = most_error.get(artifact.precision, _INTEGERS)
    return Job(artifact.path.name, artifact, (one.input,), (one.output,), error)
