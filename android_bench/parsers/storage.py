"""Room on a device: what toybox's `df -k` prints."""

import re
from dataclasses import dataclass

from android_bench.parsers.text import Output, excerpt, integer, lines_of, name, text_of, unreadable

_DF = "df -k"
_UNITS = frozenset({"1K-blocks", "1024-blocks"})
_PERCENT = re.compile(r"[0-9]{1,3}%|-")


@dataclass(frozen=True, slots=True)
class Room:
    """A file system: how much fits, and how much more this user may write, in KiB. mount: where it begins."""

    total_kb: int
    used_kb: int
    free_kb: int
    mount: str


def parse_df(output: Output) -> Room:
    """The one file system that `df -k PATH` printed; a long device name may stand on a line of its own.

    Raises UnreadableOutputError when `output` is no such table, has not exactly one row, or counts in other units.
    """
    lines = [line for line in lines_of(text_of(output, _DF)) if line.strip()]
    start = next((index for index, line in enumerate(lines) if line.startswith("Filesystem")), None)
    if start is None:
        raise unreadable(_DF, f"no table: {excerpt(lines[0] if lines else '')}")
    if not _UNITS & set(lines[start].split()[1:2]):
        raise unreadable(_DF, f"a table in unknown units: {excerpt(lines[start])}")
    row = lines[start + 1 :]
    fields = " ".join(row).split(maxsplit=5)
    if len(row) > 2 or len(fields) != 6 or (len(row) == 2 and len(row[0].split()) != 1):
        raise unreadable(_DF, f"not one row: {excerpt(' '.join(row))}")
    total_kb, used_kb, free_kb = (integer(field) for field in fields[1:4])
    mount = name(fields[5])
    if total_kb is None or used_kb is None or free_kb is None or not _PERCENT.fullmatch(fields[4]) or mount is None:
        raise unreadable(_DF, f"no row of sizes: {excerpt(' '.join(row))}")
    if used_kb > total_kb or free_kb > total_kb:
        raise unreadable(_DF, f"more used or free than there is: {excerpt(' '.join(row))}")
    return Room(total_kb, used_kb, free_kb, mount)
