"""`pocketnas compare`: results of other tools beside ours, or beside each other."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from latency.compare import MIN_FOR_RANKS, Compared, Differing, Overall, ToolFile, ToolResult, compare, overall
from latency.compare_pairing import Unpaired, check_named, pair, stem
from pocketnas.console import print_json, print_table
from pocketnas.tool_files import read_tool_file
from pocketnas_base.errors import InputError


@dataclass(frozen=True, slots=True)
class Beside:
    """One file held against the first."""

    file: ToolFile
    pairs: tuple[Compared, ...]
    unpaired: tuple[Unpaired, ...]
    overall: Overall | None


def compare_files(paths: Sequence[Path], named: Sequence[str], *, as_json: bool) -> None:
    """Print how the results in each file differ from those in the first.

    named: names for one model in two files, A=B. Raises InputError for a file that cannot be read, for names that are
    none, and when nothing can be paired.
    """
    if len(paths) < 2:
        raise InputError("compare what with what? give two files of results or more, the yardstick first")
    first, *others = [read_tool_file(path) for path in paths]
    names = [_named(text, first, others) for text in named]
    check_named(first, others, names)
    beside = [_beside(first, other, names) for other in others]
    if not any(found.pairs for found in beside):
        raise InputError(
            f"no model of {first.name} ({_models(first)}) is in {', '.join(o.name for o in others)}"
            f" ({_models(others[0])}); say which are the same: --pair A=B"
        )
    if as_json:
        print_json(_plain(first, beside))
    else:
        _print(first, beside)


def _beside(first: ToolFile, other: ToolFile, names: Sequence[tuple[str, str]]) -> Beside:
    pairing = pair(first, other, names)
    pairs = tuple(compare(mine, theirs) for mine, theirs in pairing.pairs)
    return Beside(other, pairs, pairing.unpaired, overall(pairs))


def _named(text: str, first: ToolFile, others: Sequence[ToolFile]) -> tuple[str, str]:
    """A=B. Names of benchmarks may hold `=` themselves: it is parted where both sides are known, if anywhere."""
    parts = [(text[:at], text[at + 1 :]) for at, letter in enumerate(text) if letter == "="]
    splits = [(left, right) for left, right in parts if left and right]
    if not splits:
        raise InputError(f"--pair {text}: give two names of one model, A=B, the first file's on the left")
    mine, theirs = _stems([first]), _stems(others)
    return next(((left, right) for left, right in splits if stem(left) in mine and stem(right) in theirs), splits[0])


def _stems(files: Sequence[ToolFile]) -> set[str]:
    return {stem(result.model) for file in files for result in file.results}


def _models(file: ToolFile) -> str:
    names = sorted(_stems([file]))
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _print(first: ToolFile, beside: Sequence[Beside]) -> None:
    print(f"first: {first.name} ({first.tool})")
    for found in beside:
        print(f"other: {found.file.name} ({found.file.tool})")
        if found.pairs:
            _print_pairs(found)
    for file in (first, *(found.file for found in beside)):
        for model, reason in file.failed:
            print(f"not measured in {file.name}: {stem(model)}: {reason}")
    for one in dict.fromkeys(one for found in beside for one in found.unpaired):
        print(f"not paired, of {one.file}: {stem(one.model)}: {one.reason}")


def _print_pairs(found: Beside) -> None:
    print_table(
        ["model", "statistic", "first ms", "other ms", "difference %", "first within", "other within", "overlap"],
        [
            [
                stem(one.first.model),
                _statistics(one),
                f"{one.first_ms:.4f}",
                f"{one.other_ms:.4f}",
                f"{one.difference_percent:+.1f}",
                _interval(one.first),
                _interval(one.other),
                {True: "yes", False: "no", None: "unknown"}[one.overlap],
            ]
            for one in found.pairs
        ],
    )
    for side, results in (("first", [p.first for p in found.pairs]), ("other", [p.other for p in found.pairs])):
        kinds = dict.fromkeys(result.interval.kind for result in results if result.interval is not None)
        if kinds:
            print(f"{side} within: {' or '.join(kinds)}")
    for text, models in _grouped(found.pairs).items():
        of = "" if len(models) == len(found.pairs) else f" ({', '.join(models)})"
        print(f"{text}{of}")
    if found.overall is not None:
        ranks = found.overall.rank_correlation
        told = f"not defined for fewer than {MIN_FOR_RANKS} that differ" if ranks is None else f"{ranks:.4f}"
        print(f"pairs: {found.overall.pairs}")
        print(f"median ratio, other over first: {found.overall.median_ratio:.4f}")
        print(f"rank correlation: {told}")


def _grouped(pairs: Sequence[Compared]) -> dict[str, list[str]]:
    """What differs, in words, each with the models that it holds for."""
    groups: dict[str, list[str]] = {}
    for one in pairs:
        differ = [f"{d.what} {d.first} and {d.other}" for d in one.differing if d.first and d.other]
        lines = [f"differs: {'; '.join(differ)}"] if differ else []
        for side, told in (("first", _alone(one.differing, 0)), ("other", _alone(one.differing, 1))):
            lines += [f"said of the {side} alone: {told}"] if told else []
        for line in lines:
            groups.setdefault(line, []).append(stem(one.first.model))
    return groups


def _alone(differing: Sequence[Differing], side: int) -> str:
    """What one side says and the other does not."""
    sides = [(d.what, (d.first, d.other)[side], (d.other, d.first)[side]) for d in differing]
    return ", ".join(f"{what} {told}" for what, told, other in sides if told is not None and other is None)


def _statistics(one: Compared) -> str:
    if one.first_statistic == one.other_statistic:
        return one.first_statistic
    return f"{one.first_statistic} and {one.other_statistic}"


def _interval(result: ToolResult) -> str:
    return "" if result.interval is None else f"{result.interval.low_ms:.4f} to {result.interval.high_ms:.4f}"


def _plain(first: ToolFile, beside: Sequence[Beside]) -> dict[str, object]:
    files = [first, *(found.file for found in beside)]
    return {
        "files": [
            {
                "file": file.name,
                "tool": file.tool,
                "models": len(file.results),
                "failed": [{"model": model, "reason": reason} for model, reason in file.failed],
            }
            for file in files
        ],
        "comparisons": [
            {
                "file": found.file.name,
                "overall": None if found.overall is None else asdict(found.overall),
                "pairs": [_plain_pair(one) for one in found.pairs],
                "unpaired": [asdict(one) for one in found.unpaired],
            }
            for found in beside
        ],
    }


def _plain_pair(one: Compared) -> dict[str, object]:
    return {
        "model": stem(one.first.model),
        "first": _plain_side(one.first, one.first_statistic, one.first_ms),
        "other": _plain_side(one.other, one.other_statistic, one.other_ms),
        "difference_percent": one.difference_percent,
        "intervals_overlap": one.overlap,
        "differing": [asdict(difference) for difference in one.differing],
    }


def _plain_side(result: ToolResult, statistic: str, latency_ms: float) -> dict[str, object]:
    return {
        "name": result.model,
        "statistic": statistic,
        "latency_ms": latency_ms,
        "low_ms": None if result.interval is None else result.interval.low_ms,
        "high_ms": None if result.interval is None else result.interval.high_ms,
        "interval": None if result.interval is None else result.interval.kind,
        "processes": result.processes,
        "circumstances": dict(result.circumstances),
    }
