"""Stage `export`: the trained networks as .tflite and .pte, every file verified on the whole test set."""

from collections.abc import Sequence

from deploy.bundle import finishing
from deploy.export import export_network
from deploy.manifest import ExportedFile, Normalisation
from pocketnas.bundling import about_run
from pocketnas.console import progress_bar
from pocketnas.export_images import spread_over
from pocketnas.outside_delegate import outside_delegate
from pocketnas.stages.context import RunContext
from pocketnas.stages.training import ROLES, Role, Trainee, trainee, training_record
from pocketnas_base.artifact import Precision, Runtime
from search.data.dataset import ImageData


def run(context: RunContext) -> str:
    """Write deploy/ (the derived network, all runtimes and precisions) and baseline/deploy/ (those of the table)."""
    config = context.config
    derived, baseline = (_trained(context, role) for role in ROLES)
    with progress_bar("data") as progress:
        data = context.data(progress)
    with finishing(derived.deploy, about_run(context, data_licence=data.licence)):
        files = _export(context, derived, data, config.export.runtimes, config.exported_precisions)
    _export(context, baseline, data, [config.table.runtime], [config.table.precision])
    return ", ".join(
        f"{file.artifact.runtime} {file.artifact.precision} top-1 {file.top1:.2f} %, "
        f"off by {file.parity.relative_error:.1e}"
        for file in files
    )


def _trained(context: RunContext, role: Role) -> Trainee:
    subject = trainee(context, role)
    training_record(context, role)
    return subject


def _export(
    context: RunContext,
    subject: Trainee,
    data: ImageData,
    runtimes: Sequence[Runtime],
    precisions: Sequence[Precision],
) -> list[ExportedFile]:
    from search.network import load_network

    wanted = context.config.export
    context.limit_threads()
    network = load_network(subject.architecture, subject.weights)
    calibrated = "int8" in precisions
    with progress_bar("export") as progress:
        return export_network(
            network,
            subject.architecture,
            subject.deploy,
            images=data.test_images,
            labels=data.test_labels,
            calibration=spread_over(data.train_images, wanted.calibration_images) if calibrated else None,
            normalisation=in_pixels(data),
            class_names=data.classes,
            weights_licence=wanted.licence,
            softmax=wanted.softmax,
            uint8_input=wanted.uint8_input,
            runtimes=runtimes,
            precisions=precisions,
            profiler=outside_delegate,
            progress=progress,
        )


def in_pixels(data: ImageData) -> Normalisation:
    """What training made of pixels from 0 to 255."""
    return Normalisation(tuple(255 * mean for mean in data.mean), tuple(255 * std for std in data.std))
