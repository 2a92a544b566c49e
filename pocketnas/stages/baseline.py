"""Stage `baseline`: choose the hand-made net of the space's form whose latency is nearest to the derived net's."""

from dataclasses import replace

from android_bench.job import Job
from android_bench.latencies import latencies
from android_bench.protocol import networks_on
from android_bench.session import measure
from android_bench.store import SampleStore
from deploy.export import export_untrained
from pocketnas.console import progress_bar
from pocketnas.measuring import open_device, to_row
from pocketnas.stages.context import RunContext
from pocketnas_base.files import write_json
from search.hand_made import hand_made_family

DERIVED = "derived"


def run(context: RunContext) -> str:
    """Write baseline/architecture.json and baseline/family.json.

    Derived net and family run untrained, in the table's runtime, in one session: latency does not depend on weights.
    """
    config, directory = context.config, context.directory
    runtime, folder = config.table.runtime, directory.baseline / "family"
    derived, family = context.architecture(), hand_made_family(context.space, config.baseline.multipliers)
    with progress_bar("family") as progress:
        nets = {DERIVED: derived, **{net.name: net for net in family}}
        jobs = []
        for number, (name, net) in enumerate(nets.items()):
            progress(number, len(nets), name)
            artifact = export_untrained(
                net, folder, runtime=runtime, precision=config.table.precision, seed=config.seed
            )
            jobs.append(Job(name, artifact))
    device = open_device(config.device, config.devices)
    usual = networks_on(device)
    processes = max(1, usual.processes // 2)  # only their order matters
    protocol = replace(usual, processes=processes, threads=config.table.threads, seed=config.seed)
    with SampleStore.open(directory.samples) as store, progress_bar("baseline") as progress:
        key = measure(device, jobs, protocol, store, sentinels=[DERIVED], tolerated=config.tolerate, progress=progress)
        summaries = latencies(store, key, jobs=jobs, tolerated=config.tolerate)
        measured_ms = {name: to_row(summary).latency_ms for name, summary in summaries.items()}
    chosen = min(family, key=lambda net: abs(measured_ms[net.name] - measured_ms[DERIVED]))
    write_json(directory.baseline / "family.json", {"runtime": runtime, "measured_ms": measured_ms})
    chosen.save(directory.baseline / "architecture.json")
    return f"{chosen.name}: {measured_ms[chosen.name]:.3f} ms, derived {measured_ms[DERIVED]:.3f} ms"
