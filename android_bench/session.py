"""A session: the jobs of one device, measured in several processes, each sample kept as it arrives."""

import importlib.metadata
import json
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from android_bench.device import Device
from android_bench.errors import DamagedLineError, DamagedTransferError, DeviceLostError, MarkerMissingError
from android_bench.health import HealthSnapshot
from android_bench.job import Job, check_jobs, pick_sentinels
from android_bench.model_file import check_file
from android_bench.official.process import OfficialProcesses
from android_bench.official.runner import OfficialRunner
from android_bench.official.tool import Tool, install, prepare
from android_bench.process import RoundProcess, RunnerProcess
from android_bench.protocol import Protocol
from android_bench.reading import SessionRecord
from android_bench.reasons import Reason, check_tolerated
from android_bench.results import ErrorLine
from android_bench.schedule import Step, schedule
from android_bench.stopping import Stopping
from android_bench.store import SampleStore
from android_bench.workspace import OWN_PROGRAM, InstalledRunner
from pocketnas_base.artifact import RUNTIMES, Runtime
from pocketnas_base.errors import DeviceError, InputError, MeasurementError
from pocketnas_base.files import sha256_bytes
from pocketnas_base.progress import Progress, silent

# How often what is still missing of a round is tried again: after voids, and after a lost connection.
REPEATS = 2


def measure(
    device: Device,
    jobs: Sequence[Job],
    protocol: Protocol,
    store: SampleStore,
    *,
    sentinels: Collection[str] = (),
    tolerated: Collection[str] = (),
    profile: bool = False,
    official: OfficialRunner | None = None,
    progress: Progress = silent,
) -> str:
    """Measure every job in up to `protocol.processes` fresh processes, each until it is known well enough (`Stopping`).
    Returns the session's key in the store.

    Only what the store lacks under that key is measured, so that calling again goes on where a call was
    interrupted. The key is made of the device, the runners and the protocol: jobs may be added later.
    sentinels: ids of the jobs that show the device's drift, at most one per runtime; left out, the job whose file is
      of median size.
    tolerated: ids of `reasons.REASONS` for which neither is a device refused nor a measurement repeated.
    profile: also ask, in the first round and apart from timing, what each operator of each job takes.
    official: a user's own tool, for the runtime that it serves, in the place of our runner. It feeds the models itself:
      inputs and references of its jobs are not used.
    Raises MeasurementError when a model cannot be run or computes something else than its reference, naming its
    file, when a runner dies, or when measurements stay void: what was measured before stays in the store. Raises
    InputError for jobs, sentinels, reasons or cores that make no sense, for a .tflite file that is cut off, and for an
    official tool that is not for this device or for none of the jobs;
    DeviceError when the device is lost, locked or not fit; and MissingDependencyError when a runner cannot be built.
    """
    check_jobs(jobs)
    for job in jobs:
        check_file(job.artifact)
    chosen = pick_sentinels(jobs, sentinels)
    if official is not None:
        official.check(device)
        if official.runtime not in chosen:
            raise InputError(f"{official.kind} runs {official.runtime} files, of which there are none to measure")
    session = _Session(device, protocol.on(device), store, check_tolerated(tolerated), profile, official, progress)
    return session.run(jobs, chosen)


class _Session:
    """One call of `measure`."""

    def __init__(
        self,
        device: Device,
        protocol: Protocol,
        store: SampleStore,
        tolerated: frozenset[str],
        profile: bool,
        official: OfficialRunner | None,
        progress: Progress,
    ) -> None:
        self._device, self._protocol, self._store = device, protocol, store
        self._tolerated, self._profile, self._progress = tolerated, profile, progress
        self._official = official
        self._tool: Tool | None = None
        self._key = ""
        self._paths: dict[str, str] = {}
        self._done = self._total = 0

    def run(self, jobs: Sequence[Job], sentinels: dict[Runtime, Job]) -> str:
        guard, store = self._device.guard, self._store
        try:
            with guard.session(), tempfile.TemporaryDirectory(prefix="pocketnas-") as scratch:
                runners = {runtime: self._install(runtime) for runtime in RUNTIMES if runtime in sentinels}
                record = _describe(self._device, runners, self._protocol)
                store.add_session(record)
                self._key = record.key
                self._rounds(jobs, sentinels, runners, Path(scratch))
        finally:
            if self._key and guard.changes:
                store.add_changes(self._key, guard.changes)
        return self._key

    def _rounds(
        self,
        jobs: Sequence[Job],
        sentinels: dict[Runtime, Job],
        runners: dict[Runtime, InstalledRunner],
        scratch: Path,
    ) -> None:
        budget, stopping = self._protocol.processes, Stopping(self._protocol, self._tolerated)
        self._done = budget * len(jobs) - self._lacking(jobs, range(budget))
        for number in range(budget):
            unsettled = stopping.open(jobs)
            if not unsettled:
                self._progress(self._done, self._done, "all settled")
                return
            self._total = self._done + self._lacking(unsettled, range(number, budget))
            for runtime, runner in runners.items():
                own = [job for job in unsettled if job.artifact.runtime == runtime]
                self._round(number, own, sentinels[runtime], runner, scratch)
            stopping.add(self._store.readings(self._key, number))

    def _install(self, runtime: Runtime) -> InstalledRunner:
        if self._official is None or self._official.runtime != runtime:
            return self._device.workspace.install(runtime)
        installed = install(self._device, self._official)
        self._tool = prepare(self._device, installed, self._protocol)
        return installed

    def _lacking(self, jobs: Sequence[Job], rounds: Sequence[int]) -> int:
        """How many measurements these rounds lack."""
        measured = self._store.measured(self._key, self._tolerated)
        wanted = {(number, job.id, job.artifact.sha256) for number in rounds for job in jobs}
        return len(wanted - measured)

    def _missing(self, jobs: Sequence[Job], number: int) -> list[Job]:
        measured = self._store.measured(self._key, self._tolerated)
        profiled = self._store.profiles(self._key) if self._profile and number == 0 else None
        return [
            job
            for job in jobs
            if (number, job.id, job.artifact.sha256) not in measured
            or (profiled is not None and (job.id, job.artifact.sha256) not in profiled)
        ]

    def _round(self, number: int, jobs: Sequence[Job], sentinel: Job, runner: InstalledRunner, scratch: Path) -> None:
        """Measure what one round lacks. What turns out void, or is lost on its way, is tried again for as long as that
        brings something, and `REPEATS` times more."""
        in_vain = 0
        while missing := self._missing(jobs, number):
            problem: DeviceError | MeasurementError
            try:
                reasons = self._run(missing, sentinel, runner, number, scratch)
            except (DeviceLostError, DamagedTransferError, DamagedLineError) as error:
                # The device is back (see `_run`), or has been there all the time.
                problem = error
            else:
                told = "; ".join(str(reason) for reason in reasons)
                problem = MeasurementError(
                    f"measurements on {self._device.id} stay void after {REPEATS} repetitions ({told});"
                    " run again once that is mended, or --tolerate a reason by name"
                )
            in_vain = 0 if len(self._missing(jobs, number)) < len(missing) else in_vain + 1
            if in_vain > REPEATS:
                raise problem

    def _run(
        self, jobs: Sequence[Job], sentinel: Job, runner: InstalledRunner, number: int, scratch: Path
    ) -> list[Reason]:
        """One process, with the device's state around it. Returns the reasons for which some of it is void."""
        guard, store = self._device.guard, self._store
        steps = schedule(jobs, sentinel, self._protocol, number)
        profile = self._profile and number == 0
        process = self._process(runner, steps, profile=profile)
        before = self._prepare(process)
        own = store.add_process(self._key, runner.runtime, number, before)
        failures: list[tuple[Step, ErrorLine]] = []
        try:
            failures = process.run(own, self._paths, scratch)
        except DeviceLostError as error:
            try:
                with self._or_void(process):
                    guard.recover(error)
                extra = [Reason("marker-missing", str(error))] if isinstance(error, MarkerMissingError) else []
                self._conclude(process, own, "device-lost", before, extra)
            finally:
                self._paths.clear()  # a phone that was away has to show again what lies on it
            raise
        except (DamagedTransferError, DamagedLineError):
            self._conclude(process, own, "damaged", before)
            raise
        except BaseException:
            # What is raised matters more than the state afterwards, which may no longer be there to be read.
            with suppress(DeviceError):
                self._conclude(process, own, "interrupted", before)
            raise
        outcome = f"{len(failures)} failed" if failures else "done"
        reasons = self._conclude(process, own, outcome, before)
        if failures:
            self._raise_first(failures)
        return [*process.voided, *reasons]

    def _prepare(self, process: RoundProcess) -> HealthSnapshot:
        """Returns the device's state once everything lies on it and it is fit to measure."""
        guard = self._device.guard
        try:
            files = [file for file in process.files() if file.sha256 not in self._paths]
            self._paths |= self._device.workspace.place(files)
            return guard.before(self._protocol.cores or (), self._tolerated)
        except DeviceLostError as error:
            self._paths.clear()
            guard.recover(error)
            raise

    def _process(self, runner: InstalledRunner, steps: Sequence[Step], *, profile: bool) -> RoundProcess:
        device, protocol, store, measured = self._device, self._protocol, self._store, self._step
        if self._tool is not None and self._official is not None and self._official.runtime == runner.runtime:
            return OfficialProcesses(
                device, runner, protocol, store, steps, tool=self._tool, profile=profile, measured=measured
            )
        return RunnerProcess(device, runner, protocol, store, steps, profile=profile, measured=measured)

    def _conclude(
        self,
        process: RoundProcess,
        own: int,
        outcome: str,
        before: HealthSnapshot,
        found: Sequence[Reason] = (),
    ) -> list[Reason]:
        guard = self._device.guard
        with self._or_void(process):
            after = guard.after()
            # Inputs and references that changed make a model's output wrong, and the runner looks at that.
            models = {sha256: self._paths[sha256] for sha256 in process.models & self._paths.keys()}
            changed = self._device.workspace.changed(models)
        self._store.end_process(own, outcome, after, process.cpu_ns, process.tick_ns)
        reasons = [*found, *self._drift(process), *guard.judge(before, after, self._protocol.cores or ())]
        if changed:
            which = self._paths[min(changed)]
            reasons.append(Reason("hash-mismatch", f"{which} is no longer what was put there"))
            self._paths = {sha256: path for sha256, path in self._paths.items() if sha256 not in changed}
        self._void(process, reasons)
        return [reason for reason in reasons if reason.id not in self._tolerated]

    @contextmanager
    def _or_void(self, process: RoundProcess) -> Iterator[None]:
        """What a process measured does not count when nobody can say any more in what state the device was."""
        try:
            yield
        except DeviceError as error:
            self._void(process, [Reason("device-lost", str(error))])
            raise

    def _void(self, process: RoundProcess, reasons: Sequence[Reason]) -> None:
        self._store.add_voids([kept.number for kept in process.kept], reasons)

    def _drift(self, process: RoundProcess) -> list[Reason]:
        most = self._device.guard.most_drift
        seen = [kept.median_ns for kept in process.kept if kept.step.role == "sentinel"]
        if most is None or len(seen) < 2 or max(seen) <= min(seen) * (1 + most):
            return []
        return [Reason("drift", f"the sentinel took {min(seen) / 1e6:.3f} to {max(seen) / 1e6:.3f} ms in one process")]

    def _step(self, job: Job) -> None:
        self._done += 1
        self._progress(min(self._done, self._total), self._total, job.id)

    def _raise_first(self, failures: Sequence[tuple[Step, ErrorLine]]) -> None:
        step, line = failures[0]
        others = len({failed.job.id for failed, _ in failures} - {step.job.id})
        more = f" (and {others} other models)" if others else ""
        what = "computes something else than its reference" if line.kind == "output" else "cannot be measured"
        raise MeasurementError(f"{step.job.artifact.path} {what} on {self._device.id}: {line.message}{more}")


def _describe(device: Device, runners: dict[Runtime, InstalledRunner], protocol: Protocol) -> SessionRecord:
    made_with: dict[str, dict[str, str]] = {}
    for runtime, runner in runners.items():
        made_with[runtime] = {"version": runner.runtime_version, "abi": runner.abi, "sha256": runner.sha256}
        if runner.program != OWN_PROGRAM:
            made_with[runtime] |= {"program": runner.program, "delegate": runner.delegate}
    settings = protocol.to_dict()
    identity = json.dumps([device.id, device.info.fingerprint, made_with, settings], sort_keys=True)
    try:
        version = importlib.metadata.version("pocketnas")
    except importlib.metadata.PackageNotFoundError:
        version = None
    return SessionRecord(
        key=sha256_bytes(identity.encode())[:32],
        device_id=device.id,
        device_fingerprint=device.info.fingerprint,
        device=asdict(device.info),
        runners=made_with,
        protocol=settings,
        tool_version=version,
    )
