"""`pocketnas demo`, `pocketnas run` and the single stages."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pocketnas.config import RunConfig, builtin_config, load_config, parse_config
from pocketnas.console import say
from pocketnas.launch import refuse_several_processes
from pocketnas.pipeline import STAGES, run_all, run_one
from pocketnas.run_directory import RunDirectory
from pocketnas_base.errors import InputError
from pocketnas_base.files import read_json

if TYPE_CHECKING:
    from pocketnas.stages.context import RunContext


def run_demo(runs: Path, data: str) -> None:
    """The built-in demo: goes on where an interrupted one stopped; a finished one is kept under another name."""
    from search.data.load import check_source

    config, text = builtin_config("demo")
    if data:
        check_source(data)
        source = f"source = {_toml_string(data)}".encode()
        text = re.sub(rb"^source = .*$", lambda _: source, text, count=1, flags=re.MULTILINE)
    path = runs / config.name
    if (path / "config.toml").exists():
        directory = RunDirectory.open(path)
        if directory.is_done(STAGES[-1]) or (path / "config.toml").read_bytes() != text:
            kept = _free_name(path)
            path.rename(kept)
            say(f"the earlier demo is kept in {kept}")
        else:
            say(f"going on with {path}")
    directory = RunDirectory.open(path) if path.exists() else _start(path, parse_config(text, source="demo"), text)
    run_all(directory)
    _conclude(directory)


def run_config(config_path: Path, runs: Path, *, resume: bool) -> None:
    """A run of the user's own configuration."""
    from search.data.load import check_source

    config, text = load_config(config_path)
    path = runs / config.name
    if not resume:
        directory = _start(path, config, text)
    else:
        check_source(config.data.source)  # before anything is measured
        directory = RunDirectory.open(path)
        if (path / "config.toml").read_bytes() != text:
            raise InputError(f"{config_path} differs from {path}/config.toml; resume with that one, or rename the run")
        directory.check_space()
    run_all(directory)
    _conclude(directory)


def run_stage(
    stage: str, run_or_config: Path, runs: Path, *, table: str | None = None, max_ms: float | None = None
) -> None:
    """One stage of a run, which is named by its directory or its configuration. table: one to take over first. max_ms:
    for the stage `search`, what no derived net may be predicted to exceed."""
    directory = find_run(run_or_config, runs)
    if table is not None:
        refuse_several_processes("--table")
        take_over(directory, table)
    run_one(directory, stage, max_ms=max_ms)


def check_before_measuring(context: "RunContext") -> None:
    """Raises InputError where there is no GPU though one is asked for, or the images' source names nothing."""
    from search.data.load import check_source

    context.torch_device()
    check_source(context.config.data.source)


def take_over(directory: RunDirectory, table: str) -> None:
    """Give a run a table that was not measured for it; nothing to do where it has that one already."""
    from pocketnas.stages.context import RunContext
    from pocketnas.taken_table import taken_table

    said = directory.config.table.use
    if said not in (None, table):
        raise InputError(f"{directory.path}/config.toml says table.use = {said}; leave --table out, or change it there")
    if not directory.is_done("table"):
        run_one(directory, "table", use_table=table)
        return
    context = RunContext(directory)
    if context.table() != taken_table(table, directory.config.table, context.space):
        raise InputError(f"{directory.path} has another table than {table} already; start another run for that one")


def find_run(run_or_config: Path, runs: Path) -> RunDirectory:
    """The run of this directory or of this configuration, begun where there is none yet. Raises InputError."""
    if run_or_config.is_dir():
        return RunDirectory.open(run_or_config)
    refuse_several_processes(f"beginning a run from {run_or_config} (name its run directory)")
    config, text = load_config(run_or_config)
    path = runs / config.name
    if not (path / "config.toml").exists():
        return _start(path, config, text)
    directory = RunDirectory.open(path)
    if (path / "config.toml").read_bytes() != text:
        raise InputError(f"{run_or_config} differs from {path}/config.toml; name that directory, or rename the run")
    directory.check_space()
    return directory


def _start(path: Path, config: RunConfig, text: bytes) -> RunDirectory:
    """A new run; what no stage could work with is refused first, so that a corrected configuration finds no run."""
    from pocketnas.measuring import check_table, open_device
    from pocketnas.taken_table import taken_table
    from search.data.load import check_data
    from search.hand_made import hand_made_choices
    from search.latency_loss import LatencyLoss
    from search.space import load_space

    space = load_space(config.space)
    for section in (config.search, config.train):
        section.augmentation.augmentation.check(space.resolution, space.image_channels)
    open_device(config.device, config.devices)
    check_table(config.table, space)
    if config.table.use is not None:
        taken_table(config.table.use, config.table, space)
    if config.search.target_ms is None:
        hand_made_choices(space)
    else:
        LatencyLoss(config.search.loss, config.search.target_ms, config.search.beta)
    check_data(
        config.data.source,
        resolution=space.resolution,
        channels=space.image_channels,
        classes=space.classes,
        holdout=config.data.holdout,
    )
    return RunDirectory.create(path, config, text)


def _free_name(path: Path) -> Path:
    number = 1
    while (kept := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    return kept


def _toml_string(text: str) -> str:
    import json

    return json.dumps(text)


def _conclude(directory: RunDirectory) -> None:
    from pocketnas.console import print_table

    summary = read_json(directory.summary, what="summary")
    assert isinstance(summary, dict)
    print_table(["", "latency ms", "top-1 %"], _verdict(summary), title=f"{directory.config.name}: promise and fact")
    if summary.get("not_compared") is not None:
        print(f"latency: {summary['not_compared']}")
    print(f"report: {directory.report}")


def _verdict(summary: Mapping[str, object]) -> list[list[str]]:
    measured, top1, baseline = summary["measured_ms"], summary["top1"], summary["baseline"]
    assert isinstance(measured, dict)
    assert isinstance(top1, dict)
    assert isinstance(baseline, dict)
    rows = [
        ["target", f"{summary['target_ms']:.3f}", ""],
        [f"predicted ({summary['table_runtime']})", f"{summary['predicted_ms']:.3f}", f"{top1['torch']:.2f} (torch)"],
    ]
    rows += [[f"measured ({name})", f"{ms:.3f}", f"{top1[name]:.2f}"] for name, ms in measured.items()]
    rows.append(
        [f"{baseline['name']} ({baseline['runtime']})", f"{baseline['measured_ms']:.3f}", f"{baseline['top1']:.2f}"]
    )
    return rows
