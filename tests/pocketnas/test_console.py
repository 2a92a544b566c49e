"""Tables on a terminal: whatever its width, what they say is all there."""

import re

import pytest

from pocketnas.console import print_table

COLUMNS = ["method", "search s", "top-1 %", "time ratio", "top-1 points", "network"]
ROW = [
    "train-each",
    "201.3 [190.1, 212.8]",
    "87.97 [87.62, 88.24]",
    "3.05 [2.90, 3.22]",
    "+0.39 [+0.12, +0.66]",
    "runs/cifar10/targets/table-20ms.json",
]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_narrow_terminal_folds_cells_and_cuts_nothing_off(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # makes a terminal of what is captured
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    print_table(COLUMNS, [ROW])
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= width
    cells = [line.split("│")[1:-1] for line in lines if line.startswith("│")]
    printed = ["".join(parts).replace(" ", "") for parts in zip(*cells, strict=True)]
    assert printed == [text.replace(" ", "") for text in ROW]
