"""Exporters in processes of their own: their chatter goes to a log, their memory is given back, several run at once."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from pocketnas_base.errors import ExportError

Job = dict[str, object]

# From a feeding thread: a job's index and what went wrong with it, nothing where it is done; None: the thread is over.
News = tuple[int, str] | None

ROOT = Path(__file__).resolve().parents[1]


class Workers:
    """Worker processes of `python -m module`, to be used in a `with` block.

    They start at once and import meanwhile what their jobs will need. log: where everything that they and their
    libraries print goes; kept when a job failed. directory: their working directory.
    """

    def __init__(self, module: str, log: Path, *, count: int = 1, directory: Path | None = None) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log, self._keeps_log = log, False
        with log.open("wb") as stream:
            self._processes = [_start(module, stream.fileno(), directory, count) for _ in range(count)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
        if not self._keeps_log:
            self._log.unlink(missing_ok=True)  # of two processes that export side by side one is the first

    def run(
        self,
        jobs: Sequence[Job],
        finished: Callable[[int], None] = lambda _index: None,
        failed: Callable[[int, str], None] | None = None,
    ) -> None:
        """Have all `jobs` done, each by whichever worker is free. finished: called in this thread with a job's index
        when it is done. failed: called with that of a job that failed, and why, when the others go on; without it the
        first failure ends them all, as an ExportError with its message and the log's path."""
        pending: queue.SimpleQueue[int] = queue.SimpleQueue()
        for index in range(len(jobs)):
            pending.put(index)
        news: queue.SimpleQueue[News] = queue.SimpleQueue()
        count = len(self._processes)
        with ThreadPoolExecutor(count) as pool:
            try:
                for process in self._processes:
                    pool.submit(_feed, process, jobs, pending, news)
                while count:
                    match news.get():
                        case None:
                            count -= 1
                        case index, "":
                            finished(index)
                        case index, complaint:
                            self._failed(index, complaint, failed)
                for index in _left(pending):
                    self._failed(index, "no converter's process was left to do it", failed)
            except BaseException:
                # The threads wait for their answers: none will come.
                for process in self._processes:
                    process.kill()
                raise

    def _failed(self, index: int, complaint: str, failed: Callable[[int, str], None] | None) -> None:
        self._keeps_log = True
        if failed is None:
            raise ExportError(f"{complaint}; what the converter printed is in {self._log}")
        failed(index, complaint)


def run_jobs(
    module: str,
    jobs: Sequence[Job],
    log: Path,
    *,
    workers: int = 1,
    directory: Path | None = None,
    finished: Callable[[int], None] = lambda _index: None,
) -> None:
    """Have at most so many workers, started now, do all `jobs`; see `Workers`."""
    with Workers(module, log, count=max(1, min(workers, len(jobs))), directory=directory) as started:
        started.run(jobs, finished)


def serve(handle: Callable[[Job], None], prepare: Callable[[], object] = lambda: None) -> None:
    """The worker's side: read jobs from standard input, one JSON line each, and answer each with one line.

    Standard output is kept for the answers; whatever libraries print there goes to standard error, the log.
    prepare: imports what jobs need, before the first is there; what fails in it fails again in the job, which tells.
    """
    import traceback

    # Ctrl-C reaches the whole process group; only the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with contextlib.suppress(Exception):
        prepare()
    for line in sys.stdin:
        try:
            handle(json.loads(line))
            answer: dict[str, str] = {}
        # Converters leave by sys.exit, and a worker must answer whatever happens.
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
            known = isinstance(error, ExportError)
            answer = {"error": first_line if known else f"{type(error).__name__}: {first_line}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _start(module: str, log: int, directory: Path | None, count: int) -> subprocess.Popen[str]:
    threads = str(max(1, (os.cpu_count() or 1) // count))
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": threads,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
    }
    return subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        cwd=directory,
        env=environment,
    )


def _feed(
    process: "subprocess.Popen[str]",
    jobs: Sequence[Job],
    pending: "queue.SimpleQueue[int]",
    news: "queue.SimpleQueue[News]",
) -> None:
    try:
        for index in _left(pending):
            try:
                complaint = _ask(process, jobs[index])
            except (OSError, ValueError) as error:
                complaint = f"the converter's process cannot be talked to: {error}"
                process.kill()
                process.wait()
            news.put((index, complaint))
            if process.poll() is not None:
                return
    finally:
        news.put(None)


def _left(pending: "queue.SimpleQueue[int]") -> Iterator[int]:
    """The jobs that nobody has taken, each taken as it is given."""
    with contextlib.suppress(queue.Empty):
        while True:
            yield pending.get_nowait()


def _ask(process: "subprocess.Popen[str]", job: Job) -> str:
    """What went wrong with the job, in one line; empty when nothing did."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        code = process.wait()
        return f"the converter's process ended with exit status {code}" + (
            " (killed: was the memory too small?)" if code == -signal.SIGKILL else ""
        )
    return str(json.loads(line).get("error", ""))
