"""Stage `table`: measure every operator of the space."""

from pocketnas.cache import operator_cache
from pocketnas.console import progress_bar
from pocketnas.measuring import measure_table, open_device, operator_jobs
from pocketnas.stages.context import RunContext


def run(context: RunContext) -> str:
    """Write table.parquet; samples go to samples.sqlite as they arrive."""
    config, space, directory = context.config, context.space, context.directory
    device = open_device(config.device, config.devices)
    with progress_bar("operators") as progress:
        jobs = operator_jobs(space, config.table, operator_cache(), config.seed, progress)
    with progress_bar("table") as progress:
        table = measure_table(
            space, device, config.table, jobs, directory.samples, config.seed, progress, tolerated=config.tolerate
        )
    table.save(directory.table)
    return f"{len(table.rows)} operators, invocation {table.invocation_ms * 1000:.1f} us"
