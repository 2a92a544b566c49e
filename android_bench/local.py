"""This machine as a device: the transport that does not leave it, and its identity."""

import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from android_bench.device import Core, Device, DeviceInfo
from android_bench.errors import TookTooLongError
from android_bench.guard import LocalGuard
from android_bench.local_program import LocalProgram
from android_bench.parsers.cpu import core_parts
from android_bench.runner.abi import host_abi
from android_bench.transport import MAX_KEPT_BYTES, Completed, FileStat
from android_bench.workspace import LocalWorkspace
from pocketnas_base.errors import DeviceError, MeasurementError
from pocketnas_base.files import replacing

MAX_TEXT_BYTES = 1024 * 1024


class _LocalStream:
    """See `transport.LineStream`."""

    def __init__(self, program: LocalProgram, name: str, silence_s: float, max_line_bytes: int) -> None:
        self._program = program
        self._name = name
        self._silence_s = silence_s
        self._max_line_bytes = max_line_bytes
        self._stderr = b""
        self._heard = 0.0

    def __iter__(self) -> Iterator[bytes]:
        pending = bytearray()
        for chunk in self._stdout_chunks():
            searched = len(pending)
            pending += chunk
            while (end := pending.find(b"\n", searched)) >= 0:
                line = bytes(pending[:end])
                del pending[: end + 1]
                searched = 0
                self._check_length(len(line))
                yield line
            self._check_length(len(pending))

    def wait(self) -> Completed:
        return self._program.completed(b"", self._stderr)

    def _check_length(self, length: int) -> None:
        if length > self._max_line_bytes:
            raise MeasurementError(f"{self._name} wrote a line longer than {self._max_line_bytes} bytes")

    def _stdout_chunks(self) -> Iterator[bytes]:
        """Standard output as it comes, while standard error is drained, so that neither pipe ever blocks."""
        self._heard = time.monotonic()
        try:
            for source, chunk in self._program.chunks(lambda: self._heard + self._silence_s - time.monotonic()):
                if source is self._program.stdout:
                    yield chunk
                    self._heard = time.monotonic()
                else:
                    self._stderr = (self._stderr + chunk)[-MAX_KEPT_BYTES:]
        except TimeoutError:
            raise MeasurementError(f"{self._name} was silent for {self._silence_s:.0f} s and was stopped") from None


class LocalTransport:
    """See `transport.Transport`. Files are used where they lie."""

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        with LocalProgram(argv) as program:
            kept = {program.stdout: b"", program.stderr: b""}
            try:
                for source, chunk in program.chunks(lambda: program.started + timeout_s - time.monotonic()):
                    kept[source] = (kept[source] + chunk)[-MAX_KEPT_BYTES:]
            except TimeoutError:
                raise TookTooLongError(f"{argv[0]} took longer than {timeout_s:.0f} s and was stopped") from None
            return program.completed(kept[program.stdout], kept[program.stderr])

    @contextmanager
    def stream(self, argv: Sequence[str], *, silence_s: float, max_line_bytes: int) -> Iterator[_LocalStream]:
        with LocalProgram(argv) as program:
            yield _LocalStream(program, Path(argv[0]).name, silence_s, max_line_bytes)

    def push(self, source: Path, destination: str) -> None:
        if not Path(destination).parent.is_dir():
            raise DeviceError(f"{destination} cannot be written: its folder does not exist")
        _copy(source, Path(destination))

    def pull(self, source: str, destination: Path) -> None:
        _copy(Path(source), destination)

    def stat(self, path: str) -> FileStat | None:
        try:
            found = Path(path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise DeviceError(f"{path} cannot be looked at: {error.strerror}") from error
        return FileStat(found.st_size, found.st_mode)

    def close(self) -> None:
        """Nothing is held."""


def open_local(*, say: Callable[[str], None] = lambda _: None) -> Device:
    """This machine as a device. say: told while one has to wait. Raises MissingDependencyError where no runner can be
    built for it."""
    transport = LocalTransport()
    return Device("local", local_info(), transport, LocalWorkspace(say), LocalGuard(transport))


def local_info() -> DeviceInfo:
    """What this machine says of itself; what it does not say is None."""
    cpuinfo = _read("/proc/cpuinfo")
    cpu, parts = _first_cpu(cpuinfo), core_parts(cpuinfo)
    features = cpu.get("flags", cpu.get("Features", "")).split()
    model = _read("/sys/class/dmi/id/product_name") or _read("/sys/firmware/devicetree/base/model")
    return DeviceInfo(
        model=model.strip("\0 ") if model else None,
        soc=cpu.get("model name") or cpu.get("Hardware"),
        abi=host_abi(),
        os_version=_os_version(),
        kernel=platform.release() or None,
        cpu_features=tuple(sorted(features)) or None,
        cores=tuple(
            Core(
                number,
                _integer(_read(f"/sys/devices/system/cpu/cpu{number}/cpufreq/cpuinfo_max_freq")),
                parts.get(number),
            )
            for number in sorted(os.sched_getaffinity(0))
        ),
    )


def _read(path: str) -> str:
    """A small text file of the kernel's, stripped; "" where it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_TEXT_BYTES).decode(errors="replace").strip()
    except OSError:
        return ""


def _copy(source: Path, destination: Path) -> None:
    if source.exists() and not source.is_file():
        raise DeviceError(f"{source} cannot be copied: it is no file")
    try:
        with replacing(destination) as temporary:
            shutil.copyfile(source, temporary)
    except OSError as error:
        raise DeviceError(f"{source} cannot be copied to {destination}: {error.strerror}") from error


def _first_cpu(cpuinfo: str) -> dict[str, str]:
    """The fields of the first core that /proc/cpuinfo describes."""
    pairs = (line.partition(":") for line in cpuinfo.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs if value.strip()}


def _os_version() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return None


def _integer(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
