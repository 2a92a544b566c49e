"""`pocketnas table build`: measure the operators of a space, apart from a run."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from android_bench.device import Device
from android_bench.job import Job
from android_bench.official.runner import OfficialRunner, choose_runner
from pocketnas.cache import operator_cache
from pocketnas.config import TableConfig
from pocketnas.console import progress_bar, say
from pocketnas.device_names import resolve_device
from pocketnas.farm import build_on_farm
from pocketnas.measuring import measure_table, open_device, operator_jobs
from pocketnas.side_by_side import run_side_by_side
from pocketnas.table_settings import AskedSettings, TableSetting, settings_of
from pocketnas_base.errors import InputError, PocketNASError
from search.space import load_space

T = TypeVar("T")

SEED = 0


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What the command line asked for. processes: None leaves them to the device. runner: a tool of the user's own,
    NAME=PATH; None: our own. ray: the address of a Ray cluster whose machines measure the devices that they have."""

    asked: AskedSettings
    processes: int | None = None
    tolerated: tuple[str, ...] = ()
    runner: str | None = None
    delegate: str = "cpu"
    ray: str | None = None


def build(space_name: str, out: Path, devices: Sequence[str], options: BuildOptions) -> None:
    """Measure a space's operators into `out`; samples are kept beside it, so that a second call goes on.

    Of several settings each gets a file of its own, its name before the suffix. All are exported before the first is
    measured; one that fails does not stop the others, and PocketNASError is raised after the last. With several devices
    each gets a file, or files, of its own in the same way, and a worker of its own; with a Ray cluster, on the machine
    that has the device.
    """
    if out.suffix != ".parquet":
        raise InputError(f"--out {out}: a table is a .parquet file")
    settings = settings_of(load_space(space_name), options.asked)
    official = choose_runner(options.runner, options.delegate)
    for setting in settings:
        if official is not None and official.runtime != setting.runtime:
            raise InputError(
                f"{official.kind} runs {official.runtime} files; build a table with --runtime {official.runtime}"
            )
    if options.ray is not None and not devices:
        raise InputError("--ray measures the devices that are named: give each with -d")
    names = list(dict.fromkeys(devices)) or [resolve_device(None, {})]
    if len(names) > 1 or options.ray is not None:
        _build_side_by_side(space_name, out, names, settings, options)
        return
    device = open_device(names[0], say=say)
    if len(settings) == 1:
        (setting,) = settings
        _measure(setting, device, _export(setting, options), out, options, official)
        return
    jobs = _each(settings, lambda setting: _export(setting, options))
    places = {setting: out.with_stem(f"{out.stem}.{setting.name}") for setting in jobs}
    whole = _each(
        list(jobs), lambda setting: _measure(setting, device, jobs[setting], places[setting], options, official)
    )
    if len(whole) < len(settings):
        failed = len(settings) - len(whole)
        raise PocketNASError(f"{failed} of {len(settings)} tables failed: see above; the same call goes on with them")


def _each(settings: Sequence[TableSetting], do: Callable[[TableSetting], T]) -> dict[TableSetting, T]:
    """What is done for each setting; where that fails, it is said and left out."""
    done = {}
    for setting in settings:
        try:
            done[setting] = do(setting)
        except PocketNASError as error:
            say(f"{setting.name}: {error}")
    return done


def _export(setting: TableSetting, options: BuildOptions) -> list[Job]:
    with progress_bar(f"operators {setting.name}") as progress:
        return operator_jobs(setting.space, _config(setting, options), operator_cache(), SEED, progress)


def _measure(
    setting: TableSetting,
    device: Device,
    jobs: Sequence[Job],
    place: Path,
    options: BuildOptions,
    official: OfficialRunner | None,
) -> None:
    with progress_bar(f"table {place.stem} {device.id}") as progress:
        table = measure_table(
            setting.space,
            device,
            _config(setting, options),
            jobs,
            place.with_suffix(".sqlite"),
            SEED,
            progress,
            tolerated=options.tolerated,
            official=official,
        )
    table.save(place)
    print(f"{place}: {len(table.rows)} operators of {table.name}", flush=True)


def _config(setting: TableSetting, options: BuildOptions) -> TableConfig:
    return TableConfig(
        runtime=setting.runtime, precision=setting.precision, threads=setting.threads, processes=options.processes
    )


def _build_side_by_side(
    space_name: str, out: Path, names: Sequence[str], settings: Sequence[TableSetting], options: BuildOptions
) -> None:
    words = ["table", "build", *options.asked.words()]
    if options.processes is not None:
        words += ["--processes", str(options.processes)]
    words += [word for reason in options.tolerated for word in ("--tolerate", reason)]
    words += ["--runner", options.runner] if options.runner is not None else []
    words += ["--delegate", options.delegate]
    places = {name: out.with_stem(f"{out.stem}.{re.sub('[^A-Za-z0-9._-]', '_', name)}") for name in names}
    if options.ray is not None:
        workers = build_on_farm(space_name, {name: (words, place) for name, place in places.items()}, options.ray)
    else:
        # Once, and not in every worker at the same time.
        _each(settings, lambda setting: _export(setting, options))
        words += ["--space", space_name]
        workers = run_side_by_side(
            {name: [*words, "--device", name, "--out", str(place)] for name, place in places.items()}
        )
    for worker in workers:
        print(worker.stdout, end="")
    failed = [worker.device for worker in workers if worker.exit_status != 0]
    if failed:
        raise PocketNASError(f"{len(failed)} of {len(names)} devices failed ({', '.join(failed)}): see above")
