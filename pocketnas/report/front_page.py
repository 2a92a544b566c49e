"""Fronts of one supernet as one page: a figure and a table for each device. Loads nothing, like the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pocketnas.report.figure_front import Dot, front_figure
from pocketnas.report.svg import Figure
from pocketnas.report.tables import Table, TableRow
from pocketnas.report.templates import template
from pocketnas.report.text import count, number, percent
from pocketnas_base.files import write_text

if TYPE_CHECKING:
    from pocketnas.config import RunConfig
    from pocketnas.searches.targets import Front

TEMPLATE = "fronts.html.jinja"


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    table: str
    figure: Figure
    networks: Table


def write_front_page(fronts: "Sequence[Front]", config: "RunConfig", by: str, path: Path) -> None:
    """Write the page, whole or not at all."""
    page = template(TEMPLATE).render(
        name=config.name,
        space=config.space,
        data=config.data.source,
        by=by,
        sections=[_section(front) for front in fronts],
        tool_version=version("pocketnas"),
    )
    write_text(path, page)


def _section(front: "Front") -> _Section:
    dots = [
        Dot(net.architecture.name, net.target_ms, net.latency_ms, net.accuracy, net.on_front) for net in front.networks
    ]
    rows = tuple(
        TableRow(
            (
                net.architecture.name,
                number(net.target_ms),
                number(net.latency_ms),
                percent(net.accuracy),
                count(net.architecture.macs),
                count(net.architecture.parameters),
                "on the front" if net.on_front else "beaten",
            ),
            strong=net.on_front,
        )
        for net in front.networks
    )
    columns = ("network", "target ms", "latency ms", "top-1", "MACs", "parameters", "")
    figure = front_figure(dots, f"Accuracy and latency of networks for {front.table.name}")
    return _Section(front.name, front.table.name, figure, Table(columns, rows))
