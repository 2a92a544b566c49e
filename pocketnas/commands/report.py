"""`pocketnas report`: summary.json and one self-contained HTML file."""

from pathlib import Path

from pocketnas.run_directory import RunDirectory
from pocketnas.stages.context import RunContext
from pocketnas.stages.report import run


def write(run_dir: Path) -> None:
    """Write both from what the stages left, as often as asked, and say where the report is."""
    directory = RunDirectory.open(run_dir)
    run(RunContext(directory))
    print(directory.report)
