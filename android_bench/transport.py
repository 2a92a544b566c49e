"""What a device must be able to do, whether it is this machine or a phone behind a cable."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that ended. exit_status: as the shell counts, 128 + n after signal n. stdout, stderr: at most the
    last `MAX_KEPT_BYTES` of each."""

    exit_status: int
    stdout: bytes
    stderr: bytes
    duration_s: float


@dataclass(frozen=True, slots=True)
class FileStat:
    """What a transport knows of one file on the device."""

    size_bytes: int
    mode: int


MAX_KEPT_BYTES = 1024 * 1024


class LineStream(Protocol):
    """A program that runs on the device, seen line by line."""

    def __iter__(self) -> Iterator[bytes]:
        """Lines of its standard output as they arrive, without the newline; a last, unfinished line is left out.

        Raises MeasurementError on silence longer than agreed and on a line longer than agreed.
        """
        ...

    def wait(self) -> Completed:
        """After the last line: how it ended, and the end of its standard error."""
        ...


class Transport(Protocol):
    """How bytes reach one device. Paths on the device are plain strings; every method raises DeviceError when the
    device cannot be reached or refuses."""

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        """Run a program to its end. A program that outlives `timeout_s` is killed, and DeviceError raised."""
        ...

    def stream(
        self, argv: Sequence[str], *, silence_s: float, max_line_bytes: int
    ) -> AbstractContextManager[LineStream]:
        """Start a program and read its lines. Leaving the context kills what still runs of it."""
        ...

    def push(self, source: Path, destination: str) -> None:
        """Copy a file of this host to the device, whole or not at all."""
        ...

    def pull(self, source: str, destination: Path) -> None:
        """Copy a file of the device to this host, whole or not at all."""
        ...

    def stat(self, path: str) -> FileStat | None:
        """What is at `path` on the device; None when nothing is."""
        ...

    def close(self) -> None:
        """Let go of the device. The next call reaches for it again."""
        ...
