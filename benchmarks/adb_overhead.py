"""What adb costs: time to the first sample, push throughput, and how much of a session is timed inference.

    python benchmarks/adb_overhead.py -d DEVICE                a phone (a serial, or tcp:HOST:PORT)
    python benchmarks/adb_overhead.py --lookalike              a real adbd on this machine (make testbed, as root)

Cold is a phone that holds nothing of ours; warm is the same phone right after. Push is our own, the hash on the phone
included, in turns with a bare `adb push` of the same file. Timed inference is the sum of all raw samples and nothing
else: neither loading, nor the check of outputs, nor warm-up.
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from places import Place, add_device_arguments, phone_place, tolerated_on
from record import write_figures

from android_bench.adb.adb_program import AdbProgram
from android_bench.adb.phone import open_phone
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.adb.supervisor import DEVICE_FOLDER
from android_bench.job import Job
from android_bench.protocol import PHONE_OPERATORS
from android_bench.session import measure
from android_bench.store import SampleStore
from pocketnas.cache import operator_cache
from pocketnas.config import TableConfig
from pocketnas.console import progress_bar, say
from pocketnas.measuring import operator_jobs
from search.space import load_space

PUSH_MIB = 64
PUSHES = 5
SPACES = ("mobile", "mobile-24", "demo")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_device_arguments(parser, required=True)
    parser.add_argument("--operators", type=int, default=100)
    parser.add_argument("--processes", type=int, default=PHONE_OPERATORS.processes)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    with phone_place(arguments) as at, tempfile.TemporaryDirectory(prefix="pocketnas-") as folder:
        figures = {"device": at.name, "operators": arguments.operators, "processes": arguments.processes}
        figures |= measure_pushes(at, Path(folder))
        figures |= measure_sessions(at, arguments.operators, arguments.processes, Path(folder), tolerated_on(arguments))
    for name, value in figures.items():
        print(f"{name}: {value if isinstance(value, str | int) else round(value, 3)}")
    if arguments.json:
        write_figures(arguments.json, figures)


def measure_pushes(place: Place, folder: Path) -> dict[str, float]:
    """Ours and `adb push`, in turns; the medians, and the median of the ratios."""
    file = folder / "random"
    file.write_bytes(os.urandom(PUSH_MIB * 1024 * 1024))
    transport = PhoneTransport(place.channel)
    adb = AdbProgram(environ=place.adb_environ)
    target = f"{DEVICE_FOLDER}/push-benchmark"
    transport.run(("mkdir", "-p", target), timeout_s=30)
    ours, theirs = [], []
    for _ in range(PUSHES):
        started = time.monotonic()
        transport.push(file, f"{target}/ours")
        ours.append(time.monotonic() - started)
        started = time.monotonic()
        done = adb.call("-s", place.serial, "push", str(file), f"{target}/theirs", timeout_s=600)
        theirs.append(time.monotonic() - started)
        if done.returncode != 0:
            raise SystemExit(f"adb push failed: {done.stderr.decode(errors='replace')}")
    transport.remove_tree(target)
    return {
        "push_mib_per_s": PUSH_MIB / statistics.median(ours),
        "adb_push_mib_per_s": PUSH_MIB / statistics.median(theirs),
        "push_time_ratio": statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
    }


def measure_sessions(
    place: Place, operators: int, processes: int, folder: Path, tolerated: tuple[str, ...]
) -> dict[str, float]:
    """Time to the first sample, cold and warm, and the share of timed inference in a whole warm session."""
    with progress_bar("operators") as progress:
        jobs = {
            job.id: job
            for space in SPACES
            for job in operator_jobs(load_space(space), TableConfig(), operator_cache(), 0, progress)
        }
    if len(jobs) < operators:
        raise SystemExit(f"the spaces {', '.join(SPACES)} have {len(jobs)} operators together, not {operators}")
    chosen = list(jobs.values())[:operators]
    PhoneTransport(place.channel).remove_tree(DEVICE_FOLDER)
    cold = to_first_sample(place, chosen, folder / "cold.sqlite")
    warm = to_first_sample(place, chosen, folder / "warm.sqlite")
    protocol = replace(PHONE_OPERATORS, processes=processes)
    device = open_phone(place.name, say=say, channel=place.channel)
    with SampleStore.open(folder / "samples.sqlite") as store, progress_bar("session") as progress:
        started = time.monotonic()
        key = measure(device, chosen, protocol, store, tolerated=tolerated, progress=progress)
        wall_s = time.monotonic() - started
        taken = store.readings(key)
    timed_s = sum(int(reading.samples_ns.sum()) for reading in taken) / 1e9
    warm_up_s = sum(int(reading.warmup_ns.sum()) for reading in taken) / 1e9
    return {
        "cold_first_sample_s": cold,
        "warm_first_sample_s": warm,
        "session_s": wall_s,
        "timed_inference_percent": 100 * timed_s / wall_s,
        "warm_up_percent": 100 * warm_up_s / wall_s,
    }


class _FirstSampleError(Exception):
    """The first sample is there."""


def to_first_sample(place: Place, jobs: Sequence[Job], path: Path) -> float:
    """Seconds from reaching for the phone to the first stored sample of a session of all jobs."""

    def stop(_done: int, _total: int, _what: str) -> None:
        raise _FirstSampleError

    place.channel.close()
    started = time.monotonic()
    device = open_phone(place.name, say=say, channel=place.channel)
    arrived = 0.0
    with SampleStore.open(path) as store, contextlib.suppress(_FirstSampleError):
        try:
            measure(device, jobs, PHONE_OPERATORS, store, progress=stop)
        except _FirstSampleError:
            (first,) = store.sessions()
            assert store.readings(first.key)
            arrived = time.monotonic() - started
            raise
    return arrived


if __name__ == "__main__":
    main()
