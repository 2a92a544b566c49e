"""Kotlin for an app, generated from a manifest: one class per runtime, and what Gradle has to be told."""

from collections.abc import Sequence

from deploy.kotlin_classes import EXECUTORCH, TFLITE, classifier
from deploy.manifest import HOST, Bundle, ExportedFile
from pocketnas_base.artifact import RUNTIMES, Precision, Runtime

CLASS_NAME: dict[Runtime, str] = {"tflite": "TfliteClassifier", "executorch": "ExecutorchClassifier"}
GRADLE = "build.gradle.kts"
KOTLIN_NAMES = (*(f"{name}.kt" for name in CLASS_NAME.values()), GRADLE)
"""Every file that `kotlin_files` may write."""

# The Android library of the runtime that checked a file, by the name of its Python package.
_LIBRARIES = {
    "ai-edge-litert": "com.google.ai.edge.litert:litert",
    "tflite-runtime": "org.tensorflow:tensorflow-lite",
    "executorch": "org.pytorch:executorch-android",
}
_PREFERRED: tuple[Precision, ...] = ("fp32", "fp16", "int8")


def kotlin_files(bundle: Bundle) -> dict[str, str]:
    """The text of each file of `kotlin/`, by name; none for a bundle without files.

    A class loads its runtime's recommended file (`chosen_file`), else its most exact one.
    """
    chosen = {runtime: file for runtime in RUNTIMES if (file := chosen_file(bundle, runtime)) is not None}
    texts = {}
    for runtime, file in chosen.items():
        template = TFLITE if runtime == "tflite" else EXECUTORCH
        texts[f"{CLASS_NAME[runtime]}.kt"] = classifier(template, file, _stand_ins(bundle, file))
    if chosen:
        texts[GRADLE] = _gradle(list(chosen.values()))
    return texts


def chosen_file(bundle: Bundle, runtime: Runtime) -> ExportedFile | None:
    """The file of a runtime that an app is shown how to load; None where the bundle has none of it.

    Of several recommended ones that of a phone, not of the host that the bundle was measured on too; of several phones'
    the one that was named last.
    """
    own = [file for file in bundle.files if file.artifact.runtime == runtime]
    least_first = sorted(bundle.recommendations, key=lambda one: one.device != HOST)
    recommended = {one.file: place for place, one in enumerate(least_first)}
    order = {precision: -place for place, precision in enumerate(_PREFERRED)}
    return max(
        own,
        key=lambda file: (
            recommended.get(file.artifact.path.name, -1),
            order.get(file.artifact.precision, -len(order)),
        ),
        default=None,
    )


def _stand_ins(bundle: Bundle, file: ExportedFile) -> list[str]:
    """The files that the same code runs: of the same runtime, fed and read alike."""
    return [
        other.artifact.path.name
        for other in bundle.files
        if other is not file
        and other.artifact.runtime == file.artifact.runtime
        and (other.input, other.output, other.normalisation, other.softmax, other.labels)
        == (file.input, file.output, file.normalisation, file.softmax, file.labels)
    ]


def _gradle(files: Sequence[ExportedFile]) -> str:
    lines = ["// For the app module's build.gradle.kts.", ""]
    if any(file.artifact.runtime == "tflite" for file in files):
        lines += ["android {", "    // The model is mapped from the APK, so it must lie there as it is.",
                  '    androidResources { noCompress += "tflite" }', "}", ""]  # fmt: skip
    lines.append("dependencies {")
    for file in files:
        package, _, version = file.runtime_version.partition(" ")
        lines.append(f'    implementation("{_LIBRARIES[package]}:{version}")')
    return "\n".join([*lines, "}", ""])
