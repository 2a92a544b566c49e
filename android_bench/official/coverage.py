"""How much of a model a delegate runs, by benchmark_model's log. What it does not run the CPU does, without a word."""

from collections.abc import Sequence

from android_bench.official.launch import ModelFailedError
from android_bench.parsers.benchmark_model import BenchmarkLog
from android_bench.stated import Coverage
from pocketnas_base.artifact import Delegate

# What a build applies by itself, asked or not, to what is left of a graph. All run on the CPU.
_OF_THE_CPU = ("xnnpack", "flex")
_UNDONE = "Restored original execution plan"


def coverage_of(log: BenchmarkLog) -> tuple[Coverage, ...]:
    """Every delegate's share, in the order in which they were applied.

    Builds of 2020 do not print of how many operators, and some print nothing but whether all of the graph is run.
    """
    wholly = any(applied.extent == "completely" for applied in log.applied)
    found = [
        Coverage(
            delegate=line.delegate,
            nodes=line.replaced,
            of_nodes=line.nodes,
            partitions=line.partitions,
            complete=wholly if line.nodes is None else line.replaced == line.nodes,
        )
        for line in log.delegates
    ]
    told = {_is_of_the_cpu(part.delegate) for part in found}
    found += [
        Coverage(applied.name, None, None, applied.kernels, applied.extent == "completely")
        for applied in log.applied
        if applied.extent != "not" and _is_of_the_cpu(applied.name) not in told
    ]
    return tuple(found)


def check_applied(log: BenchmarkLog, coverage: Sequence[Coverage], delegate: Delegate) -> None:
    """Raise ModelFailedError when a delegate that was asked for runs nothing of the model: the CPU ran it all then."""
    if delegate == "cpu":
        return
    applied = any(part.nodes != 0 for part in _asked_for(coverage))
    refused = any(line.extent == "not" for line in log.applied)
    undone = any(_UNDONE in error for error in log.errors)
    if applied and not refused and not undone:
        return
    reason = log.errors[0] if log.errors else ""
    if not reason:
        reason = "it supports none of the model's operators" if refused else "the log says nothing of it"
    raise ModelFailedError(f"the {delegate} delegate was not applied, the model ran on the CPU: {reason}")


def describe(coverage: Sequence[Coverage], delegate: Delegate) -> str:
    """What a delegate that was asked for runs of a model, in words: `gpu runs 29 of 31 operators in 2 parts, the CPU
    the rest`."""
    own = _asked_for(coverage)
    if delegate == "cpu" or not own:
        return "the CPU runs the whole model" if delegate == "cpu" else f"{delegate} runs nothing of the model"
    parts = sum(part.partitions for part in own)
    taken = None if any(part.nodes is None for part in own) else sum(part.nodes or 0 for part in own)
    total = None if any(part.of_nodes is None for part in own) else sum(part.of_nodes or 0 for part in own)
    if is_complete(coverage, delegate):
        return f"{delegate} runs the whole model" + (f", {total} operators" if total is not None else "")
    share = "a part of the model" if taken is None else f"{taken} operators"
    share = f"{taken} of {total} operators" if taken is not None and total is not None else share
    return f"{delegate} runs {share} in {parts} parts, the CPU the rest"


def is_complete(coverage: Sequence[Coverage], delegate: Delegate) -> bool:
    """Whether the delegate that was asked for runs all of the model."""
    own = _asked_for(coverage)
    return delegate == "cpu" or (bool(own) and all(part.complete for part in own))


def _asked_for(coverage: Sequence[Coverage]) -> list[Coverage]:
    """Vendors name their delegates as they like, but nothing beside the one that was asked for runs elsewhere."""
    return [part for part in coverage if not _is_of_the_cpu(part.delegate)]


def _is_of_the_cpu(delegate: str) -> bool:
    return any(word in delegate.casefold() for word in _OF_THE_CPU)


def least(found: Sequence[tuple[Coverage, ...]], delegate: Delegate) -> tuple[Coverage, ...]:
    """Of what several processes said of one model, that in which the delegate that was asked for runs the least."""

    def share(coverage: tuple[Coverage, ...]) -> tuple[bool, float]:
        own = _asked_for(coverage)
        total = sum(part.of_nodes or 0 for part in own)
        return is_complete(coverage, delegate), sum(part.nodes or 0 for part in own) / total if total else 0.0

    return min(found, key=share, default=())
