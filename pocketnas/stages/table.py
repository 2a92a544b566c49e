"""Stage `table`: measure every operator of the space, or take over a table that somebody measured."""

from pocketnas.cache import operator_cache
from pocketnas.calibrating import Budget, calibrated
from pocketnas.console import progress_bar
from pocketnas.measuring import measure_table, open_device, operator_jobs
from pocketnas.stages.context import RunContext
from pocketnas.taken_table import taken_table


def run(context: RunContext) -> str:
    """Write table.parquet; samples, where there are any, go to samples.sqlite as they arrive."""
    config, space, directory = context.config, context.space, context.directory
    if context.use_table is not None:
        table = taken_table(context.use_table, config.table, space)
        table.save(directory.table)
        return f"taken over: {table.name}, {len(table.entries())} rows"
    device = open_device(config.device, config.devices)
    with progress_bar("operators") as progress:
        jobs = operator_jobs(space, config.table, operator_cache(), config.seed, progress)
    with progress_bar("table") as progress:
        table = measure_table(
            space, device, config.table, jobs, directory.samples, config.seed, progress, tolerated=config.tolerate
        )
    if config.table.calibration != 0:
        networks = None if config.table.calibration == "auto" else config.table.calibration
        budget = Budget(networks, config.table.processes)
        with progress_bar("networks") as progress:
            table = calibrated(
                table, space, device, directory.samples, budget=budget, tolerated=config.tolerate, progress=progress
            )
    table.save(directory.table)
    told = f"{len(table.rows)} operators, invocation {table.invocation_ms * 1000:.1f} us"
    return told if table.info.calibration is None else f"{told}; {table.info.calibration.found}"
