"""Which results of two files are of the same model."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from latency.compare import ToolFile, ToolResult
from pocketnas_base.errors import InputError

_MODEL_SUFFIXES = (".tflite", ".lite", ".pte", ".onnx", ".dlc", ".bin")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Where a name fits several results of the first file, the one most alike in these, in this order, is meant.
_TELLING = ("runtime", "device", "delegate", "threads", "precision")
_MAX_NAMED = 8


@dataclass(frozen=True, slots=True)
class Unpaired:
    """A result that nothing is held against. file: the one that it is in."""

    file: str
    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Pairing:
    """What belongs together of the first file (left) and another, in the first's order, and what does not."""

    pairs: tuple[tuple[ToolResult, ToolResult], ...]
    unpaired: tuple[Unpaired, ...]


def stem(model: str) -> str:
    """A model's name without folders and the suffix of a model file: names may have dots of their own."""
    name = re.split(r"[/\\]", model)[-1]
    for suffix in _MODEL_SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def sha256_of(result: ToolResult) -> str | None:
    """Of a model, where it is known: files that were copied to a device by their content have it as their name."""
    name = stem(result.model)
    return result.sha256 or (name if _SHA256.fullmatch(name) else None)


def pair(first: ToolFile, other: ToolFile, named: Sequence[tuple[str, str]] = ()) -> Pairing:
    """Pair by sha256 where both sides know it, else by name. named: names of the first file's models, each with the
    name that the other file has for the same one."""
    pairs: list[tuple[ToolResult, ToolResult]] = []
    unpaired: list[Unpaired] = []
    used: set[int] = set()
    wanted = {stem(right): left for left, right in named}
    by_name, by_content = _by_name(first.results), _by_content(first.results)
    for result in other.results:
        asked = wanted.get(stem(result.model))
        if asked is not None:
            candidates = by_name.get(stem(asked), [])
        else:
            known = sha256_of(result)
            candidates = by_content.get(known, []) if known else []
            candidates = candidates or [one for one in by_name.get(stem(result.model), []) if _may_be(one, result)]
        candidates = _most_alike(candidates, result)
        if len(candidates) == 1:
            pairs.append((candidates[0], result))
            used.add(id(candidates[0]))
        else:
            unpaired.append(Unpaired(other.name, result.model, _reason(candidates, by_name, result, first.name)))
    place = {id(result): number for number, result in enumerate(first.results)}
    pairs.sort(key=lambda pair: place[id(pair[0])])
    taken = {stem(mine.model) for mine, _ in pairs}
    unpaired[:0] = [
        Unpaired(
            first.name,
            result.model,
            f"another result of it is more like that of {other.name}"
            if stem(result.model) in taken
            else f"{other.name} has no such model",
        )
        for result in first.results
        if id(result) not in used
    ]
    return Pairing(tuple(pairs), tuple(unpaired))


def check_named(first: ToolFile, others: Sequence[ToolFile], named: Sequence[tuple[str, str]]) -> None:
    """Raise InputError for a name in `named` that its file does not have, or that stands for two models."""
    meant: dict[str, str] = {}
    for left, right in named:
        if meant.setdefault(stem(right), stem(left)) != stem(left):
            raise InputError(f"--pair {left}={right}: {right!r} is {meant[stem(right)]!r} already")
        if stem(left) not in _by_name(first.results):
            raise InputError(f"--pair {left}={right}: {first.name} has no model {left!r}; {_models(first.results)}")
        if not any(stem(right) in _by_name(other.results) for other in others):
            results = [result for other in others for result in other.results]
            raise InputError(f"--pair {left}={right}: no other file has a model {right!r}; {_models(results)}")


def _by_name(results: Sequence[ToolResult]) -> dict[str, list[ToolResult]]:
    found: dict[str, list[ToolResult]] = {}
    for result in results:
        found.setdefault(stem(result.model), []).append(result)
    return found


def _by_content(results: Sequence[ToolResult]) -> dict[str, list[ToolResult]]:
    found: dict[str, list[ToolResult]] = {}
    for result in results:
        if known := sha256_of(result):
            found.setdefault(known, []).append(result)
    return found


def _may_be(one: ToolResult, other: ToolResult) -> bool:
    return None in (sha256_of(one), sha256_of(other)) or sha256_of(one) == sha256_of(other)


def _most_alike(candidates: list[ToolResult], result: ToolResult) -> list[ToolResult]:
    for what in _TELLING:
        if len(candidates) > 1 and what in result.circumstances:
            same = [one for one in candidates if one.circumstances.get(what) == result.circumstances[what]]
            candidates = same or candidates
    return candidates


def _reason(
    candidates: Sequence[ToolResult], by_name: Mapping[str, Sequence[ToolResult]], result: ToolResult, first: str
) -> str:
    if candidates:
        return f"{len(candidates)} results of {first} may be meant"
    if stem(result.model) in by_name:
        return f"{first} has a model of that name with another content (sha256); --pair compares them all the same"
    return f"{first} has no such model"


def _models(results: Sequence[ToolResult]) -> str:
    names = sorted({stem(result.model) for result in results})
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return f"it has {', '.join(names[:_MAX_NAMED])}{more}" if names else "it has none"
