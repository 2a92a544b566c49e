"""`pocketnas search`: the search of a run, several targets at once, and searches held against each other."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pocketnas.cli_options import Json, Ray, RunOrConfig, Runs
from pocketnas.searches.names import METHODS
from pocketnas_base.errors import InputError

DEFAULT = "run"


class _SearchOfRuns(TyperGroup):
    """What is no command of the group is the run to search: `pocketnas search RUN` is `pocketnas search run RUN`."""

    default_command = DEFAULT

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)


search_app = typer.Typer(
    cls=_SearchOfRuns,
    help="Search the space against the run's latency table: `pocketnas search RUN_OR_CONFIG`. Its options: "
    "`pocketnas search run --help`.",
)

Tables = Annotated[
    list[str] | None,
    typer.Option(
        "--table",
        "-t",
        help="Take over this table instead of measuring one: a .parquet file, or pixel1. With --targets it may be "
        "given several times, one front each.",
    ),
]


@search_app.command(DEFAULT)
def search(
    run_or_config: RunOrConfig,
    runs: Runs = Path("runs"),
    table: Tables = None,
    max_ms: Annotated[
        float | None,
        typer.Option("--max-ms", help="The derived network is never predicted to take more milliseconds than this."),
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option(help="Latencies in ms between commas, such as 20,30,40: one network each from one supernet."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="How --targets are met: `evolution` over a supernet of all paths alike (the default), or "
            "`probabilities` of the run's own search."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Search the space against the run's latency table; with --targets, for several latencies at once."""
    if targets is not None:
        from pocketnas.commands.search_targets import search_targets

        if max_ms is not None:
            raise InputError("--max-ms is for one target; --targets are limits themselves")
        search_targets(run_or_config, runs, targets, "evolution" if by is None else by, table or [], as_json=json)
        return
    from pocketnas.commands.run import run_stage

    if by is not None:
        raise InputError("--by says how --targets are met; give them, or leave it out")
    if len(table or []) > 1:
        raise InputError("a search follows one table; several are for --targets")
    if json:
        raise InputError("--json is for --targets; a search's outcome is in its run directory, search/result.json")
    run_stage("search", run_or_config, runs, table=table[0] if table else None, max_ms=max_ms)


@search_app.command()
def compare(
    run_or_config: RunOrConfig,
    runs: Runs = Path("runs"),
    methods: Annotated[
        str | None,
        typer.Option(help=f"Which, between commas, of {', '.join(METHODS)}; left out, all that can be had here."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="How many, from the run's own seed on.")] = 1,
    ray: Ray = None,
    json: Json = False,
) -> None:
    """Hold searches against each other on the run's space, images and table, winners trained by its recipe.

    Prints what each cost and what it found, as ratios to proxyless. Interrupted, the same command goes on.
    """
    from pocketnas.commands.search_compare import compare_searches

    compare_searches(run_or_config, runs, methods, seeds, ray=ray, as_json=json)
