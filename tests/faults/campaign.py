"""The fault campaign: what becomes of each of at least 500 faults between host and phone.

A proxy stands between PocketNAS and a phone lookalike's adbd, over adb-shell and over the adb program with a real
server. It cuts, stalls, truncates, repeats, drops or corrupts one message, each in turn, or something happens to the
phone at that moment: adbd or a process is killed, it reboots, its storage fills up, another host takes its lock. Each
case must end in a correct result or in an error that says in one line which device it is about. What must not be: a
wrong row, a row that is lost, a process or a setting that is left on the phone, another exception, no end.

To print the count (about eight minutes on two cores; `--quick` takes one), in the folder `tests`:

    ../.venv/bin/python -m faults.campaign
"""

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.queues import Queue
from queue import Empty

from lookalike.lookalike import available

from faults.bench import Bench
from faults.cases import FULL, QUICK, Case, Size, plan
from faults.verdicts import GOOD, VERDICTS, Result

WORKERS = 3


def run(size: Size, *, workers: int = WORKERS, seed: int = 0) -> list[Result]:
    """Every case of a campaign, in the order in which they ended. Raises RuntimeError when a worker dies."""
    context = multiprocessing.get_context("spawn")
    cases: Queue[Case | None] = context.Queue()
    results: Queue[Result] = context.Queue()
    processes = [context.Process(target=_work, args=(cases, results), daemon=True) for _ in range(workers)]
    for process in processes:
        process.start()
    try:
        with Bench() as bench:
            planned = plan(bench.trace(), size, seed)
        for case in planned:
            cases.put(case)
        for _ in range(workers):
            cases.put(None)
        done = [_next(results, processes) for _ in planned]
        for process in processes:
            process.join(timeout=60)
        return done
    finally:
        for process in processes:
            process.kill()


def table(results: Sequence[Result]) -> str:
    """How the faults of each kind ended, and all of them together. Cases whose fault never came are left out."""
    done = [result for result in results if result.fired]
    lines = [_line("fault", ["injected", *VERDICTS])]
    for kind in dict.fromkeys(result.kind for result in sorted(done, key=lambda result: result.kind)):
        lines.append(_row(kind, [result for result in done if result.kind == kind]))
    lines.append(_row("all", done))
    return "\n".join(lines)


def bad(results: Sequence[Result]) -> list[Result]:
    """What should not be, fault or no fault."""
    return [result for result in results if result.verdict not in GOOD]


def report(results: Sequence[Result], wall_s: float) -> str:
    """The table, every bad case, and the count."""
    lines = [table(results), ""]
    lines += [f"{result.verdict.upper()}: {result.case}: {result.detail}" for result in bad(results)]
    fired = sum(result.fired for result in results)
    lines.append(f"{fired} faults injected, {len(bad(results))} of them ended badly ({wall_s:.0f} s)")
    return "\n".join(lines)


def _work(cases: "Queue[Case | None]", results: "Queue[Result]") -> None:
    with Bench() as bench:
        while (case := cases.get()) is not None:
            results.put(bench.run(case))


def _next(results: "Queue[Result]", processes: Sequence[multiprocessing.process.BaseProcess]) -> Result:
    while True:
        with suppress(Empty):
            return results.get(timeout=1.0)
        died = [process.exitcode for process in processes if process.exitcode]
        if died:
            raise RuntimeError(f"a worker of the campaign ended with status {died[0]}")


def _line(first: str, others: Sequence[str]) -> str:
    return f"{first:<18}" + "".join(f"{other:>15}" for other in others)


def _row(kind: str, results: Sequence[Result]) -> str:
    counted = Counter(result.verdict for result in results)
    return _line(kind, [str(len(results)), *(str(counted[verdict]) for verdict in VERDICTS)])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m faults.campaign", description="Inject faults and count what ends badly."
    )
    parser.add_argument("--quick", action="store_true", help="the subset that the default tests run")
    parser.add_argument("--workers", type=int, default=WORKERS, help="phones side by side")
    parser.add_argument("--seed", type=int, default=0, help="of the places where messages are damaged")
    chosen = parser.parse_args(arguments)
    reason = available()
    if reason:
        print(reason, file=sys.stderr)
        return 2
    started = time.monotonic()
    results = run(QUICK if chosen.quick else FULL, workers=chosen.workers, seed=chosen.seed)
    print(report(results, time.monotonic() - started))
    return 1 if bad(results) else 0


if __name__ == "__main__":
    sys.exit(main())
