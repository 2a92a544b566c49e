"""Exporters in processes of their own: their chatter goes to a log, their memory is given back, several run at once."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pocketnas_base.errors import ExportError

Job = dict[str, object]

# From a feeding thread: a job is done, a job failed, or the thread has nothing left to do.
News = int | ExportError | None

ROOT = Path(__file__).resolve().parents[1]


def run_jobs(
    module: str,
    jobs: Sequence[Job],
    log: Path,
    *,
    workers: int = 1,
    directory: Path | None = None,
    finished: Callable[[int], None] = lambda _index: None,
) -> None:
    """Have worker processes of `python -m module` do all `jobs`, each job by whichever worker is free.

    log: where everything that the workers and their libraries print goes; removed when all went well.
    directory: the workers' working directory. finished: called in this thread with a job's index when it is done.
    Raises ExportError with the first failure's message and the log's path; the workers are then ended.
    """
    pending: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in range(len(jobs)):
        pending.put(index)
    news: queue.SimpleQueue[News] = queue.SimpleQueue()
    count = max(1, min(workers, len(jobs)))
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream, ThreadPoolExecutor(count) as pool:
        processes = [_start(module, stream.fileno(), directory, count) for _ in range(count)]
        try:
            for process in processes:
                pool.submit(_feed, process, jobs, pending, news)
            while count:
                match news.get():
                    case None:
                        count -= 1
                    case ExportError() as error:
                        raise ExportError(f"{error}; what the converter printed is in {log}")
                    case index:
                        finished(index)
        finally:
            for process in processes:
                process.kill()
            for process in processes:
                process.wait()
    log.unlink(missing_ok=True)  # of two processes that export side by side one is the first


def serve(handle: Callable[[Job], None]) -> None:
    """The worker's side: read jobs from standard input, one JSON line each, and answer each with one line.

    Standard output is kept for the answers; whatever libraries print there goes to standard error, the log.
    """
    import traceback

    # Ctrl-C reaches the whole process group; only the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
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
        with contextlib.suppress(queue.Empty):
            while True:
                index = pending.get_nowait()
                if complaint := _ask(process, jobs[index]):
                    news.put(ExportError(complaint))
                    return
                news.put(index)
    except (OSError, ValueError) as error:
        news.put(ExportError(f"the converter's process cannot be talked to: {error}"))
    finally:
        news.put(None)


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
