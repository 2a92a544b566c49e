"""A phone's transport for looking at it: nothing is written there, so that a full phone can be looked at too."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from android_bench.adb.phone_transport import PhoneTransport
from android_bench.transport import MAX_KEPT_BYTES, Completed, FileStat, LineStream
from pocketnas_base.errors import DeviceError, MeasurementError

# The stream ends with a newline of its own, so that a last line without one is not lost.
_WITH_NEWLINE = '"$@"; s=$?; echo; exit $s'


class StreamedTransport:
    """See `transport.Transport`. Standard output of `run` passes through no file on the phone."""

    def __init__(self, transport: PhoneTransport) -> None:
        self._transport = transport

    @property
    def name(self) -> str:
        """The device as messages call it."""
        return self._transport.name

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        """`timeout_s` is how long the program may be silent."""
        words = ("sh", "-c", _WITH_NEWLINE, "sh", *argv)
        received: list[bytes] = []
        size = 0
        try:
            with self._transport.stream(words, silence_s=timeout_s, max_line_bytes=MAX_KEPT_BYTES) as lines:
                for line in lines:
                    received.append(line)
                    size += len(line) + 1
                    if size > MAX_KEPT_BYTES:
                        raise DeviceError(f"{argv[0]} on {self.name} prints more than {MAX_KEPT_BYTES} bytes")
                done = lines.wait()
        except MeasurementError as error:
            raise DeviceError(f"{argv[0]} on {self.name}: {error}") from error
        return Completed(done.exit_status, b"\n".join(received), done.stderr, done.duration_s)

    def stream(
        self, argv: Sequence[str], *, silence_s: float, max_line_bytes: int
    ) -> AbstractContextManager[LineStream]:
        return self._transport.stream(argv, silence_s=silence_s, max_line_bytes=max_line_bytes)

    def push(self, source: Path, destination: str) -> None:
        self._transport.push(source, destination)

    def pull(self, source: str, destination: Path) -> None:
        self._transport.pull(source, destination)

    def stat(self, path: str) -> FileStat | None:
        return self._transport.stat(path)

    def close(self) -> None:
        self._transport.close()
