"""Raw samples on disk: one SQLite file that only ever grows."""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from android_bench.change import Change
from android_bench.health import HealthSnapshot
from android_bench.reasons import Reason
from android_bench.results import MeasurementLine
from android_bench.schedule import Role, Step
from android_bench.stated import Coverage, StatedMeasurement, StatedRuns
from pocketnas_base.artifact import Runtime
from pocketnas_base.errors import InputError, MeasurementError

SCHEMA_VERSION = 2
_APPLICATION_ID = 0x504E4153  # "PNAS"
_SAMPLE = np.dtype("<i8")
_STATED = tuple(field.name for field in fields(StatedRuns))

_SCHEMA = """
CREATE TABLE session (
    key TEXT PRIMARY KEY, created_at TEXT NOT NULL, device_id TEXT NOT NULL, device_fingerprint TEXT NOT NULL,
    device TEXT NOT NULL, runners TEXT NOT NULL, protocol TEXT NOT NULL, tool_version TEXT
);
CREATE TABLE process (
    id INTEGER PRIMARY KEY, session_key TEXT NOT NULL REFERENCES session(key), runtime TEXT NOT NULL,
    round INTEGER NOT NULL, started_at TEXT NOT NULL, health_before TEXT NOT NULL
);
CREATE TABLE process_end (
    process_id INTEGER PRIMARY KEY REFERENCES process(id), ended_at TEXT NOT NULL, outcome TEXT NOT NULL,
    health_after TEXT NOT NULL
);
CREATE TABLE measurement (
    id INTEGER PRIMARY KEY, process_id INTEGER NOT NULL REFERENCES process(id), role TEXT NOT NULL,
    job_id TEXT NOT NULL, artifact_sha256 TEXT NOT NULL, precision TEXT NOT NULL, sequence INTEGER NOT NULL,
    started_ns INTEGER NOT NULL, load_ns INTEGER NOT NULL, first_ns INTEGER NOT NULL,
    warmup_ns BLOB NOT NULL, samples_ns BLOB NOT NULL, output_error REAL, cpus_allowed TEXT NOT NULL,
    voluntary_switches INTEGER, involuntary_switches INTEGER, peak_rss_kb INTEGER
);
CREATE INDEX measurement_process ON measurement(process_id);
"""
_SCHEMA_2 = """
ALTER TABLE measurement ADD COLUMN cores_ran TEXT;
CREATE TABLE void (
    id INTEGER PRIMARY KEY, measurement_id INTEGER NOT NULL REFERENCES measurement(id), reason TEXT NOT NULL,
    detail TEXT NOT NULL, created_at TEXT NOT NULL
);
CREATE INDEX void_measurement ON void(measurement_id);
CREATE TABLE change (
    id INTEGER PRIMARY KEY, session_key TEXT NOT NULL REFERENCES session(key), created_at TEXT NOT NULL,
    setting TEXT NOT NULL, before TEXT, wanted TEXT NOT NULL, outcome TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE TABLE profile (
    id INTEGER PRIMARY KEY, process_id INTEGER NOT NULL REFERENCES process(id), job_id TEXT NOT NULL,
    artifact_sha256 TEXT NOT NULL, body TEXT NOT NULL
);
CREATE TABLE summary (
    measurement_id INTEGER PRIMARY KEY REFERENCES measurement(id), count INTEGER NOT NULL, mean_ns REAL NOT NULL,
    median_ns REAL, min_ns REAL, max_ns REAL, std_ns REAL, p5_ns REAL, p95_ns REAL, load_ns INTEGER, first_ns INTEGER
);
CREATE TABLE coverage (
    id INTEGER PRIMARY KEY, measurement_id INTEGER NOT NULL REFERENCES measurement(id), delegate TEXT NOT NULL,
    nodes INTEGER, of_nodes INTEGER, partitions INTEGER NOT NULL, complete INTEGER NOT NULL
);
CREATE INDEX coverage_measurement ON coverage(measurement_id);
"""
_TABLES_1 = ("session", "process", "process_end", "measurement")
_TABLES_2 = ("void", "change", "profile", "summary", "coverage")
_APPEND_ONLY = """
CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, 'samples are only ever added'); END;
"""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """Where the samples of one session come from. key: equal for sessions whose samples may be mixed.
    device, runners, protocol: plain JSON values."""

    key: str
    device_id: str
    device_fingerprint: str
    device: Mapping[str, object]
    runners: Mapping[str, Mapping[str, str]]
    protocol: Mapping[str, object]
    tool_version: str | None
    created_at: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """One measurement as stored: the samples of one artifact in one process. Arrays are int64, nanoseconds.

    process: the operating system's process, unique in the file; an official tool needs one for each model, and the
    whole series of them has one number. round: which of the protocol's processes it counts for; a round that was
    interrupted has several processes. load_ns, first_ns: None where the tool does not say. voids: the ids of the
    reasons why it should not be counted. stated: what a tool that prints no samples says of them; there are none then.
    coverage: of the graph by delegates, where the tool says so.
    """

    process: int
    round: int
    runtime: Runtime
    role: Role
    job_id: str
    artifact_sha256: str
    precision: str
    sequence: int
    started_ns: int
    load_ns: int | None
    first_ns: int | None
    warmup_ns: NDArray[np.int64]
    samples_ns: NDArray[np.int64]
    output_error: float | None
    cpus_allowed: str
    voluntary_switches: int | None
    involuntary_switches: int | None
    peak_rss_kb: int | None
    cores_ran: tuple[int, ...] = ()
    voids: tuple[str, ...] = ()
    stated: StatedRuns | None = None
    coverage: tuple[Coverage, ...] = ()

    @property
    def median_ns(self) -> float:
        """Median of the samples; what stands for them where a tool states no more than statistics."""
        return float(np.median(self.samples_ns)) if self.stated is None else self.stated.typical_ns

    @property
    def runs(self) -> int:
        """How many runs were timed."""
        return len(self.samples_ns) if self.stated is None else self.stated.count

    @property
    def middle_ns(self) -> int:
        """The device's clock halfway through the timed section."""
        timed = int(self.samples_ns.sum()) if self.stated is None else int(self.stated.count * self.stated.mean_ns)
        return self.started_ns + timed // 2


class SampleStore:
    """Samples in one file. What was added stays, whatever kills the writer; nothing is ever changed or removed."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or create a store. Raises InputError when the file is something else or of another version,
        MeasurementError when it cannot be written."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        except (OSError, sqlite3.Error) as error:
            raise MeasurementError(f"the sample store {path} cannot be opened: {error}") from error
        store = cls(connection, path)
        try:
            store._prepare()
        except BaseException:
            connection.close()
            raise
        return store

    def close(self) -> None:
        """Close the file. The store cannot be used afterwards."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_session(self, record: SessionRecord) -> None:
        """Note where the samples of `record.key` come from, unless that is known already."""
        with self._writing():
            self._connection.execute(
                "INSERT OR IGNORE INTO session VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    record.key,
                    _now(),
                    record.device_id,
                    record.device_fingerprint,
                    _to_json(record.device),
                    _to_json(record.runners),
                    _to_json(record.protocol),
                    record.tool_version,
                ),
            )

    def add_process(self, key: str, runtime: Runtime, round_number: int, health: HealthSnapshot) -> int:
        """Note that a process starts. Returns its number in this file."""
        with self._writing():
            cursor = self._connection.execute(
                "INSERT INTO process (session_key, runtime, round, started_at, health_before) VALUES (?, ?, ?, ?, ?)",
                (key, runtime, round_number, _now(), _to_json(asdict(health))),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def end_process(self, process: int, outcome: str, health: HealthSnapshot) -> None:
        """Note how a process ended. A process without this note was killed together with its writer."""
        with self._writing():
            self._connection.execute(
                "INSERT INTO process_end VALUES (?, ?, ?, ?)", (process, _now(), outcome, _to_json(asdict(health)))
            )

    def add_measurement(self, process: int, step: Step, line: MeasurementLine) -> int:
        """Keep one measurement; when this returns, it survives the death of this program. Returns its number."""
        with self._writing():
            cursor = self._connection.execute(
                "INSERT INTO measurement (process_id, role, job_id, artifact_sha256, precision, sequence, started_ns,"
                " load_ns, first_ns, warmup_ns, samples_ns, output_error, cpus_allowed, voluntary_switches,"
                " involuntary_switches, peak_rss_kb, cores_ran)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    process,
                    step.role,
                    step.job.id,
                    step.job.artifact.sha256,
                    step.job.artifact.precision,
                    line.sequence,
                    line.started_ns,
                    line.load_ns,
                    line.first_ns,
                    np.array(line.warmup_ns, _SAMPLE).tobytes(),
                    np.array(line.samples_ns, _SAMPLE).tobytes(),
                    line.output_error,
                    line.cpus_allowed,
                    line.voluntary_switches,
                    line.involuntary_switches,
                    line.peak_rss_kb,
                    json.dumps(sorted(line.cores_ran)),
                ),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def add_stated(self, process: int, step: Step, stated: StatedMeasurement) -> int:
        """Keep what a tool states of runs that it does not print, as `add_measurement` keeps samples. The row of the
        measurement itself then has no samples, and its load_ns and first_ns mean nothing."""
        with self._writing():
            cursor = self._connection.execute(
                "INSERT INTO measurement (process_id, role, job_id, artifact_sha256, precision, sequence, started_ns,"
                " load_ns, first_ns, warmup_ns, samples_ns, cpus_allowed)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, x'', x'', ?)",
                (
                    process,
                    step.role,
                    step.job.id,
                    step.job.artifact.sha256,
                    step.job.artifact.precision,
                    stated.sequence,
                    stated.started_ns,
                    stated.cpus_allowed,
                ),
            )
            number = cursor.lastrowid
            assert number is not None
            self._connection.execute(
                f"INSERT INTO summary (measurement_id, {', '.join(_STATED)}) VALUES (?{', ?' * len(_STATED)})",
                (number, *(getattr(stated.runs, name) for name in _STATED)),
            )
            self._connection.executemany(
                "INSERT INTO coverage (measurement_id, delegate, nodes, of_nodes, partitions, complete)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                [(number, c.delegate, c.nodes, c.of_nodes, c.partitions, c.complete) for c in stated.coverage],
            )
        return number

    def holds_samples(self) -> bool:
        """Whether anything was ever measured into this file."""
        return bool(self._rows("SELECT 1 FROM measurement LIMIT 1", ()))

    def add_voids(self, measurements: Iterable[int], reasons: Iterable[Reason]) -> None:
        """Note that measurements should not be counted, and why. The samples stay."""
        rows = [(number, reason.id, reason.detail, _now()) for number in measurements for reason in reasons]
        with self._writing():
            self._connection.executemany(
                "INSERT INTO void (measurement_id, reason, detail, created_at) VALUES (?, ?, ?, ?)", rows
            )

    def add_changes(self, key: str, changes: Iterable[Change]) -> None:
        """Note what was changed on the device for a session."""
        rows = [(key, _now(), c.setting, c.before, c.wanted, c.outcome, c.detail) for c in changes]
        with self._writing():
            self._connection.executemany(
                "INSERT INTO change (session_key, created_at, setting, before, wanted, outcome, detail)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )

    def changes(self, key: str) -> list[Change]:
        """What was changed on the device for a session, in that order."""
        rows = self._rows("SELECT * FROM change WHERE session_key = ? ORDER BY id", (key,))
        return [Change(row["setting"], row["before"], row["wanted"], row["outcome"], row["detail"]) for row in rows]

    def add_profile(self, process: int, step: Step, body: str) -> None:
        """Keep what each operator of a model took, as the runner's own JSON."""
        with self._writing():
            self._connection.execute(
                "INSERT INTO profile (process_id, job_id, artifact_sha256, body) VALUES (?, ?, ?, ?)",
                (process, step.job.id, step.job.artifact.sha256, body),
            )

    def profiles(self, key: str) -> dict[str, str]:
        """The newest profile of each job of a session, as JSON, by job id."""
        rows = self._rows(
            "SELECT f.job_id, f.body FROM profile f JOIN process p ON p.id = f.process_id WHERE p.session_key = ?"
            " ORDER BY f.id",
            (key,),
        )
        return {str(row["job_id"]): str(row["body"]) for row in rows}

    def measured(self, key: str, tolerated: Collection[str] = ()) -> set[tuple[int, str, str]]:
        """What a session has already: (round, job id, artifact sha256). Void measurements do not count, unless each
        of their reasons is tolerated."""
        tolerate = ",".join("?" * len(tolerated))
        rows = self._rows(
            "SELECT p.round, m.job_id, m.artifact_sha256 FROM measurement m JOIN process p ON p.id = m.process_id"
            " WHERE p.session_key = ? AND m.role = 'job' AND NOT EXISTS"
            f" (SELECT 1 FROM void v WHERE v.measurement_id = m.id AND v.reason NOT IN ({tolerate}))",
            (key, *tolerated),
        )
        return {(int(row["round"]), str(row["job_id"]), str(row["artifact_sha256"])) for row in rows}

    def sessions(self) -> list[SessionRecord]:
        """Every session, the oldest first."""
        return [
            SessionRecord(
                key=row["key"],
                device_id=row["device_id"],
                device_fingerprint=row["device_fingerprint"],
                device=json.loads(row["device"]),
                runners=json.loads(row["runners"]),
                protocol=json.loads(row["protocol"]),
                tool_version=row["tool_version"],
                created_at=row["created_at"],
            )
            for row in self._rows("SELECT * FROM session ORDER BY created_at, rowid", ())
        ]

    def health(self, key: str) -> list[tuple[dict[str, object], dict[str, object] | None]]:
        """The device's state before and after every process of a session; None after one that was killed."""
        rows = self._rows(
            "SELECT p.health_before, e.health_after FROM process p LEFT JOIN process_end e ON e.process_id = p.id"
            " WHERE p.session_key = ? ORDER BY p.id",
            (key,),
        )
        return [
            (json.loads(row["health_before"]), json.loads(row["health_after"]) if row["health_after"] else None)
            for row in rows
        ]

    def readings(self, key: str) -> list[Reading]:
        """Every measurement of a session, sentinels and void ones among them, in the order in which they were taken."""
        voids: dict[int, list[str]] = {}
        for row in self._rows("SELECT measurement_id, reason FROM void ORDER BY id", ()):
            voids.setdefault(row["measurement_id"], []).append(row["reason"])
        coverage: dict[int, list[Coverage]] = {}
        for row in self._rows("SELECT * FROM coverage ORDER BY id", ()):
            coverage.setdefault(row["measurement_id"], []).append(
                Coverage(row["delegate"], row["nodes"], row["of_nodes"], row["partitions"], bool(row["complete"]))
            )
        stated = {
            row["measurement_id"]: StatedRuns(**{name: row[name] for name in _STATED})
            for row in self._rows("SELECT * FROM summary", ())
        }
        rows = self._rows(
            "SELECT m.*, p.round, p.runtime FROM measurement m JOIN process p ON p.id = m.process_id"
            " WHERE p.session_key = ? ORDER BY m.id",
            (key,),
        )
        return [
            self._reading(
                row,
                tuple(dict.fromkeys(voids.get(row["id"], ()))),
                stated.get(row["id"]),
                tuple(coverage.get(row["id"], ())),
            )
            for row in rows
        ]

    def _reading(
        self, row: sqlite3.Row, voids: tuple[str, ...], stated: StatedRuns | None, coverage: tuple[Coverage, ...]
    ) -> Reading:
        samples = _from_blob(row["samples_ns"])
        if samples is None or (len(samples) == 0) is (stated is None):
            raise InputError(f"the sample store {self._path} is damaged: measurement {row['id']} has no samples")
        warmup = _from_blob(row["warmup_ns"])
        return Reading(
            process=row["process_id"],
            round=row["round"],
            runtime=row["runtime"],
            role=row["role"],
            job_id=row["job_id"],
            artifact_sha256=row["artifact_sha256"],
            precision=row["precision"],
            sequence=row["sequence"],
            started_ns=row["started_ns"],
            load_ns=row["load_ns"] if stated is None else stated.load_ns,
            first_ns=row["first_ns"] if stated is None else stated.first_ns,
            warmup_ns=warmup if warmup is not None else np.empty(0, np.int64),
            samples_ns=samples,
            output_error=row["output_error"],
            cpus_allowed=row["cpus_allowed"],
            voluntary_switches=row["voluntary_switches"],
            involuntary_switches=row["involuntary_switches"],
            peak_rss_kb=row["peak_rss_kb"],
            cores_ran=tuple(json.loads(row["cores_ran"] or "[]")),
            voids=voids,
            stated=stated,
            coverage=coverage,
        )

    def _prepare(self) -> None:
        try:
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA trusted_schema = OFF")
            (application,) = self._connection.execute("PRAGMA application_id").fetchone()
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.DatabaseError as error:
            raise InputError(f"{self._path} is not a sample store: {error}") from error
        if (application, version) == (0, 0) and tables == 0:
            self._create()
        elif application != _APPLICATION_ID:
            raise InputError(f"{self._path} is a database, but not a sample store")
        elif version == 1:
            self._extend()
        elif version != SCHEMA_VERSION:
            raise InputError(
                f"the sample store {self._path} has version {version}, this program reads version {SCHEMA_VERSION};"
                " give another path to start a new one"
            )

    def _create(self) -> None:
        with self._guarded():
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} {_triggers(_TABLES_1)} {_SCHEMA_2} {_triggers(_TABLES_2)}"
                f" PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )

    def _extend(self) -> None:
        """Version 1 knew no void measurements; its samples stay as they are."""
        with self._guarded():
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA_2} {_triggers(_TABLES_2)} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._guarded():
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            advice = "; make room and run again to go on" if "full" in str(error) or "I/O" in str(error) else ""
            raise MeasurementError(f"the sample store {self._path} cannot be written: {error}{advice}") from error

    def _rows(self, query: str, values: tuple[object, ...]) -> list[sqlite3.Row]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise InputError(f"the sample store {self._path} cannot be read: {error}") from error


def counts(reading: Reading, tolerated: Collection[str] = ()) -> bool:
    """Whether a measurement counts: it is not void, or each of its reasons is tolerated."""
    return set(reading.voids) <= set(tolerated)


def _triggers(tables: Iterable[str]) -> str:
    return "".join(_APPEND_ONLY.format(table=table, verb=verb) for table in tables for verb in ("UPDATE", "DELETE"))


def _from_blob(blob: object) -> NDArray[np.int64] | None:
    if not isinstance(blob, bytes) or len(blob) % _SAMPLE.itemsize:
        return None
    return np.frombuffer(blob, _SAMPLE).astype(np.int64)


def _to_json(value: object) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
