"""Room and files on a device: what toybox's `df -k` and `stat -c` print."""

import re
import stat
from dataclasses import dataclass

from android_bench.parsers.text import Output, excerpt, integer, lines_of, name, text_of, unreadable

STAT_FORMAT = "%f %s %Y"
"""The format to give to `stat -c`: mode (hexadecimal), size in bytes, time of the last change in seconds."""

_DF = "df -k"
_STAT = "stat -c"
_UNITS = frozenset({"1K-blocks", "1024-blocks"})
_PERCENT = re.compile(r"[0-9]{1,3}%|-")
_HEXADECIMAL = re.compile(r"[0-9a-f]{1,8}")


@dataclass(frozen=True, slots=True)
class Room:
    """A file system: how much fits, and how much more this user may write, in KiB. mount: where it begins."""

    total_kb: int
    used_kb: int
    free_kb: int
    mount: str


@dataclass(frozen=True, slots=True)
class FileStatus:
    """What `stat` says of one file. mode: kind and permissions, as in stat(2)."""

    mode: int
    size_bytes: int
    modified_s: int

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)


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


def parse_file_status(output: Output) -> FileStatus:
    """What `stat -c STAT_FORMAT FILE` printed. Raises UnreadableOutputError when `output` is something else."""
    text = text_of(output, _STAT).strip()
    fields = text.split(" ")
    if len(fields) == 3 and _HEXADECIMAL.fullmatch(fields[0]):
        size_bytes = integer(fields[1])
        modified_s = integer(fields[2], -(2**63))
        if size_bytes is not None and modified_s is not None:
            return FileStatus(int(fields[0], 16), size_bytes, modified_s)
    raise unreadable(_STAT, f"no mode, size and time: {excerpt(text)}")
