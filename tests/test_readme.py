"""README.md, held against the program and the pages that it speaks of."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from pocketnas.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = sorted((ROOT / "docs").glob("*.md"))


def commands(command: object, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    inner = getattr(command, "commands", None)
    # A group with a default command is called without that command's name.
    default = getattr(command, "default_command", None)
    if inner is None or default is not None:
        yield words
    for name, one in (inner or {}).items():
        if name != default:
            yield from commands(one, (*words, name))


COMMANDS = sorted(commands(typer.main.get_command(app)))


def table() -> str:
    return README[README.index("| command |") : README.index("DEVICE is")]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_table_of_commands_names_every_command(words: tuple[str, ...]) -> None:
    assert re.search(rf"`(pocketnas )?{' '.join(words)}\b", table())


def test_the_table_of_commands_names_no_other() -> None:
    named = {tuple(found.split()) for found in re.findall(r"`pocketnas ((?:[a-z]+ ?)+)", table())}
    assert named <= set(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_page_is_linked(page: Path) -> None:
    assert f"(docs/{page.name})" in README[README.index("## Pages") :]


@pytest.mark.parametrize("document", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_what_is_linked_or_named_exists(document: Path) -> None:
    text = document.read_text()
    paths = re.findall(r"\]\(((?!http)[^)#]+)\)", text) + re.findall(r"`((?:docs|examples|benchmarks)/\w+\.\w+)`", text)
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert missing == []
