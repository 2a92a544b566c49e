"""Stage `baseline`: the hand-made MobileNetV2-style net nearest in latency, trained and exported by the same recipe."""

from dataclasses import replace
from pathlib import Path

from deploy.export import load_exported

from android_bench.job import Job
from android_bench.latencies import latencies
from android_bench.protocol import NETWORKS
from android_bench.session import measure
from android_bench.store import SampleStore
from pocketnas.console import progress_bar
from pocketnas.measuring import NS_PER_MS, open_device
from pocketnas.stages.context import RunContext
from pocketnas.stages.exporting import export_trained
from pocketnas.stages.training import train_network
from pocketnas_base.artifact import Artifact
from pocketnas_base.errors import InputError
from search.architecture import Architecture
from search.zoo import mobilenet_v2_family

SELECTION_PROCESSES = 3


def run(context: RunContext) -> str:
    """Write baseline/architecture.json, its weights and its files."""
    folder = context.directory.baseline
    chosen_path = folder / "architecture.json"
    if not chosen_path.exists():
        nearest(context).save(chosen_path)
    architecture = Architecture.load(chosen_path)
    weights = folder / "weights.safetensors"
    accuracy = train_network(
        context, architecture, role="baseline", weights=weights, checkpoint=folder / "checkpoint.safetensors"
    )
    export_trained(context, architecture, weights, folder / "deploy", [context.config.table.runtime])
    return f"{architecture.name}, top-1 {accuracy:.2f} %"


def nearest(context: RunContext) -> Architecture:
    """Of the family, the net whose measured latency is nearest to the derived net's, all in one session."""
    config, directory = context.config, context.directory
    runtime = config.table.runtime
    derived = [file for file in load_exported(directory.deploy) if file.artifact.runtime == runtime]
    if not derived:
        raise InputError(f"{directory.deploy} holds no {runtime} file; export first: pocketnas export {directory.path}")
    family = mobilenet_v2_family(context.space, config.baseline.multipliers)
    jobs = [Job("derived", derived[0].artifact)]
    jobs += [Job(net.name, _untrained(net, directory.baseline / "family", config.seed, runtime)) for net in family]
    protocol = replace(
        NETWORKS,
        processes=SELECTION_PROCESSES,
        threads=config.table.threads,
        seed=config.seed,
        min_ns=NETWORKS.min_ns // 2,
    )
    with SampleStore.open(directory.samples) as store, progress_bar("baseline") as progress:
        key = measure(open_device(config.device), jobs, protocol, store, sentinels=["derived"], progress=progress)
        measured = {name: summary.median_ns / NS_PER_MS for name, summary in latencies(store, key).items()}
    return min(family, key=lambda net: abs(measured[net.name] - measured["derived"]))


def _untrained(net: Architecture, folder: Path, seed: int, runtime: str) -> Artifact:
    """The net's file with untrained weights: latency does not depend on their values."""
    from deploy.export import export_untrained

    return export_untrained(net, folder, runtime=runtime, seed=seed)
