"""What a person sees: progress on stderr, results on stdout."""

import errno
import re
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from pocketnas_base.progress import Progress

QUIET_LINE_EVERY_S = 15.0
_FIGURE = re.compile(r"[-+±]?[0-9][0-9.,:]*( ?%|x)?|")


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """A bar on a terminal; elsewhere a line now and then, so that a log shows that work goes on."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(console.print, title)
        return

    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("[bold]{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[what]}", markup=False),
    )
    with Bars(*columns, console=console) as bars:
        task = bars.add_task(title, total=None, what="")
        yield lambda done, total, what: bars.update(task, completed=done, total=total, what=what)


def _lines(write: object, title: str) -> Progress:
    assert callable(write)
    last = time.monotonic()

    def report(done: int, total: int, what: str) -> None:
        nonlocal last
        if time.monotonic() - last >= QUIET_LINE_EVERY_S:
            last = time.monotonic()
            write(f"{title}: {done} of {total} {what}", markup=False, highlight=False)

    return report


def say(text: str) -> None:
    """One line for the person, on stderr."""
    import sys

    print(text, file=sys.stderr, flush=True)


def one_line(value: object) -> str:
    """A value as text that neither starts a new line nor moves a terminal's cursor, whatever file it stood in."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(value))


def os_error_line(error: OSError) -> str | None:
    """What to tell a person of something that the system refused; None where it names no file: a bug is likelier."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left on the disk{where}; free some and run the same command again, nothing is lost"
    return f"{error.strerror}{where}" if where else None


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    import json

    print(json.dumps(value, indent=2, allow_nan=False))


def print_table(columns: list[str], rows: list[list[str]], *, title: str = "") -> None:
    """A table on stdout, its first column to the left, the others to the right. Where the terminal is too narrow,
    words are folded, and figures only where they alone have no room: a figure's second half on the next line reads as
    another figure."""
    from rich.console import Console
    from rich.table import Table

    terminal = Console(width=None if Console().is_terminal else 140, markup=False)
    whole = [max(map(len, cells), default=0) for cells in _columns_of_figures(len(columns), rows)]
    too_wide = sum(whole) + 3 * len(columns) > terminal.width  # with the rules and blanks between the columns
    table = Table(title=title or None, title_justify="left")
    for name, width in zip(columns, whole, strict=True):
        justify: Literal["left", "right"] = "left" if name == columns[0] else "right"
        table.add_column(name, justify=justify, overflow="fold", min_width=None if too_wide else width or None)
    for row in rows:
        table.add_row(*row)
    terminal.print(table)


def _columns_of_figures(count: int, rows: list[list[str]]) -> list[list[str]]:
    """Of each column its cells; none of a column that holds words."""
    cells = [[row[number] for row in rows] for number in range(count)]
    return [column if all(_FIGURE.fullmatch(cell) for cell in column) else [] for column in cells]


def print_words(columns: Sequence[str], rows: Sequence[Sequence[str]], *, whole: Collection[str] = ()) -> None:
    """A table of words on stdout, folded to the terminal's width, elsewhere to 100 columns. whole: the columns that are
    never folded, because people copy from them."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, no_wrap=name in whole, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(width=None if Console().is_terminal else 100, markup=False, emoji=False, highlight=False).print(table)
