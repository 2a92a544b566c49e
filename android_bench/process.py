"""One runner process: its plan, its lines, and what becomes of them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from statistics import median

from android_bench.device import Device
from android_bench.job import Job
from android_bench.plan import PlannedModel, render
from android_bench.protocol import Protocol
from android_bench.reasons import Reason
from android_bench.results import (
    MAX_LINE_BYTES,
    DoneLine,
    ErrorLine,
    HelloLine,
    MeasurementLine,
    ProfileLine,
    parse_line,
)
from android_bench.schedule import Step
from android_bench.store import SampleStore
from android_bench.transport import LineStream
from android_bench.workspace import InstalledRunner, KnownFile
from pocketnas_base.errors import MeasurementError
from pocketnas_base.files import sha256_bytes, sha256_file

LOAD_ALLOWANCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A measurement that is in the store. median_ns: of its samples."""

    number: int
    step: Step
    median_ns: float


class RoundProcess(ABC):
    """What measures one round. Everything is in the store as soon as it is known.

    profile: also ask what each operator of each job takes, apart from timing. measured: told of each job's measurement
    that counts. kept: the measurements so far. voided: why some of them do not count. cpu_ns: what the process took of
    the cores, tick_ns: how finely its clock ticks, both once it has said so.
    """

    def __init__(
        self,
        device: Device,
        runner: InstalledRunner,
        protocol: Protocol,
        store: SampleStore,
        steps: Sequence[Step],
        *,
        profile: bool,
        measured: Callable[[Job], None],
    ) -> None:
        self._device, self._runner, self._protocol, self._store = device, runner, protocol, store
        self._steps, self._profile, self._measured = steps, profile, measured
        self.kept: list[Kept] = []
        self.voided: list[Reason] = []
        self.cpu_ns: int | None = None
        self.tick_ns: int | None = None

    @property
    def models(self) -> set[str]:
        """The sha256 of every model that it measures."""
        return {step.job.artifact.sha256 for step in self._steps}

    @abstractmethod
    def files(self) -> list[KnownFile]:
        """What has to lie on the device."""

    @abstractmethod
    def run(self, process: int, paths: dict[str, str], scratch: Path) -> list[tuple[Step, ErrorLine]]:
        """Measure, under the store's number `process`. paths: where each file lies on the device, by sha256.

        Returns what could not be measured. Raises MeasurementError when the runner itself is at fault, DeviceError when
        the device cannot be reached.
        """

    def _note(self, kept: Kept, allowed: tuple[int, ...], ran: Collection[int]) -> None:
        """A measurement is in the store. allowed, ran: the cores that it might have run on, and those on which it was
        seen; none where that is not known."""
        self.kept.append(kept)
        misplaced = self._misplaced(allowed, ran)
        if misplaced:
            self._store.add_voids([kept.number], [misplaced])
            self.voided.append(misplaced)
        elif kept.step.role == "job":
            self._measured(kept.step.job)

    def _misplaced(self, allowed: tuple[int, ...], ran: Collection[int]) -> Reason | None:
        """Whether something moved the runner to other cores than it was told."""
        wanted = self._protocol.cores
        if not wanted or not allowed:
            return None
        if allowed != wanted:
            return Reason("wrong-cores", f"it was allowed {list(allowed)} instead of {list(wanted)}")
        if not set(ran) <= set(wanted):
            return Reason("wrong-cores", f"it ran on {sorted(ran)} instead of {list(wanted)}")
        return None


class RunnerProcess(RoundProcess):
    """One process of our own runner, which measures all steps of a round one after the other."""

    def files(self) -> list[KnownFile]:
        files: dict[str, KnownFile] = {}
        for job in {step.job.id: step.job for step in self._steps}.values():
            files[job.artifact.sha256] = KnownFile(job.artifact.path, job.artifact.sha256)
            for path in (*job.inputs, *job.references):
                sha256 = sha256_of(path)
                files[sha256] = KnownFile(path, sha256)
        return list(files.values())

    def run(self, process: int, paths: dict[str, str], scratch: Path) -> list[tuple[Step, ErrorLine]]:
        """See `RoundProcess.run`. Raises MeasurementError when the runner does not keep to its protocol or dies."""
        workspace = self._device.workspace
        plan = self._write_plan(paths, scratch)
        place = workspace.place([plan])[plan.sha256]
        # Loading has no limit of its own, so a model that hangs is only told from a slow one by this allowance.
        silence_s = LOAD_ALLOWANCE_S + 2 * self._protocol.max_ns / 1e9
        command = (*self._runner.command, place)
        with self._device.transport.stream(command, silence_s=silence_s, max_line_bytes=MAX_LINE_BYTES) as lines:
            failures = self._store_lines(lines, process)
        workspace.discard([plan])
        return failures

    def _write_plan(self, paths: dict[str, str], scratch: Path) -> KnownFile:
        models = {
            step.job.id: PlannedModel(
                id=step.job.id,
                path=paths[step.job.artifact.sha256],
                inputs=tuple(paths[sha256_of(path)] for path in step.job.inputs),
                references=tuple(paths[sha256_of(path)] for path in step.job.references),
                max_output_error=step.job.max_output_error,
            )
            for step in self._steps
        }
        in_order = [
            replace(models[step.job.id], profile=True) if self._profile and step.role == "job" else models[step.job.id]
            for step in self._steps
        ]
        plan = render(self._protocol, self._runner.runtime_version, in_order)
        name = sha256_bytes(plan)
        path = scratch / f"{name}.jsonl"
        path.write_bytes(plan)
        return KnownFile(path, name)

    def _store_lines(self, lines: LineStream, process: int) -> list[tuple[Step, ErrorLine]]:
        failures = []
        greeted = ended = False
        steps, at = self._steps, 0
        for raw in lines:
            line = parse_line(raw)
            if isinstance(line, HelloLine) is greeted or ended:
                raise MeasurementError(f"the {self._name} wrote its lines in a wrong order")
            if isinstance(line, HelloLine):
                greeted = True
                self.tick_ns = line.tick_ns
                if (line.runtime, line.abi) != (self._runner.runtime, self._runner.abi):
                    raise MeasurementError(f"the {self._name} says that it is one for {line.runtime} on {line.abi}")
            elif isinstance(line, DoneLine):
                ended = True
                self.cpu_ns = line.cpu_ns
            elif isinstance(line, ProfileLine) or (isinstance(line, ErrorLine) and line.kind == "profile"):
                if not self._profile or at == 0 or (line.sequence, line.id) != (at - 1, steps[at - 1].job.id):
                    raise MeasurementError(f"the {self._name} sent a profile of {line.id}, which nobody asked for")
                self._store.add_profile(process, steps[at - 1], line.model_dump_json())
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
        error = line.output_error
        if step.job.references and (error is None or error > step.job.max_output_error):
            raise MeasurementError(f"{step.job.artifact.path} was measured without its output being checked")
        number = self._store.add_measurement(process, step, line)
        self._note(Kept(number, step, median(line.samples_ns)), line.allowed_cores, line.cores_ran)

    @property
    def _name(self) -> str:
        return f"{self._runner.runtime} runner on {self._device.id}"


def sha256_of(path: Path) -> str:
    """The hash of a file, computed once for as long as it stays as it is: every round asks for all of them. Raises
    MeasurementError when the file cannot be read."""
    try:
        found = path.stat()
        return _sha256_of(path, found.st_ino, found.st_size, found.st_mtime_ns)
    except OSError as error:
        raise MeasurementError(f"{path} cannot be read: {error.strerror}") from error


@lru_cache(maxsize=4096)
def _sha256_of(path: Path, _inode: int, _size: int, _changed_ns: int) -> str:
    return sha256_file(path)
