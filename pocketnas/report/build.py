"""Write the report: one HTML file that needs nothing else and loads nothing."""

from pathlib import Path

from pocketnas.report.collect import RunRecord, collect
from pocketnas.report.deploy_table import deploy_tables
from pocketnas.report.figure_architecture import architecture_figure, legend, share_figure
from pocketnas.report.figure_calibration import calibration_figure
from pocketnas.report.figure_curves import search_figures, training_figures
from pocketnas.report.figure_heat import probability_figure, side_by_side, table_figure
from pocketnas.report.figure_latency import latency_figure
from pocketnas.report.figure_seconds import seconds_figure
from pocketnas.report.headline import headline
from pocketnas.report.tables import accuracy_table, environment_tables, fixed_costs, network_table, rebench_table
from pocketnas.report.templates import template
from pocketnas.report.text import count, duration, table_text
from pocketnas_base.files import write_bytes

TEMPLATE = "report.html.jinja"


def write_report(run_dir: Path) -> Path:
    """Write `run_dir`/report.html, whole or not at all, from what the stages left there; returns its path.

    Raises InputError, in one line, when a file is missing or ill-formed, naming the stage that has to run first.
    """
    page = render(collect(run_dir))
    path = run_dir / "report.html"
    write_bytes(path, page.encode(errors="replace"))  # JSON may hold halves of characters, which UTF-8 does not
    return path


def render(record: RunRecord) -> str:
    """The page. Every string of the record is untrusted and escaped."""
    search, info = record.search, record.table.info
    return template(TEMPLATE).render(
        record=record,
        summary=record.summary,
        info=info,
        head=headline(record),
        architecture=architecture_figure(record),
        legend=legend(record),
        shares=share_figure(record),
        latency=latency_figure(record),
        rebench=rebench_table(record),
        calibration=None if info.calibration is None else calibration_figure(info.calibration),
        costs=table_figure(record),
        fixed_costs=fixed_costs(record),
        probabilities=probability_figure(record),
        beside=side_by_side(record),
        unlikely=[p.number for p in record.positions if p.probabilities[p.chosen] < max(p.probabilities)],
        search_curves=search_figures(record),
        held_out=any(point.arch_loss is not None for point in search.curve),
        training_curves=training_figures(record),
        accuracy=accuracy_table(record),
        networks=network_table(record),
        deploy=deploy_tables(record.manifest),
        seconds=seconds_figure(record.summary.seconds),
        total=duration(sum(record.summary.seconds.values())),
        environment=environment_tables(record),
        count=count,
        table_text=table_text,
    )
