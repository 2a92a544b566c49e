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


def printed(
    columns: list[str],
    rows: list[list[str]],
    width: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> list[str]:
    """The lines of a table on a terminal of so many columns."""
    monkeypatch.setenv("FORCE_COLOR", "1")  # makes a terminal of what is captured
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    print_table(columns, rows)
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_narrow_terminal_folds_cells_and_cuts_nothing_off(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(COLUMNS, [ROW], width, monkeypatch, capsys)
    assert max(map(len, lines)) <= width
    cells = [line.split("│")[1:-1] for line in lines if line.startswith("│")]
    read = ["".join(parts).replace(" ", "") for parts in zip(*cells, strict=True)]
    assert read == [text.replace(" ", "") for text in ROW]


def test_a_narrow_terminal_leaves_figures_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = ["file", "ms", "at most ms", "predicted ms", "cold load ms", "first ms", "peak MB", "top-1 %", "loss"]
    row = ["efficientnet-lite0.int8.tflite", "13.225", "13.407", "13.101", "120.5", "14.50", "105.3", "80.00", "-0.10"]
    lines = printed(columns, [row], 80, monkeypatch, capsys)
    assert max(map(len, lines)) <= 80
    (line,) = [line for line in lines if "13.225" in line]
    assert [cell.strip() for cell in line.split("│")[2:-1]] == row[1:]
