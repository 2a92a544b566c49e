"""`pocketnas bench`: any .tflite and .pte files on one device or several."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from android_bench.errors import UnreadableOutputError
from android_bench.job import MAX_ID_LENGTH, Job
from android_bench.model_file import check_file
from android_bench.official.runner import OfficialRunner, choose_runner
from android_bench.parsers.cpu import parse_cpu_list
from android_bench.protocol import networks_on
from android_bench.session import measure
from android_bench.store import SampleStore
from pocketnas.bench_results import print_results, results_of
from pocketnas.cache import bench_samples
from pocketnas.console import print_json, progress_bar, say
from pocketnas.device_names import resolve_device
from pocketnas.measuring import open_device, reused
from pocketnas.side_by_side import run_side_by_side
from pocketnas_base.artifact import Artifact
from pocketnas_base.errors import InputError, PocketNASError
from pocketnas_base.files import sha256_bytes


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What the command line asked for. processes: None leaves them to the
    device, and so does an empty `cores`, else such as `4-7` or `0,2`. runner: a tool of the
    user's own, NAME=PATH; None: our own. samples: where raw samples
    are kept; None keeps them only until the benchmark is done."""

    threads: int = 1
    processes: int | None = None
    cores: str = ""
    tolerated: tuple[str, ...] = ()
    profile: bool = False
    samples: Path | None = None
    runner: str | None = None
    delegate: str = "cpu"
    as_json: bool = False


def bench_files(files: Sequence[Path], devices: Sequence[str], options: BenchOptions) -> None:
    """Measure the files on every device and print their latencies.

    Raises InputError for files or options that make no sense, and what `measure` raises. With several devices, each is
    measured in a worker of its own; PocketNASError after the last if any failed.
    """
    artifacts = [Artifact.of_file(path) for path in dict.fromkeys(files)]
    for artifact in artifacts:
        check_file(artifact)
    official = choose_runner(options.runner, options.delegate)
    names = list(dict.fromkeys(devices)) or [resolve_device(None, {})]
    if len(names) > 1:
        _bench_side_by_side(artifacts, names, options)
        return
    results = bench_device(artifacts, names[0], options, official)
    if options.as_json:
        print_json(results)
    else:
        print_results(names[0], results)


def bench_device(
    artifacts: Sequence[Artifact], name: str, options: BenchOptions, official: OfficialRunner | None
) -> list[dict[str, object]]:
    """Measure on one device: one result a file."""
    device = open_device(name, say=say)
    jobs = [Job(_job_id(artifact.path), artifact) for artifact in artifacts]
    protocol = networks_on(device)
    if options.processes is not None:
        protocol = replace(protocol, processes=options.processes)
    protocol = replace(protocol, threads=options.threads, cores=_cores(options.cores)).on(device)
    tool = [official.version, official.delegate] if official else []
    unfinished = bench_samples(
        [device.info.fingerprint, name, *tool, *(artifact.sha256 for artifact in artifacts)], protocol
    )
    path = options.samples or unfinished
    done = False
    try:
        with SampleStore.open(path) as store, progress_bar(f"bench {name}") as progress:
            if options.samples is None and store.holds_samples():
                say(f"going on with a benchmark that was interrupted; its samples are in {path}")
            processes = store.processes()
            key = measure(
                device,
                jobs,
                protocol,
                store,
                tolerated=options.tolerated,
                profile=options.profile,
                official=official,
                progress=progress,
            )
            if store.processes() == processes:
                say(reused(path, store.taken_at([key], jobs)))
            results = results_of(device, jobs, protocol, store, key, options.tolerated, official)
            done = True
    finally:
        if options.samples is None and (done or not _holds_samples(path)):
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
    return results


def _job_id(path: Path) -> str:
    """The path, by which samples that lie in a file already are found; of one that is too long its end, told apart by
    a hash of all of it."""
    text = str(path)
    if len(text) <= MAX_ID_LENGTH:
        return text
    digest = sha256_bytes(os.fsencode(path))[:16]
    return f"{digest}:{text[len(digest) + 1 - MAX_ID_LENGTH :]}"


def _holds_samples(path: Path) -> bool:
    with SampleStore.open(path) as store:
        return store.holds_samples()


def _bench_side_by_side(artifacts: Sequence[Artifact], names: Sequence[str], options: BenchOptions) -> None:
    if options.samples is not None:
        raise InputError("--samples is one file for one device; leave it out to measure several")
    words = ["bench", *(str(artifact.path) for artifact in artifacts), "--json", "--threads", str(options.threads)]
    if options.processes is not None:
        words += ["--processes", str(options.processes)]
    words += ["--cores", options.cores] if options.cores else []
    words += [word for reason in options.tolerated for word in ("--tolerate", reason)]
    words += ["--runner", options.runner] if options.runner is not None else []
    words += ["--delegate", options.delegate, *(["--profile"] if options.profile else [])]
    workers = run_side_by_side({name: [*words, "--device", name] for name in names})
    finished = {w.device: json.loads(w.stdout) for w in workers if w.exit_status == 0}
    if options.as_json:
        print_json([result for results in finished.values() for result in results])
    else:
        for name, results in finished.items():
            print_results(name, results)
    failed = [worker.device for worker in workers if worker.exit_status != 0]
    if failed:
        raise PocketNASError(f"{len(failed)} of {len(names)} devices failed ({', '.join(failed)}): see above")


def _cores(text: str) -> tuple[int, ...] | None:
    try:
        return parse_cpu_list(text) if text else None
    except UnreadableOutputError:
        raise InputError(f"--cores {text}: give numbers and ranges, such as 4-7 or 0,2") from None
