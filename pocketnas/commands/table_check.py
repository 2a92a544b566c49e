"""`pocketnas table check`: what is wrong with a table, one line a finding."""

from dataclasses import asdict

from latency.chain import Chain
from latency.check import LIMITS, check_table
from latency.library import load_table
from latency.table import LatencyTable
from pocketnas.console import one_line, print_json, say
from pocketnas_base.errors import InputError
from search.space import load_space


def check(name_or_path: str, space: str, *, as_json: bool) -> int:
    """Print every finding; returns the exit status: 0 for a table without any, 1 otherwise."""
    table = load_table(name_or_path)
    chain, unknown = chain_of(table, space)
    findings = check_table(table, chain)
    rows = len(table.entries())
    if as_json:
        print_json(
            {
                "table": table.name,
                "rows": rows,
                "space": None if chain is None else chain.space,
                "coverage_not_checked": unknown,
                "limits": LIMITS,
                "findings": [asdict(finding) for finding in findings],
            }
        )
        return 1 if findings else 0
    for finding in findings:
        print(f"{finding.kind:<11} {finding.key}: {finding.text}")
    if unknown is not None:
        say(f"missing rows are not looked for: {unknown}")
    covered = "" if chain is None else f", all of space {chain.space}"
    print(_verdict(len(findings), rows, covered))
    return 1 if findings else 0


def _verdict(findings: int, rows: int, covered: str) -> str:
    if not findings:
        return f"{rows} rows{covered}, nothing to find fault with"
    return f"{findings} finding{'' if findings == 1 else 's'} in {rows} rows"


def chain_of(table: LatencyTable, space: str) -> tuple[Chain | None, str | None]:
    """The space that a table has to cover: the one named, else the built-in one it says it is of; and why none."""
    if space:
        return load_space(space).chain, None
    name = table.info.space
    if name is None:
        return None, "the table does not say which space it is of; give it with --space"
    try:
        # The name stands in the table's file: it may not open another one.
        chain = load_space(name).chain if ".toml" not in name else None
    except InputError:
        chain = None
    if chain is None or chain.fingerprint != table.info.space_fingerprint:
        own = one_line(name)
        return None, f"the table is of a space {own} that does not come with the product; give its file with --space"
    return chain, None
