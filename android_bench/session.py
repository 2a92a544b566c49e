"""A session: the jobs of one device, measured in several processes, each sample kept as it arrives."""

import hashlib
import importlib.metadata
import json
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path

from android_bench import health
from android_bench.device import Device
from android_bench.job import Job, check_jobs, pick_sentinels
from android_bench.model_file import check_file
from android_bench.plan import PlannedModel, render
from android_bench.protocol import Protocol
from android_bench.results import MAX_LINE_BYTES, DoneLine, ErrorLine, HelloLine, MeasurementLine, parse_line
from android_bench.runner.build import Runner, build_runner
from android_bench.schedule import Step, schedule
from android_bench.store import SampleStore, SessionRecord
from android_bench.transport import LineStream
from pocketnas_base.artifact import RUNTIMES, Runtime
from pocketnas_base.errors import MeasurementError
from pocketnas_base.files import sha256_bytes, sha256_file
from pocketnas_base.progress import Progress, silent

LOAD_ALLOWANCE_S = 120.0


def measure(
    device: Device,
    jobs: Sequence[Job],
    protocol: Protocol,
    store: SampleStore,
    *,
    sentinels: Collection[str] = (),
    progress: Progress = silent,
) -> str:
    """Measure every job in `protocol.processes` fresh processes. Returns the session's key in the store.

    Only what the store lacks under that key is measured, so that calling again goes on where a call was
    interrupted. The key is made of the device, the runners and the protocol: jobs may be added later.
    sentinels: ids of the jobs that show the device's drift, at most one per runtime; left out, the job whose file is
      of median size.
    Raises MeasurementError when a model cannot be run or computes something else than its reference, naming its
    file, or when a runner dies: what was measured before stays in the store. Raises InputError for jobs, sentinels or
    cores that make no sense and for a .tflite file that is cut off; DeviceError; and MissingDependencyError when a
    runner cannot be built.
    """
    check_jobs(jobs)
    for job in jobs:
        check_file(job.artifact)
    chosen = pick_sentinels(jobs, sentinels)
    protocol = protocol.on(device)
    runners = {runtime: build_runner(runtime, device.info.abi) for runtime in RUNTIMES if runtime in chosen}
    record = _describe(device, runners, protocol)
    store.add_session(record)
    measured = store.measured(record.key)
    wanted = [(number, job) for number in range(protocol.processes) for job in jobs]
    missing = [(number, job) for number, job in wanted if (number, job.id, job.artifact.sha256) not in measured]
    watch = _Watch(progress, len(wanted) - len(missing), len(wanted))
    with tempfile.TemporaryDirectory(prefix="pocketnas-") as scratch:
        for number in range(protocol.processes):
            for runtime, runner in runners.items():
                own = [job for n, job in missing if n == number and job.artifact.runtime == runtime]
                if own:
                    steps = schedule(own, chosen[runtime], protocol, number)
                    process = _Process(device, runner, protocol, store, record.key, number, watch)
                    process.run(steps, Path(scratch))
    return record.key


def _describe(device: Device, runners: dict[Runtime, Runner], protocol: Protocol) -> SessionRecord:
    made_with: dict[str, dict[str, str]] = {
        runtime: {"version": runner.runtime_version, "abi": runner.abi, "sha256": runner.sha256}
        for runtime, runner in runners.items()
    }
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


class _Watch:
    """Counts jobs for whoever watches."""

    def __init__(self, progress: Progress, done: int, total: int) -> None:
        self._progress, self._done, self._total = progress, done, total

    def step(self, job: Job) -> None:
        self._done += 1
        self._progress(self._done, self._total, job.id)


class _Process:
    """One runner process of one round."""

    def __init__(
        self,
        device: Device,
        runner: Runner,
        protocol: Protocol,
        store: SampleStore,
        key: str,
        round_number: int,
        watch: _Watch,
    ) -> None:
        self._device, self._runner, self._protocol = device, runner, protocol
        self._store, self._key, self._round, self._watch = store, key, round_number, watch

    def run(self, steps: Sequence[Step], scratch: Path) -> None:
        """Measure `steps`, storing each at once. Raises MeasurementError after the last if any failed."""
        command = (*self._device.transport.install(self._runner), self._place_plan(steps, scratch))
        before = health.snapshot(self._device.transport)
        process = self._store.add_process(self._key, self._runner.runtime, self._round, before)
        outcome = "interrupted"
        failures: list[tuple[Step, ErrorLine]] = []
        # Loading has no limit of its own, so a model that hangs is only told from a slow one by this allowance.
        silence_s = LOAD_ALLOWANCE_S + 2 * self._protocol.max_ns / 1e9
        try:
            with self._device.transport.stream(command, silence_s=silence_s, max_line_bytes=MAX_LINE_BYTES) as lines:
                failures = self._store_lines(lines, steps, process)
            outcome = f"{len(failures)} failed" if failures else "done"
        finally:
            self._store.end_process(process, outcome, health.snapshot(self._device.transport))
        if failures:
            self._raise_first(failures)

    def _place_plan(self, steps: Sequence[Step], scratch: Path) -> str:
        transport = self._device.transport
        models = {}
        for step in steps:
            job = step.job
            if job.id not in models:
                models[job.id] = PlannedModel(
                    id=job.id,
                    path=transport.place(job.artifact.path, job.artifact.sha256),
                    inputs=tuple(transport.place(path, _sha256(path)) for path in job.inputs),
                    references=tuple(transport.place(path, _sha256(path)) for path in job.references),
                    max_output_error=job.max_output_error,
                )
        plan = render(self._protocol, self._runner.runtime_version, [models[step.job.id] for step in steps])
        path = scratch / f"{hashlib.sha256(plan).hexdigest()}.jsonl"
        path.write_bytes(plan)
        return transport.place(path, sha256_file(path))

    def _store_lines(self, lines: LineStream, steps: Sequence[Step], process: int) -> list[tuple[Step, ErrorLine]]:
        failures = []
        greeted = ended = False
        at = 0
        for raw in lines:
            line = parse_line(raw)
            if isinstance(line, HelloLine) is greeted or ended:
                raise MeasurementError(f"the {self._name} wrote its lines in a wrong order")
            if isinstance(line, HelloLine):
                greeted = True
                if (line.runtime, line.abi) != (self._runner.runtime, self._runner.abi):
                    raise MeasurementError(f"the {self._name} says that it is one for {line.runtime} on {line.abi}")
            elif isinstance(line, DoneLine):
                ended = True
            else:
                if at >= len(steps) or (line.sequence, line.id) != (at, steps[at].job.id):
                    raise MeasurementError(f"the {self._name} answered for {line.id}, which was not its turn")
                step = steps[at]
                at += 1
                if isinstance(line, ErrorLine):
                    failures.append((step, line))
                else:
                    self._keep(process, step, line)
        status = lines.wait()
        if status.exit_status != 0 or not ended or at != len(steps):
            at_hand = f" while measuring {steps[at].job.artifact.path}" if at < len(steps) else ""
            last_words = status.stderr.decode(errors="replace").strip().rpartition("\n")[2][-500:]
            raise MeasurementError(
                f"the {self._name} ended with status {status.exit_status}{at_hand} ({last_words or 'it said nothing'});"
                f" {at} of {len(steps)} measurements are kept, run again to go on"
            )
        return failures

    def _keep(self, process: int, step: Step, line: MeasurementLine) -> None:
        if line.allowed_cores and self._protocol.cores and line.allowed_cores != self._protocol.cores:
            raise MeasurementError(
                f"{step.job.artifact.path} ran on the cores {list(line.allowed_cores)} of {self._device.id},"
                f" not on {list(self._protocol.cores)}: something moved the runner"
            )
        error = line.output_error
        if step.job.references and (error is None or error > step.job.max_output_error):
            raise MeasurementError(f"{step.job.artifact.path} was measured without its output being checked")
        self._store.add_measurement(process, step, line)
        if step.role == "job":
            self._watch.step(step.job)

    def _raise_first(self, failures: Sequence[tuple[Step, ErrorLine]]) -> None:
        step, line = failures[0]
        others = len({failed.job.id for failed, _ in failures} - {step.job.id})
        more = f" (and {others} other models)" if others else ""
        what = "computes something else than its reference" if line.kind == "output" else "cannot be measured"
        raise MeasurementError(f"{step.job.artifact.path} {what} on {self._device.id}: {line.message}{more}")

    @property
    def _name(self) -> str:
        return f"{self._runner.runtime} runner on {self._device.id}"


def _sha256(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise MeasurementError(f"{path} cannot be read: {error.strerror}") from error
