"""Starting an official tool on a device: pinned to cores, to its end, and with all that it printed."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from android_bench.device import Device
from android_bench.errors import TookTooLongError
from android_bench.parsers.cpu import core_mask
from android_bench.parsers.text import name
from pocketnas_base.errors import MeasurementError

# What a shell says of a program that it cannot start.
_NOT_STARTED = (126, 127)
# Behind the tool's output: the clock, its process, and the cores that this shell, and so the tool, was left with.
_SCRIPT = (
    '"$@" & p=$!; wait $p; s=$?; read e x </proc/uptime;'
    " m=; while read k v; do case $k in Cpus_allowed:) m=$v;; esac; done </proc/self/status;"
    ' echo; echo "$0 $e $p $m"; exit $s'
)
_UNKNOWN_FLAGS = re.compile(
    rb"Unconsumed cmdline flags: ([^\r\n]{1,300})|ERROR: unknown command line flag '([A-Za-z0-9_]{1,60})'"
)
_COMPLAINT = re.compile(rb"(?m)^(?:ERROR: |FATAL: |[EF] [0-9:.]{8,20} executorch:)([^\r\n]{1,300})")
_MAX_WORDS = 300


class ModelFailedError(MeasurementError):
    """One model could not be measured; the tool may well measure others."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A tool that came to its end. output: what it printed, and what it printed as errors behind it. ended_ns: the
    device's clock then. process: its number there. cpus_allowed: a hexadecimal mask, "" where the device does not
    say."""

    output: bytes
    ended_ns: int
    process: int
    cpus_allowed: str


@dataclass(frozen=True, slots=True)
class Launcher:
    """A tool that lies on a device. name: for messages. path: where it lies there. cores: what it is pinned to."""

    device: Device
    name: str
    path: str
    cores: tuple[int, ...]

    def run(self, arguments: Sequence[str], *, timeout_s: float) -> Ended:
        """Run it once. Raises ModelFailedError when it fails or takes too long, MeasurementError when it cannot be
        started or does not understand its arguments, DeviceError when the device cannot be reached."""
        mark = secrets.token_hex(8)
        pinned = ("taskset", core_mask(self.cores)) if self.cores else ()
        command = (*pinned, "sh", "-c", _SCRIPT, mark, self.path, *arguments)
        try:
            done = self.device.transport.run(command, timeout_s=timeout_s)
        except TookTooLongError as error:
            raise ModelFailedError(f"{self.name} took longer than {timeout_s:.0f} s") from error
        report = re.search(rb"\n%s (\d{1,12})\.(\d\d) (\d{1,9}) ([0-9a-f,]{0,512})\n\Z" % mark.encode(), done.stdout)
        if report is None:
            raise MeasurementError(
                f"{self.name} cannot be started on cores {list(self.cores)} of {self.device.id}:"
                f" {_last_words(done.stderr)}"
            )
        output = done.stdout[: report.start()] + b"\n" + done.stderr
        self._check(output, done.exit_status)
        return Ended(
            output=output,
            ended_ns=(int(report[1]) * 100 + int(report[2])) * 10_000_000,
            process=int(report[3]),
            cpus_allowed=report[4].decode(),
        )

    def _check(self, output: bytes, status: int) -> None:
        if status in _NOT_STARTED:
            raise MeasurementError(f"{self.name} cannot be started on {self.device.id}: {_last_words(output)}")
        unknown = _UNKNOWN_FLAGS.search(output)
        if unknown is not None:
            flags = name((unknown[1] or b"--" + unknown[2]).decode(errors="replace"), _MAX_WORDS)
            raise MeasurementError(
                f"{self.name} does not understand {flags}: this build is of another version, or made without that"
            )
        if status != 0:
            raise ModelFailedError(f"{self.name} ended with status {status}: {_reason(output)}")


def _reason(output: bytes) -> str:
    """Its own first complaint, which names the cause; what it says last is often only that it failed."""
    first = _COMPLAINT.search(output)
    return (name(first[1].decode(errors="replace"), _MAX_WORDS) if first else None) or _last_words(output)


def _last_words(output: bytes) -> str:
    return name(output.decode(errors="replace").strip().rpartition("\n")[2], _MAX_WORDS) or "it said nothing"
