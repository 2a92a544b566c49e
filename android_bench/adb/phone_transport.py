"""The transport to a phone: what adb lacks, made up once for every channel."""

import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG

from android_bench.adb.channel import MAX_PULL_BYTES, Channel
from android_bench.adb.supervisor import DEVICE_FOLDER, MAX_TRAILER_BYTES, Supervised, Trailer, kill_tagged
from android_bench.errors import (
    DamagedTransferError,
    DeviceLostError,
    DeviceSilentError,
    MarkerMissingError,
    StorageFullError,
    TookTooLongError,
)
from android_bench.transport import MAX_KEPT_BYTES, Completed, FileStat
from pocketnas_base.errors import DeviceError, MeasurementError
from pocketnas_base.files import replacing, sha256_bytes, sha256_file

PATIENCE_S = 20.0
COMMAND_TIMEOUT_S = 30.0
# After that the phone itself ends a program, should this host be cut off without a word.
LONGEST_STREAM_S = 2 * 3600.0
# Hashing a file on the slowest phones of the decade, in bytes a second.
_SLOWEST_HASH = 20_000_000
# What lies on a phone has no size that is known here; what has just been sent is hashed from memory.
_HASHING_S = COMMAND_TIMEOUT_S + MAX_PULL_BYTES / _SLOWEST_HASH
_HASH = "[0-9a-f]{64}"
_STAMP = r"\d+ \d+ \d+ [0-9 .:+-]{1,100}"
# How many paths one command may name: adb takes 4 KiB to 1 MiB of them, by its age.
_PATHS_AT_ONCE = 100
# Moves files that arrived as they were sent from NAME.part to NAME, and takes from others the right to write them, that
# adbd gives to everybody. Prints their hashes; where these are not what they should be (the first argument is the hash
# of that list), it moves none and ends with _DAMAGED. A folder by the same name would take a file in.
_DAMAGED = 3
_SETTLE = rf"""
wanted=$1; shift
list=$(sha256sum "$@"); s=$?
print -r -- "$list"
case $(print -r -- "$list" | sha256sum) in "$wanted "*) ;; *) [ $s = 127 ] && exit 127; exit {_DAMAGED};; esac
chmod 0644 "$@" || exit 1
for part; do
  [ ! -d "${{part%.part}}" ] || {{ echo 'a folder has that name' >&2; exit 1; }}
  mv -f "$part" "${{part%.part}}" || exit 1
done
"""


class PhoneTransport:
    """See `transport.Transport`. patience_s: how long a phone may be silent beyond what it was asked to do."""

    def __init__(self, channel: Channel, *, patience_s: float = PATIENCE_S) -> None:
        self._channel = channel
        self._patience_s = patience_s

    @property
    def name(self) -> str:
        """The device as messages call it."""
        return self._channel.name

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        started = time.monotonic()
        program = Supervised(tuple(argv), timeout_s, streamed=False)
        received = bytearray()
        with self._channel.open(program.script(), silence_s=timeout_s + self._patience_s) as chunks:
            for chunk in chunks:
                received += chunk
                if len(received) > 2 * MAX_KEPT_BYTES + MAX_TRAILER_BYTES:
                    raise DamagedTransferError(f"{self.name} answered {argv[0]} with more than was asked for")
        if program.refused(received):
            raise self._full()
        body, trailer = self.believe(program, bytes(received))
        stdout, stderr = body[: trailer.stdout_bytes], body[trailer.stdout_bytes :]
        return Completed(trailer.exit_status, stdout, stderr, time.monotonic() - started)

    @contextmanager
    def stream(self, argv: Sequence[str], *, silence_s: float, max_line_bytes: int) -> Iterator["_PhoneStream"]:
        program = Supervised(tuple(argv), LONGEST_STREAM_S, streamed=True)
        stream: _PhoneStream | None = None
        try:
            with self._channel.open(program.script(), silence_s=silence_s) as chunks:
                stream = _PhoneStream(self, chunks, program, silence_s, max_line_bytes)
                yield stream
        finally:
            if stream is None or not stream.ended:
                # The phone's own supervisor ends the program in any case, within a second of the hang-up. This only
                # sees to it that it is over when the context is left, where the phone can still be reached.
                with suppress(DeviceError):
                    self._reap(program.tag)

    def push(self, source: Path, destination: str) -> None:
        self.push_many([(source, destination)])

    def push_many(self, files: Sequence[tuple[Path, str]], *, make_folder: bool = False) -> None:
        """Copy files to paths in one folder, each whole or not at all, with few round trips. make_folder: where there
        is none yet.

        Raises DamagedTransferError when the phone twice holds something else than was sent.
        """
        waiting = {destination: (source, _sha256(source)) for source, destination in files}
        if not waiting:
            return
        size_bytes = sum(source.stat().st_size for source, _ in waiting.values())
        self._make_sure_of_room(size_bytes, next(iter(waiting)), make_folder=make_folder)
        for attempt in (1, 2):
            self._push_parts([(source, _part(d)) for d, (source, _) in waiting.items()], last=attempt == 2)
            settled = self._settle({destination: sha256 for destination, (_, sha256) in waiting.items()})
            waiting = {d: what for d, what in waiting.items() if d not in settled}
            if not waiting:
                return
        damaged = next(iter(waiting))
        self._remove([_part(d) for d in waiting])
        raise DamagedTransferError(
            f"{damaged} arrived on {self.name} as something else than was sent, twice; check cable and storage"
        )

    def pull(self, source: str, destination: Path) -> None:
        found = self.stat(source)
        if found is None:
            raise DeviceError(f"{source} does not exist on {self.name}")
        if not S_ISREG(found.mode):
            raise DeviceError(f"{source} on {self.name} is no file")
        if found.size_bytes > MAX_PULL_BYTES:
            raise DeviceError(
                f"{source} on {self.name} has {found.size_bytes} bytes; at most {MAX_PULL_BYTES} are read"
            )
        expected = self.sha256([source]).get(source)
        if expected is None:
            raise DeviceError(f"{source} on {self.name} cannot be read")
        try:
            with replacing(destination) as temporary:
                self._pull_checked(source, temporary, found.size_bytes, expected)
        except OSError as error:
            raise DeviceError(f"{destination} cannot be written on this host: {error.strerror}") from error

    def _pull_checked(self, source: str, temporary: Path, size_bytes: int, expected: str) -> None:
        for attempt in (1, 2):
            try:
                self._channel.pull(source, temporary, size_bytes=size_bytes, silence_s=self._patience_s)
            except DeviceLostError:
                if attempt == 2:
                    raise
                continue
            if sha256_file(temporary) == expected:
                return
        raise DamagedTransferError(f"{source} arrived from {self.name} as something else than is there, twice")

    def stat(self, path: str) -> FileStat | None:
        done = self.run(("stat", "-L", "-c", "%s %f", path), timeout_s=COMMAND_TIMEOUT_S)
        if done.exit_status != 0:
            if b"No such file" in done.stderr or b"Not a directory" in done.stderr:
                return None
            raise DeviceError(f"{path} on {self.name} cannot be looked at: {_last_line(done.stderr)}")
        found = re.fullmatch(rb"(\d{1,18}) ([0-9a-f]{1,8})\n", done.stdout)
        if found is None:
            raise DamagedTransferError(f"{self.name} answered stat with {done.stdout[:100]!r}")
        return FileStat(int(found[1]), int(found[2], 16))

    def sha256(self, paths: Sequence[str]) -> dict[str, str]:
        """The hashes of files on the phone, computed there. Files that cannot be read are left out."""
        return self._ask_of(paths, ("sha256sum",), _HASH, _HASHING_S)

    def stamps(self, paths: Sequence[str]) -> dict[str, str]:
        """What changes with every change of a file on the phone: its inode, its size, and when both were last written.
        Files that cannot be looked at are left out."""
        return self._ask_of(paths, ("stat", "-L", "-c", "%d %i %s %y %z  %n"), _STAMP, COMMAND_TIMEOUT_S)

    def _ask_of(self, paths: Sequence[str], command: tuple[str, ...], form: str, timeout_s: float) -> dict[str, str]:
        told: dict[str, str] = {}
        for start in range(0, len(paths), _PATHS_AT_ONCE):
            some = paths[start : start + _PATHS_AT_ONCE]
            told |= self._answers(self.run((*command, *some), timeout_s=timeout_s), some, form)
        return told

    def _answers(self, done: Completed, paths: Sequence[str], form: str) -> dict[str, str]:
        """What a command said of files: a line each, in their order, with two spaces before the name."""
        if done.exit_status == 127:
            raise DeviceError(f"{self.name} lacks sha256sum or stat: Android 8 or newer is needed")
        told = {}
        # One after the other, since a name may hold a newline. Those that cannot be read are not in the list.
        rest = done.stdout.decode(errors="replace")
        for path in paths:
            line = re.match(rf"({form})  {re.escape(path)}\n", rest)
            if line is not None:
                told[path] = line[1]
                rest = rest[line.end() :]
        return told

    def remove_tree(self, path: str) -> None:
        """Remove a folder of ours with all that is in it, also on a phone that has no room for anything else."""
        if not (path + "/").startswith(DEVICE_FOLDER + "/") or "/../" in path + "/":
            raise ValueError(f"{path} is not ours to remove")
        done = self._run_without_room(("rm", "-rf", path))
        if done.exit_status != 0:
            raise DeviceError(
                f"{path} on {self.name} cannot be removed: {_last_line(done.stderr) or 'no reason given'}"
            )

    def close(self) -> None:
        self._channel.close()

    def _make_sure_of_room(self, size_bytes: int, destination: str, *, make_folder: bool) -> None:
        """Ask before sending: adb-shell loses a phone's refusal and would wait for an answer in vain."""
        part, folder = _part(destination), destination.rpartition("/")[0] or "/"
        script = f"touch {shlex.quote(part)} && stat -f -c '%a %S' {shlex.quote(folder)}"
        if make_folder:
            script = f"mkdir -p {shlex.quote(folder)} && {script}"
        try:
            done = self.run(("sh", "-c", script), timeout_s=COMMAND_TIMEOUT_S)
        except StorageFullError:
            self._remove([part])
            raise
        if done.exit_status != 0:
            raise DeviceError(f"{destination} cannot be written on {self.name}: {_last_line(done.stderr)}")
        found = re.fullmatch(rb"(\d{1,18}) (\d{1,9})\n", done.stdout)
        if found is not None and int(found[1]) * int(found[2]) < size_bytes:
            self._remove([part])
            raise self._full()

    def _push_parts(self, parts: Sequence[tuple[Path, str]], *, last: bool) -> None:
        try:
            self._channel.push(parts, silence_s=self._patience_s)
        except DeviceLostError:
            if last:
                raise
        except DeviceError:
            self._remove([part for _, part in parts])
            raise

    def _settle(self, wanted: Mapping[str, str]) -> set[str]:
        """Move what arrived as it was sent into its place. wanted: the hash of each destination. Returns those that are
        there."""
        settled: set[str] = set()
        everything = list(wanted)
        for start in range(0, len(everything), _PATHS_AT_ONCE):
            some = everything[start : start + _PATHS_AT_ONCE]
            parts = [_part(destination) for destination in some]
            told = "".join(f"{wanted[d]}  {part}\n" for d, part in zip(some, parts, strict=True))
            done = self.run(("sh", "-c", _SETTLE, "settle", sha256_bytes(told.encode()), *parts), timeout_s=_HASHING_S)
            if done.exit_status in (_DAMAGED, 127):
                hashes = self._answers(done, parts, _HASH)
                good = {d: wanted[d] for d in some if hashes.get(_part(d)) == wanted[d]}
                settled |= self._settle(good) if len(good) < len(some) else set()
            elif done.exit_status != 0:
                self._remove(parts)
                raise DeviceError(f"{some[0]} cannot be written on {self.name}: {_last_line(done.stderr)}")
            else:
                settled.update(some)
        return settled

    def _remove(self, paths: Sequence[str]) -> None:
        for start in range(0, len(paths), _PATHS_AT_ONCE):
            self._run_without_room(("rm", "-f", *paths[start : start + _PATHS_AT_ONCE]))

    def _run_without_room(self, argv: Sequence[str]) -> Completed:
        """Run a program whose output does not matter on a phone that may be full."""
        with self.stream(argv, silence_s=120.0, max_line_bytes=4096) as lines:
            for _ in lines:
                continue
            return lines.wait()

    def _reap(self, tag: str) -> None:
        """Kill whatever still carries a tag in its environment."""
        script = f"{kill_tagged(tag)}; rm -rf {DEVICE_FOLDER}/run/{tag}"
        self.run(("sh", "-c", script), timeout_s=COMMAND_TIMEOUT_S)

    def believe(self, program: Supervised, received: bytes) -> tuple[bytes, Trailer]:
        """What a program printed, and how it ended. Raises DeviceError unless every byte of both has arrived and the
        program ended by itself."""
        found = program.split(received)
        what = program.argv[0].rpartition("/")[2]
        if found is None:
            raise MarkerMissingError(f"{self.name} did not say how {what} ended: the connection was cut off")
        body, trailer = found
        if not trailer.fits(body):
            raise DamagedTransferError(f"what {what} printed on {self.name} was damaged on its way")
        if trailer.end == "late":
            raise TookTooLongError(f"{what} took longer than {program.timeout_s:.0f} s on {self.name} and was stopped")
        if trailer.end == "gone":
            raise DeviceLostError(f"{self.name} lost this host while {what} ran")
        return body, trailer

    def _full(self) -> StorageFullError:
        return StorageFullError(
            f"{self.name} has no room left in {DEVICE_FOLDER}: free some,"
            f" e.g. with `pocketnas runner clean -d {self.name}`"
        )


class _PhoneStream:
    """See `transport.LineStream`. ended: whether the phone has said that the program is over."""

    def __init__(
        self,
        transport: PhoneTransport,
        chunks: Iterator[bytes],
        program: Supervised,
        silence_s: float,
        max_line_bytes: int,
    ) -> None:
        self._transport, self._chunks, self._program = transport, chunks, program
        self._silence_s, self._max_line_bytes = silence_s, max_line_bytes
        self._name = program.argv[0].rpartition("/")[2]
        self._tail = bytearray()
        self._started = time.monotonic()
        self.ended = False

    def __iter__(self) -> Iterator[bytes]:
        mark = self._program.stderr_mark
        pending = bytearray()
        for chunk in self._arriving():
            searched = len(pending)
            pending += chunk
            while (end := pending.find(b"\n", searched)) >= 0:
                line = bytes(pending[: end + 1])
                del pending[: end + 1]
                searched = 0
                if line.endswith(mark):
                    self._tail = pending
                    self._read_tail()
                    return
                self._check_length(len(line) - 1)
                yield line[:-1]
            self._check_length(len(pending) - len(mark))
        raise MarkerMissingError(
            f"{self._transport.name} did not say how {self._name} ended: the connection was cut off"
        )

    def wait(self) -> Completed:
        stderr, trailer = self._transport.believe(self._program, bytes(self._tail))
        return Completed(trailer.exit_status, b"", stderr, time.monotonic() - self._started)

    def _read_tail(self) -> None:
        for chunk in self._arriving():
            self._tail += chunk
            if len(self._tail) > MAX_KEPT_BYTES + MAX_TRAILER_BYTES:
                raise DamagedTransferError(f"{self._transport.name} says more than was asked for")
        self.ended = True

    def _arriving(self) -> Iterator[bytes]:
        try:
            yield from self._chunks
        except DeviceSilentError:
            # Either the program says nothing, or the phone does: the phone is asked.
            self._transport.run(("true",), timeout_s=COMMAND_TIMEOUT_S)
            raise MeasurementError(
                f"{self._transport.name}: {self._name} was silent for {self._silence_s:.0f} s and was stopped"
            ) from None

    def _check_length(self, length: int) -> None:
        if length > self._max_line_bytes:
            raise MeasurementError(
                f"{self._transport.name}: {self._name} wrote a line longer than {self._max_line_bytes} bytes"
            )


def _part(destination: str) -> str:
    return destination + ".part"


def _sha256(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise DeviceError(f"{path} cannot be read: {error.strerror}") from error


def _last_line(text: bytes) -> str:
    return text.decode(errors="replace").strip().rpartition("\n")[2][-300:]
