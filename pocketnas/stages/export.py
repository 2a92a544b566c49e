"""Stage `export`: the trained networks as .tflite and .pte, every file verified on the whole test set."""

from collections.abc import Sequence

from deploy.export import export_network
from deploy.manifest import ExportedFile
from pocketnas.config import TableConfig
from pocketnas.console import progress_bar
from pocketnas.stages.context import RunContext
from pocketnas.stages.training import Trainee, trainee, training_record
from pocketnas_base.artifact import Runtime
from pocketnas_base.errors import InputError


def run(context: RunContext) -> str:
    """Write deploy/ (the derived network, all runtimes) and baseline/deploy/ (the table's runtime)."""
    config = context.config
    check_exportable(config.table)
    files = _export(context, trainee(context, "derived"), config.export.runtimes)
    _export(context, trainee(context, "baseline"), [config.table.runtime])
    return ", ".join(
        f"{file.artifact.runtime} top-1 {file.top1:.2f} %, off by {file.parity.relative_error:.1e}" for file in files
    )


def check_exportable(config: TableConfig) -> None:
    """Raise InputError where trained networks cannot be exported in the precision of the table."""
    if config.precision != "fp32":
        raise InputError(
            f"table.precision: trained networks are exported in fp32 so far, so a run against an {config.precision} "
            "table ends at its search; call the stages: pocketnas table build CONFIG, then pocketnas search CONFIG"
        )


def _export(context: RunContext, subject: Trainee, runtimes: Sequence[Runtime]) -> list[ExportedFile]:
    from search.data.batches import normalisation_of
    from search.network import load_network

    training_record(context, subject.role)
    context.limit_threads()
    network = load_network(subject.architecture, subject.weights)
    with progress_bar("data") as progress:
        data = context.data(progress)
    with progress_bar("export") as progress:
        return export_network(
            network,
            subject.architecture,
            subject.deploy,
            images=normalisation_of(data)(data.test_images),
            labels=data.test_labels,
            runtimes=runtimes,
            progress=progress,
        )
