"""What tables one call of `pocketnas table build` makes: every combination of the settings asked for."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, get_args

from pocketnas.config import TABLE_THREADS, TablePrecision
from pocketnas_base.artifact import RUNTIMES, Runtime
from pocketnas_base.errors import InputError
from search.layout import Space

T = TypeVar("T", bound=str)

TABLE_PRECISIONS: tuple[TablePrecision, ...] = get_args(TablePrecision)


@dataclass(frozen=True, slots=True)
class AskedSettings:
    """Values as the command line has them: each may be several, separated by commas; none at all leaves a default."""

    runtimes: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    threads: tuple[str, ...] = ()
    resolutions: tuple[str, ...] = ()

    def words(self) -> list[str]:
        """The command line that says the same."""
        options = {
            "--runtime": self.runtimes,
            "--precision": self.precisions,
            "--threads": self.threads,
            "--resolution": self.resolutions,
        }
        return [word for option, values in options.items() for value in values for word in (option, value)]


@dataclass(frozen=True, slots=True)
class TableSetting:
    """What one table is of. space: at the resolution asked for."""

    space: Space
    runtime: Runtime
    precision: TablePrecision
    threads: int

    @property
    def name(self) -> str:
        """Its part of a file's name: `tflite-int8-2t-192px`."""
        return f"{self.runtime}-{self.precision}-{self.threads}t-{self.space.resolution}px"


def settings_of(space: Space, asked: AskedSettings) -> list[TableSetting]:
    """Every combination, in the order given: runtimes, then precisions, threads and resolutions.

    Left out: tflite, fp32, one thread, the space's own resolution. Raises InputError for a value that is none, that is
    given twice, that the space cannot take, or that nothing can be exported in.
    """
    from deploy.operators import check_precision

    runtimes = [_known(RUNTIMES, text, "runtime") for text in _values(asked.runtimes, "--runtime") or ["tflite"]]
    precisions = [
        _known(TABLE_PRECISIONS, text, "precision") for text in _values(asked.precisions, "--precision") or ["fp32"]
    ]
    threads = [_threads(text) for text in _values(asked.threads, "--threads") or ["1"]]
    spaces = [space.at_resolution(_whole(text, "--resolution")) for text in _values(asked.resolutions, "--resolution")]
    _check_once("--runtime", runtimes)
    _check_once("--precision", precisions)
    _check_once("--threads", threads)
    _check_once("--resolution", [each.resolution for each in spaces])
    for runtime, precision in itertools.product(runtimes, precisions):
        check_precision(runtime, precision)
    return [
        TableSetting(sized, runtime, precision, count)
        for runtime, precision, count, sized in itertools.product(runtimes, precisions, threads, spaces or [space])
    ]


def _values(given: Sequence[str], option: str) -> list[str]:
    values = [part.strip() for text in given for part in text.split(",")]
    if "" in values:
        raise InputError(f"{option} {','.join(given)}: a value is missing")
    return values


def _known(known: tuple[T, ...], text: str, what: str) -> T:
    for value in known:
        if value == text:
            return value
    raise InputError(f"unknown {what} {text!r}; known: {', '.join(known)}")


def _check_once(option: str, values: Sequence[str | int]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise InputError(f"{option} {value} is given twice; one table is built of each setting")


def _threads(text: str) -> int:
    count, (low, high) = _whole(text, "--threads"), TABLE_THREADS
    if not low <= count <= high:
        raise InputError(f"--threads {text}: give a number from {low} to {high}")
    return count


def _whole(text: str, option: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise InputError(f"{option} {text}: give a whole number")
    return int(text)
