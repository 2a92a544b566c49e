"""How long it takes to export all operators of a space for both runtimes: from cold, and from the cache.

Cold and warm are each a fresh process, from its start to its end, imports included; cold begins with an empty cache
folder. Networks with made-up weights, as calibration and prediction need them, likewise: seconds of each, the first
one's with the imports. Beside it, for a few operators, one by one in one process, imports not counted: the written .pte
against ExecuTorch's own exporter (torch.export and lowering), which makes the same bytes.

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

from record import write_figures

from deploy.executorch_export import lower, takes_channels_last
from deploy.export import export_untrained
from deploy.operators import export_operators
from latency.opspec import OpSpec
from pocketnas_base.artifact import RUNTIMES, Precision, Runtime
from search.sampling import random_networks
from search.space import SearchSpace, load_space

T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="mobile")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "int8"))
    parser.add_argument("--networks", type=int, default=3, help="random networks of the space; 0: none")
    parser.add_argument("--exporter", type=int, default=4, help="operators that the exporter lowers too; 0: none")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--child", choices=("operators", "networks", "exporter"), help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    space = load_space(arguments.space)
    match arguments.child:
        case "operators":
            answer(export_all(space, arguments.precision, arguments.cache))
        case "networks":
            answer(export_networks(space, arguments.precision, arguments.cache, arguments.networks))
        case "exporter":
            answer(beside_the_exporter(spread(space, arguments.exporter)))
        case _:
            report(space, arguments)


def report(space: SearchSpace, arguments: argparse.Namespace) -> None:
    """Run the children and print what they took."""
    common = ["--space", arguments.space, "--precision", arguments.precision]
    with tempfile.TemporaryDirectory(prefix="pocketnas-export-") as cache:
        common += ["--cache", cache]
        figures: dict[str, Any] = {way: child(*common, "--child", "operators") for way in ("cold", "warm")}
        count, cores = len(space.op_specs()), len(os.sched_getaffinity(0))
        print(f"{count} operators of {space.name}, {arguments.precision}, {' and '.join(RUNTIMES)}, {cores} cores")
        print(f"{'':<12}{'seconds':>9}" + "".join(f"{runtime:>12}" for runtime in RUNTIMES) + "   torch imported")
        for way, took in figures.items():
            each = "".join(f"{took['runtimes'][runtime]:>12.2f}" for runtime in RUNTIMES)
            print(f"{way:<12}{took['seconds']:>9.2f}{each}   {'yes' if took['torch'] else 'no'}")
        if arguments.networks:
            networks = child(*common, "--child", "networks", "--networks", str(arguments.networks))["networks"]
            figures["networks"] = networks
            for number, took in enumerate(networks, start=1):
                each = "".join(f"{took[runtime]:>12.2f}" for runtime in RUNTIMES)
                print(f"{f'network {number}':<12}{sum(took.values()):>9.2f}{each}")
        if arguments.exporter:
            operators = child(*common, "--child", "exporter", "--exporter", str(arguments.exporter))["operators"]
            figures["exporter"] = operators
            print(f"{'fp32 operator':<30}{'exporter s':>12}{'written s':>12}{'ratio':>8}   same bytes")
            for key, took in operators.items():
                seconds = f"{took['exporter_s']:>12.3f}{took['written_s']:>12.3f}"
                same = "yes" if took["same_bytes"] else "no"
                print(f"{key:<30}{seconds}{took['exporter_s'] / took['written_s']:>8.0f}   {same}")
    if arguments.json:
        plain = {"space": space.name, "operators": count, "precision": arguments.precision, "cores": cores}
        write_figures(arguments.json, plain | figures)


def child(*arguments: str) -> dict[str, Any]:
    """This script in a fresh process: its answer, and the seconds from its start to its end."""
    started = time.perf_counter()
    result = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if result.returncode:
        sys.exit(f"{result.stderr}\n{' '.join(arguments)} failed")
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


def export_networks(space: SearchSpace, precision: Precision, folder: Path, count: int) -> dict[str, Any]:
    """Seconds of each of `count` random networks, for each runtime."""
    found = []
    for network in random_networks(space, count, 0):
        seconds: dict[Runtime, float] = {}
        for runtime in RUNTIMES:
            started = time.perf_counter()
            export_untrained(network, folder, runtime=runtime, precision=precision)
            seconds[runtime] = time.perf_counter() - started
        found.append(seconds)
    return {"networks": found}


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
