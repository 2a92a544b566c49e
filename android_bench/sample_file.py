"""The SQLite file that samples are kept in: its tables, and that nothing in it is ever changed or removed."""

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from pocketnas_base.errors import InputError, MeasurementError

SCHEMA_VERSION = 4
_APPLICATION_ID = 0x504E4153  # "PNAS"

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
_SCHEMA_3 = """
ALTER TABLE measurement ADD COLUMN warmup_stable INTEGER;
ALTER TABLE measurement ADD COLUMN cpu_ns INTEGER;
ALTER TABLE measurement ADD COLUMN waited_ns INTEGER;
ALTER TABLE process_end ADD COLUMN cpu_ns INTEGER;
"""
_SCHEMA_4 = """
ALTER TABLE process_end ADD COLUMN tick_ns INTEGER;
"""
_TABLES_1 = ("session", "process", "process_end", "measurement")
_TABLES_2 = ("void", "change", "profile", "summary", "coverage")
_APPEND_ONLY = """
CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, 'samples are only ever added'); END;
"""


def _triggers(tables: Iterable[str]) -> str:
    return "".join(_APPEND_ONLY.format(table=table, verb=verb) for table in tables for verb in ("UPDATE", "DELETE"))


# What a file of each earlier version lacks of the next one.
_LATER = {1: _SCHEMA_2 + _triggers(_TABLES_2), 2: _SCHEMA_3, 3: _SCHEMA_4}


class SampleFile:
    """One open file. What was written stays, whatever kills the writer."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self.path = path

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or create a store. Raises InputError when the file is something else or of another version,
        MeasurementError when it cannot be written."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        except (OSError, sqlite3.Error) as error:
            raise MeasurementError(f"the sample store {path} cannot be opened: {error}") from error
        file = cls(connection, path)
        try:
            with _alone_in(path.parent):
                file._prepare()
        except BaseException:
            connection.close()
            raise
        return file

    def close(self) -> None:
        """Close the file. The store cannot be used afterwards."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prepare(self) -> None:
        self._connection.row_factory = sqlite3.Row
        application, version, tables = self._identity()
        if (application, version) == (0, 0) and tables == 0:
            self._create()
        elif application != _APPLICATION_ID:
            raise InputError(f"{self.path} is a database, but not a sample store")
        elif version in _LATER:
            self._extend(version)
        elif version != SCHEMA_VERSION:
            raise InputError(
                f"the sample store {self.path} has version {version}, this program reads version {SCHEMA_VERSION};"
                " give another path to start a new one"
            )

    def _identity(self) -> tuple[int, int, int]:
        """Whose file it is, of which version, and how many tables it has."""
        try:
            self._connection.execute("PRAGMA trusted_schema = OFF")
            (application,) = self._connection.execute("PRAGMA application_id").fetchone()
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.DatabaseError as error:
            raise InputError(f"{self.path} is not a sample store: {error}") from error
        return application, version, tables

    def _create(self) -> None:
        with self._guarded():
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} {_triggers(_TABLES_1)} {''.join(_LATER.values())}"
                f" PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )

    def _extend(self, version: int) -> None:
        """Earlier versions knew less; their samples stay as they are."""
        missing = "".join(script for known, script in _LATER.items() if known >= version)
        with self._guarded():
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {missing} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing. Raises MeasurementError when the file cannot be written."""
        with self._guarded():
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection
            self._connection.execute("COMMIT")

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            advice = "; make room and run again to go on" if "full" in str(error) or "I/O" in str(error) else ""
            raise MeasurementError(f"the sample store {self.path} cannot be written: {error}{advice}") from error

    def rows(self, query: str, values: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        """What a query finds. Raises InputError when the file cannot be read."""
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise InputError(f"the sample store {self.path} cannot be read: {error}") from error


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Two programs may open a new file at once: one after the other looks at it, and makes its tables."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
