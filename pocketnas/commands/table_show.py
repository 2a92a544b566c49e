"""`pocketnas table show`: look at a table."""

from pathlib import Path

from latency.check import check_table
from latency.library import load_table
from latency.rows import TIMES
from pocketnas.commands.table_check import chain_of
from pocketnas.console import one_line, print_json, print_table
from pocketnas_base.errors import InputError


def show(name_or_path: str, *, as_json: bool, html: Path | None) -> None:
    """A table's rows and provenance, on the terminal or as a page."""
    table = load_table(name_or_path)
    if html is not None:
        from pocketnas.report.table_page import write_table_page

        if as_json:
            raise InputError("give either --json or --html, not both")
        chain, unknown = chain_of(table, "")
        write_table_page(table, html, check_table(table, chain), unknown)
        print(f"{html}: {table.name}")
        return
    if as_json:
        print_json({"info": table.info.model_dump(mode="json"), "rows": table.records()})
        return
    columns = ["operator", "latency ms", "at most ms", "median ms", "p10 ms", "p90 ms", "MACs M", "processes"]
    repeated = any(entry.row.copies is not None for entry in table.entries())
    print_table(
        [*columns, "copies"] if repeated else columns,
        [
            [
                entry.key,
                *(_ms(getattr(entry.row, name)) for name in TIMES),
                f"{entry.op.macs / 1e6:.3f}",
                _count(entry.row.processes),
                *([_count(entry.row.copies)] if repeated else []),
            ]
            for entry in table.entries()
        ],
        title=table.name,
    )
    for name, value in table.info.facts().items():
        if value is not None:
            print(f"{name}: {one_line(value)}")


def _count(value: int | None) -> str:
    return "" if value is None else str(value)


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
