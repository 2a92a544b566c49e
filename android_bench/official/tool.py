"""An official tool on one device, ready for the models of a session."""

from typing import Protocol as Interface

from android_bench.device import Device
from android_bench.job import Job
from android_bench.official.benchmark_model import BenchmarkModel
from android_bench.official.executor_runner import ExecutorRunner
from android_bench.official.launch import Launcher
from android_bench.official.runner import OfficialRunner
from android_bench.protocol import Protocol
from android_bench.results import MeasurementLine
from android_bench.stated import StatedMeasurement
from android_bench.workspace import InstalledRunner


class Tool(Interface):
    """One program that measures one model at a time, in a process of its own.

    path: where the model lies on the device. Both raise ModelFailedError or UnreadableOutputError when this model
    cannot be measured, MeasurementError when no model can, DeviceError when the device cannot be reached.
    """

    def measure(self, job: Job, sequence: int, path: str) -> MeasurementLine | StatedMeasurement:
        """Samples, or what the tool states of them."""
        ...

    def profile(self, job: Job, sequence: int, path: str) -> str:
        """What each operator takes, in a run of its own, as JSON in the form of `results.ProfileLine`, or of
        `results.ErrorLine` where the tool cannot say."""
        ...


def install(device: Device, official: OfficialRunner) -> InstalledRunner:
    """Make the program ready to start on a device that it was checked for. Raises InputError when it may not be
    started, DeviceError when the device refuses or cannot be reached."""
    return InstalledRunner(
        runtime=official.runtime,
        runtime_version=official.version,
        abi=device.info.abi,
        sha256=official.sha256,
        command=(device.workspace.place_program(official.file),),
        program=official.kind,
        delegate=official.delegate,
    )


def prepare(device: Device, installed: InstalledRunner, protocol: Protocol) -> Tool:
    """The installed program, to be used for the length of a session."""
    launcher = Launcher(device, installed.program, installed.command[0], protocol.cores or ())
    if installed.program == "benchmark_model":
        return BenchmarkModel(launcher, protocol, installed.delegate)
    return ExecutorRunner(launcher, protocol)
