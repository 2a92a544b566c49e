"""Small things done to a phone whose outcome is known: each either comes out right, or says clearly that it failed."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from android_bench.adb.lock import PhoneLock
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.adb.supervisor import DEVICE_FOLDER
from android_bench.checksum import seal, unseal
from android_bench.errors import DamagedLineError
from faults.stand import Stand
from faults.verdicts import LostError, WrongError
from pocketnas_base.errors import DeviceError, MeasurementError, PocketNASError
from pocketnas_base.files import sha256_bytes

FOLDER = f"{DEVICE_FOLDER}/faults"
_TIMEOUT_S = 1.0
_LINES = 12
_NOISE = Random(7).randbytes(96 * 1024)
_OLD = b"what was there before\n" * 40


@dataclass(frozen=True)
class Operation:
    """One thing to do. prepare: before the proxy counts. act: does it; raises a PocketNASError, or WrongError or
    LostError. Both get the stand and a transport to its phone."""

    name: str
    prepare: Callable[[Stand], None]
    act: Callable[[Stand, PhoneTransport], None]


class _Trying:
    """Several steps on one transport, each tried although one before it failed: what a fault leaves behind in a
    connection must not become the next step's answer."""

    def __init__(self) -> None:
        self._first: PocketNASError | None = None

    @contextmanager
    def step(self) -> Iterator[None]:
        try:
            yield
        except PocketNASError as error:
            self._first = self._first or error

    def end(self) -> None:
        """Raise the first step's error, if any."""
        if self._first is not None:
            raise self._first


def _same(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise WrongError(f"{what} is {str(found)[:200]!r} instead of {str(expected)[:200]!r}")


# Programs that run to their end


def _nothing(stand: Stand) -> None:
    del stand


def _put_count(stand: Stand) -> None:
    _put(stand, "count", b"")


def _run(stand: Stand, transport: PhoneTransport) -> None:
    numbers = "".join(f"{n}\n" for n in range(100, 600)).encode()
    commands: Sequence[tuple[tuple[str, ...], tuple[int, bytes, bytes]]] = (
        (("sh", "-c", f"echo once >>{FOLDER}/count"), (0, b"", b"")),
        (("sh", "-c", "seq 100 599; echo some trouble >&2; exit 7"), (7, numbers, b"some trouble\n")),
        (("printf", "%s:%s", "4711", "0815"), (0, b"4711:0815", b"")),
        (("sh", "-c", "echo gone >&2; kill -9 $$"), (137, b"", b"gone\n")),
    )
    trying = _Trying()
    for argv, expected in commands:
        with trying.step():
            done = transport.run(argv, timeout_s=_TIMEOUT_S)
            _same(f"the outcome of {argv[0]}", (done.exit_status, done.stdout, done.stderr), expected)
    counted = stand.phone.path(f"{FOLDER}/count").read_text()
    if counted.count("once") > 1:
        raise WrongError("a program ran twice")
    trying.end()


# A program that is read line by line


def _sealed() -> list[bytes]:
    return [seal(b'{"sequence":%d,"samples_ns":[%d,%d]}' % (n, n * 1117 + 3, n * 7919 + 11)) for n in range(_LINES)]


def _put_lines(stand: Stand) -> None:
    _put(stand, "lines", b"".join(line + b"\n" for line in _sealed()))


def _stream(stand: Stand, transport: PhoneTransport) -> None:
    """Lines with checksums and numbers, as a runner writes them, read as `RunnerProcess` does."""
    script = f'while read -r l; do printf "%s\\n" "$l"; sleep 0.01; done <{FOLDER}/lines; echo over >&2; exit 3'
    argv = ("sh", "-c", f"IFS=; {script}")
    found = 0
    with transport.stream(argv, silence_s=_TIMEOUT_S, max_line_bytes=1000) as lines:
        for line in lines:
            _check_line(transport, line, found)
            found += 1
        done = lines.wait()
    if found != _LINES:
        raise MeasurementError(f"{transport.name} sent {found} of {_LINES} lines")
    # On a phone that is full, a stream's standard error has no place to be kept.
    words = b"" if _is_full(stand) and not done.stderr else b"over\n"
    _same("the program's end", (done.exit_status, done.stderr), (3, words))


def _check_line(transport: PhoneTransport, line: bytes, number: int) -> None:
    expected = _sealed()
    if unseal(line) is None:
        raise DamagedLineError(f"a line from {transport.name} was damaged on its way")
    if line not in expected:
        raise WrongError(f"a line that nobody wrote: {line!r}")
    if number >= len(expected) or line != expected[number]:
        raise MeasurementError(f"{transport.name} sent its lines in a wrong order")


def _is_full(stand: Stand) -> bool:
    storage = os.statvfs(stand.phone.path(FOLDER))
    return storage.f_bfree == 0


# Programs that would go on for long


def _leave(stand: Stand, transport: PhoneTransport) -> None:
    """A reader that has read enough, and a program that takes too long: whatever the fault, nothing goes on."""
    del stand
    trying = _Trying()
    with trying.step():
        argv = ("sh", "-c", f"cat {FOLDER}/lines; sleep 60 & setsid sleep 60; sleep 60")
        with transport.stream(argv, silence_s=_TIMEOUT_S, max_line_bytes=1000) as lines:
            for number, line in enumerate(lines):
                _check_line(transport, line, number)
                if number == 2:
                    break
    with trying.step():
        started = time.monotonic()
        try:
            done = transport.run(("sh", "-c", "sleep 60 & sleep 60"), timeout_s=_TIMEOUT_S)
        except DeviceError as error:
            if "took longer than" not in str(error):
                raise
            _same("whether the program was given its time", time.monotonic() - started >= _TIMEOUT_S * 0.9, True)
        else:
            raise WrongError(f"a program of a minute ended after a second: {done}")
    trying.end()


# Files


def _put(stand: Stand, name: str, content: bytes) -> Path:
    path = stand.phone.path(f"{FOLDER}/{name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    for place in (path, path.parent, path.parent.parent):
        place.chmod(0o777 if place.is_dir() else 0o666)
    return path


def _wanted(stand: Stand) -> dict[str, bytes]:
    """What is pushed: files of this host, by name."""
    contents = {"large": _NOISE, "small": b"small\n", "empty": b""}
    for name, content in contents.items():
        (stand.folder / name).write_bytes(content)
    return contents


def _put_old(stand: Stand) -> None:
    for name in _wanted(stand):
        _put(stand, name, _OLD)
        stand.phone.path(f"{FOLDER}/{name}.part").unlink(missing_ok=True)


def _push(stand: Stand, transport: PhoneTransport) -> None:
    wanted = {f"{FOLDER}/{name}": content for name, content in _wanted(stand).items()}
    trying = _Trying()
    with trying.step():
        transport.push_many([(stand.folder / path.rpartition("/")[2], path) for path in wanted])
        for path, content in wanted.items():
            _same(f"{path} after a push", stand.phone.path(path).read_bytes(), content)
    for path, content in wanted.items():
        if not stand.phone.path(path).exists():
            raise LostError(f"{path}, which was there before a push")
        if stand.phone.path(path).read_bytes() not in (_OLD, content):
            raise WrongError(f"{path} is neither what it was nor what was pushed")
    with trying.step():
        before = _hashes(stand, wanted)
        found = transport.sha256(list(wanted))
        if any(found[path] not in (before[path], now) for path, now in _hashes(stand, wanted).items()):
            raise WrongError(f"the hashes are {found} instead of {before}")
    trying.end()


def _hashes(stand: Stand, paths: Iterable[str]) -> dict[str, str]:
    return {path: sha256_bytes(stand.phone.path(path).read_bytes()) for path in paths}


def _put_noise(stand: Stand) -> None:
    _put(stand, "noise", _NOISE)
    (stand.folder / "pulled").write_bytes(_OLD)


def _pull(stand: Stand, transport: PhoneTransport) -> None:
    pulled = stand.folder / "pulled"
    trying = _Trying()
    with trying.step():
        transport.pull(f"{FOLDER}/noise", pulled)
        _same("a file that was pulled", pulled.read_bytes() == _NOISE, True)
    if pulled.read_bytes() not in (_OLD, _NOISE):
        raise WrongError("a file that was pulled is neither what it was nor what is on the phone")
    with trying.step():
        found = transport.stat(f"{FOLDER}/noise")
        _same("a file's size", found and found.size_bytes, len(_NOISE))
    with trying.step():
        _same("a file that does not exist", transport.stat(f"{FOLDER}/nothing"), None)
    trying.end()


# The lock


def _lock(stand: Stand, transport: PhoneTransport) -> None:
    lock = PhoneLock(transport, transport.name, holder="campaign")
    other = PhoneLock(transport, transport.name, holder="other")
    trying = _Trying()
    with trying.step():
        lock.take(100)
        _same("the lock's holder after taking it", _holder(stand), "campaign")
    # A request that was held up may be carried out after its sender has given up, also in between here.
    before = _holder(stand)
    with trying.step():
        kept = lock.keep(200)
        if kept not in (before == "campaign", _holder(stand) == "campaign"):
            raise WrongError(f"the lock is said to be {'kept' if kept else 'lost'}; it was held by {before}")
    before = _holder(stand)
    with trying.step():
        found = other.look()
        seen = found.holder if found.state == "held" else None
        if seen not in (before, _holder(stand)):
            raise WrongError(f"another host sees the lock {found}; it was held by {before}")
    with trying.step():
        lock.drop()
        _same("the lock's holder after dropping it", _holder(stand), None)
    trying.end()


def _holder(stand: Stand) -> str | None:
    """Whose lock lies on the phone; nobody's where it is of an earlier boot."""
    try:
        _, _, boot, holder = stand.phone.path(f"{DEVICE_FOLDER}/lock").read_text().split()
    except FileNotFoundError:
        return None
    return holder if boot == stand.phone.boot_id else None


OPERATIONS = (
    Operation("run", _put_count, _run),
    Operation("stream", _put_lines, _stream),
    Operation("leave", _put_lines, _leave),
    Operation("push", _put_old, _push),
    Operation("pull", _put_noise, _pull),
    Operation("lock", _nothing, _lock),
)
