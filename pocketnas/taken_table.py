"""A table that a run takes over instead of measuring one: a published one, or a file of the user's own."""

from latency.library import load_table
from latency.provenance import TableInfo
from latency.table import LatencyTable
from pocketnas.config import TableConfig
from pocketnas_base.errors import InputError
from search.layout import Space


def taken_table(use: str, config: TableConfig, space: Space) -> LatencyTable:
    """The table named `use`, fit for a run over this space. Raises InputError where it is of another space, lacks an
    operator of this one, or says of itself something else than the run's configuration."""
    table = load_table(use)
    info = table.info
    if info.space_fingerprint not in (None, space.fingerprint):
        raise InputError(f"table {use} is of another space ({info.space}); this run searches {space.name}")
    table.require_at(
        [(place, op) for place, op in space.chain.wanted() if op.kind != "empty"], needed_by=f"space {space.name}"
    )
    for name in ("runtime", "precision", "threads"):
        said, asked = getattr(info, name), getattr(config, name)
        if said not in (None, asked):
            raise InputError(f"table {use} was measured with {name} {said}, but table.{name} asks for {asked}")
    return table


def why_not_compared(info: TableInfo, device: str, fingerprint: str) -> str | None:
    """Why measurements on this device say nothing of what a table predicts, in a sentence; None where they do."""
    if info.source is None and info.device_fingerprint == fingerprint:
        return None
    if info.source is None:
        differs = f"the table was measured on {info.device_name}, the files on {device}, another device or system"
    else:
        differs = f"the table was imported and is of {info.device_name}, the files were measured on {device}"
    return f"{differs}: prediction and target are not held against the measurement"
