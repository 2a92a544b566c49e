"""Starting a runner as the host starts it, and what it answers."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from tiny_models import Model

from android_bench.plan import PlannedModel, render
from android_bench.protocol import Protocol
from android_bench.results import (
    DoneLine,
    ErrorLine,
    HelloLine,
    MeasurementLine,
    ProfileLine,
    RunnerLine,
    parse_line,
)
from android_bench.runner.build import Runner


def start(runner: Runner, plan: bytes, directory: Path) -> "subprocess.CompletedProcess[bytes]":
    path = directory / "plan.jsonl"
    path.write_bytes(plan)
    return subprocess.run([runner.path, path], capture_output=True, timeout=60, check=False)


def run(
    runner: Runner, models: Sequence[PlannedModel], protocol: Protocol, directory: Path
) -> tuple[HelloLine, list[RunnerLine], DoneLine]:
    """The first line, those between, and the last, which agrees with them."""
    done = start(runner, render(protocol, runner.runtime_version, models), directory)
    assert done.returncode == 0, done.stderr.decode()
    first, *between, last = [parse_line(line) for line in done.stdout.splitlines()]
    assert isinstance(first, HelloLine)
    assert isinstance(last, DoneLine)
    answers = [line for line in between if not is_of_a_profile(line)]
    assert last.models == len(models) == len(answers)
    assert last.errors == sum(isinstance(line, ErrorLine) for line in answers)
    return first, between, last


def is_of_a_profile(line: RunnerLine) -> bool:
    return isinstance(line, ProfileLine) or (isinstance(line, ErrorLine) and line.kind == "profile")


def planned(model: Model, **changes: Any) -> PlannedModel:
    values = {"inputs": (str(model.input),), "references": (str(model.reference),)} | changes
    return PlannedModel(model.path.name, str(model.path), **values)


def measured(line: RunnerLine) -> MeasurementLine:
    assert isinstance(line, MeasurementLine), line
    return line


def failed(line: RunnerLine) -> ErrorLine:
    assert isinstance(line, ErrorLine), line
    return line


def profiled(line: RunnerLine) -> ProfileLine:
    assert isinstance(line, ProfileLine), line
    return line


def executorch_file(module: Any, inputs: Sequence[NDArray[Any]], path: Path) -> str:
    """A .pte file of `module`, with nothing delegated."""
    import torch
    from executorch.exir import to_edge

    exported = torch.export.export(module.eval(), tuple(torch.from_numpy(values) for values in inputs))
    path.write_bytes(to_edge(exported).to_executorch().buffer)
    return str(path)
