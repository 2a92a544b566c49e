"""Whole sessions on the phone: what the store holds after a fault, and after the session has been taken up again."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
from tiny_tflite import conv_model, write_model

from android_bench.adb.lock import PhoneLock
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.adb.phone_workspace import BLOBS
from android_bench.adb.quiet import JOURNAL
from android_bench.adb.supervisor import DEVICE_FOLDER
from android_bench.job import Job
from android_bench.protocol import Protocol
from android_bench.reading import Reading, counts
from android_bench.results import MeasurementLine, parse_line
from android_bench.session import measure
from android_bench.store import SampleStore
from faults.accidents import Accident
from faults.stand import Route, Stand
from faults.verdicts import LeftOverError, LostError, WrongError
from pocketnas_base.artifact import Artifact
from pocketnas_base.errors import PocketNASError

# Long enough that a runner is still at work when something happens upon its first lines.
PROTOCOL = Protocol(
    processes=2, warmup_min_runs=1, warmup_min_ns=0, min_runs=200, min_ns=0, max_runs=200, sentinel_every=3
)
# A machine that does other things at the same time moves the sentinel by more than a tenth.
TOLERATED = frozenset({"drift"})
UNCHECKED = "unchecked"
LOCK = f"{DEVICE_FOLDER}/lock"

# What one line of a runner says: the model, its place, when timing began, what loading took, and the samples.
Row = tuple[str, int, int, int, tuple[int, ...]]


@dataclass(frozen=True)
class Models:
    """Three small convolutions. The last has no reference, so that nothing but its hash tells a wrong file."""

    jobs: tuple[Job, ...]
    weights: bytes  # of the last

    @classmethod
    def write(cls, folder: Path) -> "Models":
        folder.mkdir()
        jobs: list[Job] = []
        for index, name in enumerate(("first", "second", UNCHECKED)):
            generator = np.random.default_rng(index)
            weights = generator.standard_normal((4 * (index + 1), 3), dtype=np.float32)
            image = generator.standard_normal((1, 64, 64, 3), dtype=np.float32)
            path, fed, answer = (folder / f"{name}{suffix}" for suffix in (".tflite", ".in", ".out"))
            write_model(path, conv_model(weights, image.shape))
            image.tofile(fed)
            np.clip(image @ weights.T, 0, 6).tofile(answer)
            checked = {"inputs": (fed,), "references": (answer,)} if name != UNCHECKED else {}
            jobs.append(Job(name, Artifact.of_file(path), **checked))
        return cls(tuple(jobs), weights.tobytes())

    def damage(self, stand: Stand) -> bool:
        """Give the last model on the phone other weights. False while it does not lie there."""
        path = self.blob(stand)
        if not path.exists():
            return False
        content = path.read_bytes()
        place = content.index(self.weights) + 2
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :])
        return True

    def blob(self, stand: Stand) -> Path:
        """Where the last model lies on the phone, as the host sees it."""
        return stand.phone.path(f"{BLOBS}/{self.jobs[-1].artifact.sha256}")


def deploy(stand: Stand, models: Models) -> None:
    """A first session without any fault: the runner lies on the phone then. Raises what it raises."""
    with SampleStore.open(stand.folder / "deploy.sqlite") as store:
        _measure(stand, stand.patient_transport("adb-shell"), models, store, [])


class SessionCase:
    """One session that suffers one fault, and its second call, which does not.

    accident: what happens to the phone, where that is the fault.
    """

    def __init__(self, stand: Stand, models: Models, accident: Accident | None = None) -> None:
        self._stand, self._models, self._accident = stand, models, accident
        self._path = stand.folder / f"samples-{time.monotonic_ns()}.sqlite"
        self._told: list[str] = []
        self._written: set[Row] = set()
        self._kept: list[Reading] = []

    def suffer(self, transport: PhoneTransport) -> None:
        """Measure while the fault happens. Raises PocketNASError when it says that it failed."""
        with SampleStore.open(self._path) as store:
            _measure(self._stand, transport, self._models, store, self._told)

    def examine(self, route: Route) -> None:
        """After the connection has ended: nothing in the store is wrong, nothing that was told of is missing, and the
        phone is as it was, or knows what is to be put back."""
        self._written |= _written(self._stand)
        with SampleStore.open(self._path) as store:
            self._kept = self._check(store)
            missing = Counter(self._told) - Counter(reading.job_id for reading in self._kept if reading.role == "job")
            if missing:
                raise LostError(f"told of, but not in the store: {dict(missing)}")
            self._check_accident(self._kept)
        changed = self._stand.unsettled()
        if changed and not self._stand.phone.path(JOURNAL).exists():
            raise LeftOverError(f"settings were not put back, and there is no note of it: {', '.join(changed)}")
        # A wire that fails once does not keep a phone from being freed; an adb server takes its time to connect again.
        if self._accident is None and route == "adb-shell" and self._stand.phone.path(LOCK).exists():
            raise LeftOverError(f"the lock: {self._stand.phone.path(LOCK).read_text()}")

    def resume(self, route: Route) -> None:
        """Measure again, without a fault: exactly what is missing, and everything is as it was before."""
        with SampleStore.open(self._path) as store:
            before = {(r.round, r.job_id) for r in self._kept if r.role == "job" and counts(r, TOLERATED)}
            try:
                self._free_lock(route)
                _measure(self._stand, self._stand.patient_transport(route), self._models, store, [])
            except PocketNASError as error:
                raise LostError(f"the second call, without a fault, failed: {error}") from error
            self._written |= _written(self._stand)
            found = self._check(store)
            if [(r.process, _row(r)) for r in found[: len(self._kept)]] != [(r.process, _row(r)) for r in self._kept]:
                raise LostError("what the store held is not there any more, or is not what it was")
            new = [r for r in found[len(self._kept) :] if r.role == "job"]
            again = [(r.round, r.job_id) for r in new if (r.round, r.job_id) in before]
            if again:
                raise WrongError(f"measured although it was there: {again}")
            counted = {(r.round, r.job_id) for r in found if r.role == "job" and counts(r, TOLERATED)}
            expected = {(n, job.id) for n in range(PROTOCOL.processes) for job in self._models.jobs}
            if counted != expected:
                raise LostError(f"missing after the second call: {sorted(expected - counted)}")
        self._path.unlink()
        self._check_phone()

    def _check(self, store: SampleStore) -> list[Reading]:
        """Every row is what the phone wrote, of a job that was asked for; those that count are of a good state."""
        sessions = store.sessions()
        if not sessions:
            return []
        (session,) = sessions
        found = store.readings(session.key)
        known = {job.id: job for job in self._models.jobs}
        seen: set[tuple[int, str]] = set()
        states = store.health(session.key)
        for reading in found:
            job = known.get(reading.job_id)
            if job is None or job.artifact.sha256 != reading.artifact_sha256 or reading.round >= PROTOCOL.processes:
                raise WrongError(f"a measurement that nobody asked for: {_row(reading)}")
            if _row(reading) not in self._written:
                raise WrongError(f"a measurement that the phone never wrote: {_row(reading)}")
            if not counts(reading, TOLERATED):
                continue
            if bool(job.references) != (reading.output_error is not None) or (reading.output_error or 0) > 1e-4:
                raise WrongError(f"{reading.job_id} counts with an output error of {reading.output_error}")
            before, after = states[reading.process - 1]
            if after is None:
                raise WrongError(f"{reading.job_id} counts, but nobody looked at the phone after its process")
            if before["boot_id"] != after["boot_id"]:
                raise WrongError(f"{reading.job_id} counts, although the phone was started anew while it was measured")
            if reading.role == "job" and (reading.round, reading.job_id) in seen:
                raise WrongError(f"{reading.job_id} counts twice in round {reading.round}")
            if reading.role == "job":
                seen.add((reading.round, reading.job_id))
        return found

    def _check_accident(self, found: Sequence[Reading]) -> None:
        accident = self._accident
        if accident is None or not accident.at_ns:
            return
        for reading in found:
            loaded_ns = reading.started_ns - int(reading.warmup_ns.sum()) - reading.first_ns - reading.load_ns
            if not counts(reading, TOLERATED) or loaded_ns < accident.at_ns:
                continue
            if accident.name == "lock taken":
                raise WrongError(f"{reading.job_id} counts, although another host had the phone")
            if accident.name == "file damaged" and reading.job_id == UNCHECKED and loaded_ns < self._mended_ns():
                raise WrongError(f"{reading.job_id} counts, although its file on the phone was damaged")

    def _mended_ns(self) -> int:
        """When the file was put in place that lies on the phone now, by the monotonic clock; now, if it is damaged."""
        path = self._models.blob(self._stand)
        if self._models.weights not in path.read_bytes():
            return time.monotonic_ns()
        return path.stat().st_ctime_ns - (time.time_ns() - time.monotonic_ns())

    def _free_lock(self, route: Route) -> None:
        """What a user does who is told that the phone is locked by a program of this host that is no more."""
        transport = self._stand.patient_transport(route)
        try:
            state = PhoneLock(transport, transport.name).look()
            if state.state == "held":
                PhoneLock(transport, transport.name).break_open()
        finally:
            transport.close()

    def _check_phone(self) -> None:
        wrong = self._stand.unsettled()
        if wrong:
            raise LeftOverError(f"settings were not put back: {', '.join(wrong)}")
        left = [path for path in (LOCK, JOURNAL) if self._stand.phone.path(path).exists()]
        if left:
            raise LeftOverError(f"left on the phone: {', '.join(left)}")


def _measure(stand: Stand, transport: PhoneTransport, models: Models, store: SampleStore, told: list[str]) -> None:
    try:
        device = stand.device(transport)
        measure(
            device, models.jobs, PROTOCOL, store, tolerated=TOLERATED, progress=lambda _, __, what: told.append(what)
        )
    finally:
        transport.close()


def _row(reading: Reading) -> Row:
    samples = tuple(int(value) for value in reading.samples_ns)
    return (reading.job_id, reading.sequence, reading.started_ns, reading.load_ns, samples)


def _written(stand: Stand) -> set[Row]:
    """Every measurement that the phone wrote, read off the wire before anything was done to it."""
    rows: set[Row] = set()
    for stream in stand.proxy.heard.values():
        for raw in bytes(stream).split(b"\n"):
            text, _, checksum = raw.rpartition(b"\t")
            if checksum != b"%08x" % crc32(text) or b'"measurement"' not in text:
                continue
            line = parse_line(raw)
            if isinstance(line, MeasurementLine):
                rows.add((line.id, line.sequence, line.started_ns, line.load_ns, tuple(line.samples_ns)))
    return rows
