"""`pocketnas report`: one self-contained HTML file."""

from pathlib import Path


def write(run_dir: Path) -> None:
    """Write the report and say where it is."""
    from pocketnas.report.build import write_report

    print(write_report(run_dir))
