"""Raw samples on disk, as they arrive: a file that only ever grows."""

import json
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from android_bench.change import Change
from android_bench.health import HealthSnapshot
from android_bench.job import Job
from android_bench.neighbours import Neighbours, neighbours
from android_bench.reading import Reading, SessionRecord
from android_bench.reasons import Reason
from android_bench.results import MeasurementLine
from android_bench.sample_file import SampleFile
from android_bench.schedule import Step
from android_bench.stated import Coverage, StatedMeasurement, StatedRuns
from pocketnas_base.artifact import Runtime
from pocketnas_base.errors import InputError

_SAMPLE = np.dtype("<i8")
_STATED = tuple(field.name for field in fields(StatedRuns))


class SampleStore:
    """Samples in one file. What was added stays, whatever kills the writer; nothing is ever changed or removed."""

    def __init__(self, file: SampleFile) -> None:
        self._file = file

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or create a store. Raises InputError when the file is something else or of another version,
        MeasurementError when it cannot be written."""
        return cls(SampleFile.open(path))

    def close(self) -> None:
        """Close the file. The store cannot be used afterwards."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_session(self, record: SessionRecord) -> None:
        """Note where the samples of `record.key` come from, unless that is known already."""
        with self._file.writing() as connection:
            connection.execute(
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
        with self._file.writing() as connection:
            cursor = connection.execute(
                "INSERT INTO process (session_key, runtime, round, started_at, health_before) VALUES (?, ?, ?, ?, ?)",
                (key, runtime, round_number, _now(), _to_json(asdict(health))),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def end_process(
        self,
        process: int,
        outcome: str,
        health: HealthSnapshot,
        cpu_ns: int | None = None,
        tick_ns: int | None = None,
    ) -> None:
        """Note how a process ended. A process without this note was killed together with its writer. cpu_ns: what it
        took of the cores, tick_ns: how finely its clock ticks, where it said so."""
        with self._file.writing() as connection:
            connection.execute(
                "INSERT INTO process_end (process_id, ended_at, outcome, health_after, cpu_ns, tick_ns)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (process, _now(), outcome, _to_json(asdict(health)), cpu_ns, tick_ns),
            )

    def add_measurement(self, process: int, step: Step, line: MeasurementLine) -> int:
        """Keep one measurement; when this returns, it survives the death of this program. Returns its number."""
        with self._file.writing() as connection:
            cursor = connection.execute(
                "INSERT INTO measurement (process_id, role, job_id, artifact_sha256, precision, sequence, started_ns,"
                " load_ns, first_ns, warmup_ns, samples_ns, output_error, cpus_allowed, voluntary_switches,"
                " involuntary_switches, peak_rss_kb, cores_ran, warmup_stable, cpu_ns, waited_ns)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
                    line.warmup_stable,
                    line.cpu_ns,
                    line.waited_ns,
                ),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def add_stated(self, process: int, step: Step, stated: StatedMeasurement) -> int:
        """Keep what a tool states of runs that it does not print, as `add_measurement` keeps samples. The row of the
        measurement itself then has no samples, and its load_ns and first_ns mean nothing."""
        with self._file.writing() as connection:
            cursor = connection.execute(
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
            connection.execute(
                f"INSERT INTO summary (measurement_id, {', '.join(_STATED)}) VALUES (?{', ?' * len(_STATED)})",
                (number, *(getattr(stated.runs, name) for name in _STATED)),
            )
            connection.executemany(
                "INSERT INTO coverage (measurement_id, delegate, nodes, of_nodes, partitions, complete)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                [(number, c.delegate, c.nodes, c.of_nodes, c.partitions, c.complete) for c in stated.coverage],
            )
        return number

    def processes(self) -> int:
        """How many processes were ever started for this file."""
        return int(self._file.rows("SELECT count(*) AS number FROM process", ())[0]["number"])

    def taken_at(self, keys: Collection[str], jobs: Iterable[Job]) -> str | None:
        """When the last process of these sessions that measured one of these jobs' files ended, or began where it was
        killed; None where there was none."""
        files = {job.artifact.sha256 for job in jobs}
        rows = self._file.rows(
            "SELECT max(ifnull(e.ended_at, p.started_at)) AS moment FROM measurement m"
            " JOIN process p ON p.id = m.process_id LEFT JOIN process_end e ON e.process_id = p.id"
            f" WHERE m.role = 'job' AND p.session_key IN ({','.join('?' * len(keys))})"
            f" AND m.artifact_sha256 IN ({','.join('?' * len(files))})",
            (*keys, *files),
        )
        moment = rows[0]["moment"]
        return None if moment is None else str(moment)

    def holds_samples(self) -> bool:
        """Whether anything was ever measured into this file."""
        return bool(self._file.rows("SELECT 1 FROM measurement LIMIT 1", ()))

    def add_voids(self, measurements: Iterable[int], reasons: Iterable[Reason]) -> None:
        """Note that measurements should not be counted, and why. The samples stay."""
        rows = [(number, reason.id, reason.detail, _now()) for number in measurements for reason in reasons]
        with self._file.writing() as connection:
            connection.executemany(
                "INSERT INTO void (measurement_id, reason, detail, created_at) VALUES (?, ?, ?, ?)", rows
            )

    def add_changes(self, key: str, changes: Iterable[Change]) -> None:
        """Note what was changed on the device for a session."""
        rows = [(key, _now(), c.setting, c.before, c.wanted, c.outcome, c.detail) for c in changes]
        with self._file.writing() as connection:
            connection.executemany(
                "INSERT INTO change (session_key, created_at, setting, before, wanted, outcome, detail)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )

    def changes(self, key: str) -> list[Change]:
        """What was changed on the device for a session, in that order."""
        rows = self._file.rows("SELECT * FROM change WHERE session_key = ? ORDER BY id", (key,))
        return [Change(row["setting"], row["before"], row["wanted"], row["outcome"], row["detail"]) for row in rows]

    def add_profile(self, process: int, step: Step, body: str) -> None:
        """Keep what each operator of a model took, as the runner's own JSON."""
        with self._file.writing() as connection:
            connection.execute(
                "INSERT INTO profile (process_id, job_id, artifact_sha256, body) VALUES (?, ?, ?, ?)",
                (process, step.job.id, step.job.artifact.sha256, body),
            )

    def profiles(self, key: str) -> dict[tuple[str, str], str]:
        """The newest profile of each job's file in a session, as JSON: (job id, artifact sha256)."""
        rows = self._file.rows(
            "SELECT f.job_id, f.artifact_sha256, f.body FROM profile f JOIN process p ON p.id = f.process_id"
            " WHERE p.session_key = ? ORDER BY f.id",
            (key,),
        )
        return {(str(row["job_id"]), str(row["artifact_sha256"])): str(row["body"]) for row in rows}

    def measured(self, key: str, tolerated: Collection[str] = ()) -> set[tuple[int, str, str]]:
        """What a session has already: (round, job id, artifact sha256). Void measurements do not count, unless each
        of their reasons is tolerated."""
        tolerate = ",".join("?" * len(tolerated))
        rows = self._file.rows(
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
            for row in self._file.rows("SELECT * FROM session ORDER BY created_at, rowid", ())
        ]

    def seconds(self, key: str) -> float:
        """How long a session's processes took, all together, those apart that were killed; each to the second."""
        rows = self._file.rows(
            "SELECT p.started_at, e.ended_at FROM process p JOIN process_end e ON e.process_id = p.id"
            " WHERE p.session_key = ?",
            (key,),
        )
        moments = [[datetime.fromisoformat(row[name]) for name in ("started_at", "ended_at")] for row in rows]
        return sum((end - start).total_seconds() for start, end in moments)

    def health(self, key: str) -> list[tuple[dict[str, object], dict[str, object] | None]]:
        """The device's state before and after every process of a session; None after one that was killed."""
        rows = self._file.rows(
            "SELECT p.health_before, e.health_after FROM process p LEFT JOIN process_end e ON e.process_id = p.id"
            " WHERE p.session_key = ? ORDER BY p.id",
            (key,),
        )
        return [
            (json.loads(row["health_before"]), json.loads(row["health_after"]) if row["health_after"] else None)
            for row in rows
        ]

    def tick_ns(self, key: str) -> int | None:
        """How finely the device's clock ticks, by the first process of a session that said so: what is decided by it
        does not change with those that follow. None where none said."""
        rows = self._file.rows(
            "SELECT e.tick_ns FROM process p JOIN process_end e ON e.process_id = p.id"
            " WHERE p.session_key = ? AND e.tick_ns IS NOT NULL ORDER BY p.id LIMIT 1",
            (key,),
        )
        return int(rows[0]["tick_ns"]) if rows else None

    def neighbours(self, key: str) -> list[Neighbours]:
        """What else ran beside each process of a session that was not killed."""
        rows = self._file.rows(
            "SELECT p.health_before, e.health_after, e.cpu_ns FROM process p JOIN process_end e ON e.process_id = p.id"
            " WHERE p.session_key = ? ORDER BY p.id",
            (key,),
        )
        return [
            neighbours(json.loads(row["health_before"]), json.loads(row["health_after"]), row["cpu_ns"]) for row in rows
        ]

    def readings(self, key: str, round_number: int | None = None) -> list[Reading]:
        """Every measurement of a session, or of one of its rounds, sentinels and void ones among them, in the order in
        which they were taken."""
        voids: dict[int, list[str]] = {}
        for row in self._file.rows("SELECT measurement_id, reason FROM void ORDER BY id", ()):
            voids.setdefault(row["measurement_id"], []).append(row["reason"])
        coverage: dict[int, list[Coverage]] = {}
        for row in self._file.rows("SELECT * FROM coverage ORDER BY id", ()):
            coverage.setdefault(row["measurement_id"], []).append(
                Coverage(row["delegate"], row["nodes"], row["of_nodes"], row["partitions"], bool(row["complete"]))
            )
        stated = {
            row["measurement_id"]: StatedRuns(**{name: row[name] for name in _STATED})
            for row in self._file.rows("SELECT * FROM summary", ())
        }
        rows = self._file.rows(
            "SELECT m.*, p.round, p.runtime FROM measurement m JOIN process p ON p.id = m.process_id"
            " WHERE p.session_key = ? AND p.round = ifnull(?, p.round) ORDER BY m.id",
            (key, round_number),
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
            raise InputError(f"the sample store {self._file.path} is damaged: measurement {row['id']} has no samples")
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
            warmup_stable=None if row["warmup_stable"] is None else bool(row["warmup_stable"]),
            cpu_ns=row["cpu_ns"],
            waited_ns=row["waited_ns"],
            voids=voids,
            stated=stated,
            coverage=coverage,
        )


def _from_blob(blob: object) -> NDArray[np.int64] | None:
    if not isinstance(blob, bytes) or len(blob) % _SAMPLE.itemsize:
        return None
    return np.frombuffer(blob, _SAMPLE).astype(np.int64)


def _to_json(value: object) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
