"""One round of an official tool: a process for each model, and what becomes of each."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Literal

from android_bench.device import Device
from android_bench.errors import UnreadableOutputError
from android_bench.job import Job
from android_bench.official.launch import ModelFailedError
from android_bench.official.tool import Tool
from android_bench.process import Kept, RoundProcess
from android_bench.protocol import Protocol
from android_bench.results import ErrorLine, MeasurementLine, cores_in
from android_bench.schedule import Step
from android_bench.stated import StatedMeasurement
from android_bench.store import SampleStore
from android_bench.workspace import InstalledRunner, KnownFile


class OfficialProcesses(RoundProcess):
    """The steps of a round in their order, each in a process of its own. What a model computes is not checked: official
    tools feed it with inputs of their own."""

    def __init__(
        self,
        device: Device,
        runner: InstalledRunner,
        protocol: Protocol,
        store: SampleStore,
        steps: Sequence[Step],
        *,
        tool: Tool,
        profile: bool,
        measured: Callable[[Job], None],
    ) -> None:
        super().__init__(device, runner, protocol, store, steps, profile=profile, measured=measured)
        self._tool = tool

    def files(self) -> list[KnownFile]:
        artifacts = {step.job.artifact.sha256: step.job.artifact for step in self._steps}
        return [KnownFile(artifact.path, sha256) for sha256, artifact in artifacts.items()]

    def run(self, process: int, paths: dict[str, str], scratch: Path) -> list[tuple[Step, ErrorLine]]:
        """See `RoundProcess.run`. A model that fails is left out of the rest of the round."""
        del scratch
        failures: dict[str, tuple[Step, ErrorLine]] = {}
        for sequence, step in enumerate(self._steps):
            if step.job.id in failures:
                continue
            path = paths[step.job.artifact.sha256]
            try:
                taken = self._tool.measure(step.job, sequence, path)
            except (ModelFailedError, UnreadableOutputError) as error:
                failures[step.job.id] = (step, _error_line(step, sequence, "model", error))
                continue
            self._keep(process, step, taken)
            if self._profile and step.role == "job":
                self._store.add_profile(process, step, self._profile_of(step, sequence, path))
        return list(failures.values())

    def _keep(self, process: int, step: Step, taken: MeasurementLine | StatedMeasurement) -> None:
        if isinstance(taken, StatedMeasurement):
            kept = Kept(self._store.add_stated(process, step, taken), step, taken.runs.typical_ns)
        else:
            kept = Kept(self._store.add_measurement(process, step, taken), step, median(taken.samples_ns))
        self._note(kept, cores_in(taken.cpus_allowed), ())

    def _profile_of(self, step: Step, sequence: int, path: str) -> str:
        try:
            return self._tool.profile(step.job, sequence, path)
        except (ModelFailedError, UnreadableOutputError) as error:
            return _error_line(step, sequence, "profile", error).model_dump_json()


def _error_line(step: Step, sequence: int, kind: Literal["model", "profile"], error: Exception) -> ErrorLine:
    return ErrorLine(type="error", id=step.job.id, sequence=sequence, kind=kind, message=str(error))
