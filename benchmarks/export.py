"""How long it takes to export all operators of a space for both runtimes: from cold, and from the cache.

Cold and warm are each a fresh process, from its start to its end, imports included; cold begins with an empty cache
folder. Beside it, for a few operators, one by one in one process, imports not counted: the written .pte against
ExecuTorch's own exporter (torch.export and lowering), which makes the same bytes.

    python benchmarks/export.py --space mobile
    python benchmarks/export.py --space demo --exporter 3 --json export.json
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from deploy.executorch_export import lower, takes_channels_last
from deploy.operators import export_operators
from latency.opspec import OpSpec
from pocketnas_base.artifact import RUNTIMES, Precision, Runtime
from search.space import SearchSpace, load_space

T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="mobile")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "int8"))
    parser.add_argument("--exporter", type=int, default=4, help="operators that the exporter lowers too; 0: none")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--child", choices=("all", "exporter"), help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    space = load_space(arguments.space)
    if arguments.child == "all":
        answer(export_all(space, arguments.precision, arguments.cache))
    elif arguments.child == "exporter":
        answer(beside_the_exporter(spread(space, arguments.exporter)))
    else:
        report(arguments.space, space, arguments.precision, arguments.exporter, arguments.json)


def report(name: str, space: SearchSpace, precision: Precision, exporter: int, path: Path | None) -> None:
    """Run the children and print what they took."""
    common = ["--space", name, "--precision", precision]
    with tempfile.TemporaryDirectory(prefix="pocketnas-export-") as cache:
        again = [*common, "--child", "all", "--cache", cache]
        figures: dict[str, Any] = {"cold": child(again), "warm": child(again)}
    count, cores = len(space.op_specs()), len(os.sched_getaffinity(0))
    print(f"{count} operators of {space.name}, {precision}, {' and '.join(RUNTIMES)}, {cores} cores")
    print(f"{'':<10}{'seconds':>9}" + "".join(f"{runtime:>12}" for runtime in RUNTIMES) + "   torch imported")
    for way in ("cold", "warm"):
        took = figures[way]
        each = "".join(f"{took['runtimes'][runtime]:>12.2f}" for runtime in RUNTIMES)
        print(f"{way:<10}{took['seconds']:>9.2f}{each}   {'yes' if took['torch'] else 'no'}")
    if exporter:
        figures["exporter"] = child([*common, "--child", "exporter", "--exporter", str(exporter)])["operators"]
        print(f"{'operator':<30}{'exporter s':>12}{'written s':>12}{'ratio':>8}   same bytes")
        for key, took in figures["exporter"].items():
            ratio = took["exporter_s"] / took["written_s"]
            print(f"{key:<30}{took['exporter_s']:>12.3f}{took['written_s']:>12.3f}{ratio:>8.0f}   {took['same_bytes']}")
    if path:
        plain = {"space": space.name, "operators": count, "precision": precision, "cores": cores}
        path.write_text(json.dumps(plain | figures, indent=2) + "\n")


def child(arguments: list[str]) -> dict[str, Any]:
    """This script in a fresh process: its answer, and the seconds from its start to its end."""
    started = time.perf_counter()
    result = subprocess.run([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - started
    found: dict[str, Any] = json.loads(result.stdout)
    return {"seconds": seconds} | found


def answer(value: dict[str, Any]) -> None:
    """What a child tells its parent."""
    print(json.dumps(value))


def export_all(space: SearchSpace, precision: Precision, cache: Path) -> dict[str, Any]:
    """Export every operator for both runtimes; the seconds of each."""
    ops = space.op_specs()
    seconds: dict[Runtime, float] = {}
    for runtime in RUNTIMES:
        started = time.perf_counter()
        export_operators(ops, runtime, cache, precision=precision)
        seconds[runtime] = time.perf_counter() - started
    return {"runtimes": seconds, "torch": "torch" in sys.modules}


def spread(space: SearchSpace, count: int) -> list[OpSpec]:
    """`count` operators from all over the space."""
    ops = space.op_specs()
    return [ops[index * (len(ops) - 1) // max(1, count - 1)] for index in range(count)]


def beside_the_exporter(ops: list[OpSpec]) -> dict[str, Any]:
    """Seconds of each operator, written and lowered, with the same weights."""
    # The exporter prints; this process's standard output is the answer.
    with contextlib.redirect_stdout(sys.stderr):
        both_ways(ops[0])  # imports
        return {"operators": {op.key: both_ways(op) for op in ops}}


def both_ways(op: OpSpec) -> dict[str, Any]:
    """One operator, lowered and written."""
    import torch

    from deploy.pte_writer import write_pte
    from deploy.samples import operator_sample

    last, sample = takes_channels_last(op), operator_sample(op, 0)
    example = sample.input.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
    exporter_s, exported = timed(lambda: lower(sample.module, example))
    written_s, written = timed(lambda: write_pte([op], [sample.module], channels_last=last))
    return {"exporter_s": exporter_s, "written_s": written_s, "same_bytes": exported == written}


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds that `work` takes, and what it gives."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


if __name__ == "__main__":
    main()
